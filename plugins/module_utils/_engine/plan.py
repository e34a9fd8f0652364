# Copyright (c) 2026 The Flotilla authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: it can change without notice.

"""The steps that give a host the engine that its variables describe.

Pure: facts and the role's variables in, a plan out. The role carries out the plan that check mode prints.
"""

from __future__ import annotations

import hashlib
import ipaddress
from typing import Any

from .._common.words import Text, as_is, joined, packed, text
from .._host import files, openpgp
from .._host.logins import LOGINS, fingerprint
from .._host.network import GOSSIP_PORT, left_over
from . import versions
from .content import PROXY_DROPIN, apt_source, merge_daemon_config, proxy_dropin, rpm_source

# Keys that a running engine reloads on SIGHUP, in every supported version (moby: daemon/reload.go). It reloads only keys
# that are in the file, so that removing one takes a restart.
_RELOADABLE = frozenset(
    {
        "debug",
        "insecure-registries",
        "max-concurrent-downloads",
        "max-concurrent-uploads",
        "registry-mirrors",
        "shutdown-timeout",
    }
)


def plan(observed: dict[str, Any], wanted: dict[str, Any], host: str) -> dict[str, Any]:
    """The plan for a host: `observed` is the result of swarm_host_info, `wanted` the variables of the role.

    It has needed and configure (booleans), steps (each with step, what and why), refusals and notes (sentences), and in
    packages, config, users, sdk_venv and service what the steps need.
    """
    return _Planner(observed, wanted, host).plan()


def _sha256(content: str) -> str:
    return hashlib.sha256(content.encode("utf-8")).hexdigest()


def _package(name: str) -> dict[str, Any]:
    return {"name": name, "version": "", "like": "", "optional": False}


def _names(words: list[str]) -> str:
    return ", ".join(words)


class _Planner:
    def __init__(self, observed: dict[str, Any], wanted: dict[str, Any], host: str) -> None:
        self.wanted = wanted
        self.name = host
        self.host: dict[str, Any] = observed.get("host") or {}
        self.engine: dict[str, Any] = observed.get("engine") or {}
        self.swarm: dict[str, Any] = observed.get("swarm") or {}
        self.left_over = left_over(observed)
        self.system: dict[str, Any] = self.host.get("os") or {}
        self.installed: dict[str, str] = self.host.get("packages") or {}
        self.held: list[str] = self.host.get("held") or []
        self.files: dict[str, str] = self.host.get("files") or {}
        self.running = bool(
            self.engine.get("running") or (self.host.get("service") or {}).get("active")
        )
        self.steps: list[dict[str, Any]] = []
        self.refusals: list[Text] = []
        self.notes: list[Text] = []
        self.packages: dict[str, Any] | None = None
        self.config: dict[str, Any] = {"daemon": None, "write": {}, "remove": [], "logins": {}}
        self.users: list[str] = []
        self.sdk_venv = False
        self.restart_reasons: list[Text] = []
        self.reload = False

    def step(self, step: str, what: Text, why: str) -> None:
        # `words` is how the page says it in another language.
        self.steps.append({"step": step, "what": str(what), "why": why, "words": packed(what)})

    def refuse(self, template: str, **values: Any) -> None:
        self.refusals.append(text(template, host=self.name, **values))

    def plan(self) -> dict[str, Any]:
        self._packages()
        self._daemon()
        self._proxy()
        self._registry_ca()
        self._logins()
        self._users()
        self._sdk()
        service = self._service()
        config = self.config
        return {
            "needed": bool(self.steps or self.refusals or self.notes),
            "configure": config["daemon"] is not None
            or any(config[part] for part in ("write", "remove", "logins")),
            "steps": self.steps,
            "refusals": self.refusals,
            "notes": self.notes,
            "packages": self.packages,
            "config": self.config,
            "users": self.users,
            "sdk_venv": self.sdk_venv,
            "service": service,
        }

    # Packages

    def _packages(self) -> None:
        wanted = self.wanted
        names: dict[str, str] = {}
        changes: list[tuple[Text, str]] = []
        install: list[dict[str, Any]] = []
        foreign: list[str] = []
        repository = None
        if wanted["source"] == "none":
            self._present_engine()
        else:
            names = wanted["package_names"].get(wanted["source"]) or {}
            if not names:
                self.refuse(
                    "{host}: docker_engine_source={source} is not supported on {system}: install an engine yourself and set"
                    " docker_engine_source=none.",
                    source=wanted["source"],
                    system=self.system.get("distribution"),
                )
                return
            foreign = self._foreign_packages(names)
            if foreign and not wanted["replace"]:
                self.refuse(
                    "{host}: packages of docker_engine_source={source} would replace {names}, which is installed: choose the other"
                    " source, or allow it with docker_engine_replace=true.",
                    source=wanted["source"],
                    names=_names(foreign),
                )
                return
            if wanted["source"] == "docker_ce":
                repository = self._repository()
            changes, install = self._package_changes(names)
            if foreign:
                changes.append(
                    (
                        text("replace {names}", names=_names(foreign)),
                        f"docker_engine_source is {wanted['source']}",
                    )
                )
        sdk_package = wanted["sdk_package"] if wanted["sdk"] == "package" else ""
        if sdk_package and sdk_package not in self.installed and not self.engine.get("sdk_version"):
            install.append(_package(sdk_package))
            changes.append(
                (
                    text("install {package}", package=sdk_package),
                    "the modules need the Docker SDK for Python",
                )
            )
        if wanted["sdk"] == "venv" and not self.host.get("sdk_venv"):
            install += [_package(name) for name in wanted["sdk_venv_packages"]]
        if self.host.get("broken_packages"):
            self.step(
                "repair",
                text("finish an interrupted run of the package manager"),
                "dpkg was interrupted",
            )
        if repository:
            self.step("repository", text("set up {uri}", uri=repository["uri"]), repository["why"])
        for what, why in changes:
            self.step("packages", what, why)
        hold, unhold = self._holds(names, {entry["name"] for entry in install})
        new = [name for name in hold if name not in self.held]
        if new:
            optional = {entry["name"] for entry in install if entry["optional"]}
            sure = [name for name in new if name not in optional]
            self.step(
                "hold",
                text("hold {names}", names=_names(sure or new)),
                "so that no unattended upgrade restarts the engine",
            )
        if unhold:
            self.step(
                "hold", text("release {names}", names=_names(unhold)), "docker_engine_hold is false"
            )
        if install or foreign or repository or hold or unhold or self.host.get("broken_packages"):
            if any(entry["name"] == names.get("engine") for entry in install):
                install += [_package(name) for name in wanted["extra_packages"]]
            self.packages = {
                "manager": "apt" if self.system.get("family") == "Debian" else "rpm",
                "install": install,
                "remove": foreign,
                "hold": hold,
                "unhold": unhold,
                "repository": repository,
                "engine": sorted(names.values()),
                # For dnf and zypper, whose package names can include a version.
                "specs": [
                    f"{entry['name']}-{entry['version']}*" if entry["version"] else entry["name"]
                    for entry in install
                ],
            }

    def _foreign_packages(self, names: dict[str, str]) -> list[str]:
        """Installed packages of another source, which must be removed."""
        wanted = self.wanted
        others = {
            name
            for source, packages in wanted["package_names"].items()
            if source != wanted["source"]
            for name in packages.values()
        }
        return sorted((others | {"podman-docker"}) & set(self.installed) - set(names.values()))

    def _present_engine(self) -> None:
        if not self.engine.get("installed"):
            self.refuse(
                "{host}: no engine is installed and docker_engine_source is none: install one, or set docker_engine_source to distro or"
                " docker_ce."
            )
            return
        version = self.engine.get("version")
        if not version:
            return
        if versions.compare(versions.upstream(version), versions.OLDEST_ENGINE) < 0:
            self.refuse(
                "{host}: engine {version} is too old, the oldest supported one is {oldest}: upgrade it, or set docker_engine_source"
                " to distro or docker_ce.",
                version=version,
                oldest=versions.OLDEST_ENGINE,
            )
        pin = self.wanted["version"]
        if pin and not versions.matches(version, pin):
            self.refuse(
                "{host}: engine {version} runs, but docker_engine_version is {pin} and docker_engine_source is none: change one of"
                " the three.",
                version=version,
                pin=pin,
            )

    def _package_changes(
        self, names: dict[str, str]
    ) -> tuple[list[tuple[Text, str]], list[dict[str, Any]]]:
        wanted = self.wanted
        changes: list[tuple[Text, str]] = []
        install: list[dict[str, Any]] = []
        engine = self.installed.get(names["engine"])
        for part, pin in (
            ("engine", wanted["version"]),
            ("cli", wanted["version"]),
            ("containerd", wanted["containerd_version"]),
        ):
            name = names[part]
            variable = (
                "docker_engine_containerd_version"
                if part == "containerd"
                else "docker_engine_version"
            )
            have = self.installed.get(name)
            # In a distribution without a package for the command, the engine's package includes it.
            optional = part == "cli" and wanted["source"] == "distro"
            entry = {
                "name": name,
                "version": pin,
                "like": names["engine"] if part == "cli" else "",
                "optional": optional,
            }
            if have is None:
                if (
                    part == "cli"
                    and wanted["source"] == "distro"
                    and (not wanted["cli"] or self.host.get("cli"))
                ):
                    continue
                what = text("the docker command") if optional else as_is(name)
                reason = {
                    "engine": "no engine is installed",
                    "cli": "managers need the docker command",
                }
                why = reason.get(part, "the engine needs it")
                package = joined([what, pin], " ") if pin else what
                changes.append((text("install {package}", package=package), why))
                install.append(entry)
            elif not versions.matches(have, pin):
                if versions.is_older(have, pin):
                    words = text("upgrade {change}", change=f"{name} {have} -> {pin}")
                    changes.append((words, f"{variable} is {pin}"))
                elif wanted["allow_downgrade"]:
                    words = text("downgrade {change}", change=f"{name} {have} -> {pin}")
                    changes.append((words, f"{variable} is {pin}"))
                else:
                    self.refuse(
                        "{host}: {name} {have} is installed, and {variable} is the older {pin}: a downgrade is done only with"
                        " docker_engine_allow_downgrade=true.",
                        name=name,
                        have=have,
                        variable=variable,
                        pin=pin,
                    )
                    continue
                install.append(entry)
            elif (
                part == "cli"
                and not pin
                and engine
                and versions.upstream(have) != versions.upstream(engine)
            ):
                changes.append(
                    (
                        text(
                            "change {change}",
                            change=f"{name} {have} -> {versions.upstream(engine)}",
                        ),
                        "it must equal the engine",
                    )
                )
                install.append(entry)
            elif (
                part == "engine"
                and versions.compare(versions.upstream(have), versions.OLDEST_ENGINE) < 0
            ):
                changes.append(
                    (
                        text("upgrade {change}", change=f"{name} {have}"),
                        f"the oldest supported engine is {versions.OLDEST_ENGINE}",
                    )
                )
                install.append(entry)
        # A pinned package that is right is listed too, or apt could change it in the same run.
        if any(entry["name"] == names["engine"] for entry in install) and wanted["version"]:
            name = names["cli"]
            if name in self.installed and all(entry["name"] != name for entry in install):
                install.append(
                    {
                        "name": name,
                        "version": wanted["version"],
                        "like": names["engine"],
                        "optional": False,
                    }
                )
        return changes, install

    def _holds(self, names: dict[str, str], installing: set[str]) -> tuple[list[str], list[str]]:
        """The packages to hold, and those to release. Installing a package removes its hold."""
        present = {name for name in names.values() if name in self.installed or name in installing}
        if self.wanted["hold"]:
            return sorted(present - (set(self.held) - installing)), []
        return [], sorted(present & set(self.held))

    def _repository(self) -> dict[str, Any] | None:
        wanted = self.wanted
        if self.system.get("family") == "Debian":
            return self._apt_repository()
        content = rpm_source(wanted, self.system)
        path = (
            files.ZYPP_REPOSITORY if self.system.get("family") == "Suse" else files.RPM_REPOSITORY
        )
        if self.files.get(path) == _sha256(content):
            return None
        return {
            "path": path,
            "content": content,
            "uri": wanted["repository_url"],
            "why": "the repository is not set up",
        }

    def _apt_repository(self) -> dict[str, Any] | None:
        wanted = self.wanted
        content = apt_source(wanted, self.system)
        pinned = "".join(wanted["repository_key_fingerprint"].split()).upper()
        if not (wanted["repository_suite"] or self.system.get("codename")):
            self.refuse(
                "{host}: its os-release names no suite: set docker_engine_repository_suite."
            )
        key = wanted["repository_key"]
        if key:
            try:
                found = openpgp.fingerprints(key.encode("utf-8"))
            except openpgp.NotAKey as exc:
                self.refuse(
                    "{host}: docker_engine_repository_key is not an OpenPGP public key: {why}.",
                    why=str(exc),
                )
                return None
            if found != [pinned]:
                self.refuse(
                    "{host}: docker_engine_repository_key has the fingerprint {found}, but"
                    " docker_engine_repository_key_fingerprint is {pinned}: use the right key, or pin this one.",
                    found=_names(found),
                    pinned=pinned,
                )
                return None
        key_right = self.host.get("keyring_fingerprints") == [pinned]
        source_right = self.files.get(files.APT_SOURCE) == _sha256(content)
        if key_right and source_right:
            return None
        if key_right:
            why = (
                "the source is not set up"
                if files.APT_SOURCE not in self.files
                else "the source differs"
            )
        else:
            why = (
                "its key is missing"
                if files.APT_KEYRING not in self.files
                else "its key is not the pinned one"
            )
        url = wanted["repository_key_url"] or (
            f"{wanted['repository_url'].rstrip('/')}/{self.system.get('distribution')}/gpg"
        )
        return {
            "path": files.APT_SOURCE,
            "content": content,
            "key_path": files.APT_KEYRING,
            "key": key,
            "key_url": "" if key else url,
            "fingerprint": pinned,
            "uri": wanted["repository_url"],
            "why": why,
        }

    # Configuration

    def _daemon(self) -> None:
        wanted = self.wanted
        error = self.host.get("daemon_config_error")
        if error:
            self.refuse(
                "{host}: {path} cannot be used ({why}): correct or remove it.",
                path=files.DAEMON_JSON,
                why=error,
            )
            return
        for pool in wanted["address_pools"]:
            self._check_pool(pool)
        existing = self.host.get("daemon_config")
        merged = merge_daemon_config(existing or {}, wanted)
        self._check_daemon(merged)
        if merged == (existing or {}):
            return
        changed = sorted(
            key
            for key in {*merged, *(existing or {})}
            if merged.get(key) != (existing or {}).get(key)
        )
        self.config["daemon"] = merged
        self.step(
            "daemon_config",
            text("write {path}: {names}", path=files.DAEMON_JSON, names=_names(changed)),
            self._why_daemon(existing),
        )
        if self.running:
            if all(key in _RELOADABLE and key in merged for key in changed):
                self.reload = True
            else:
                self.restart_reasons.append(text("{path} changes", path=files.DAEMON_JSON))

    @staticmethod
    def _why_daemon(existing: dict[str, Any] | None) -> str:
        return "there is none" if existing is None else "it differs from the variables"

    def _check_pool(self, pool: dict[str, Any]) -> None:
        try:
            network = ipaddress.ip_network(str(pool["base"]))
        except ValueError as exc:
            self.refuse(
                "{host}: docker_engine_address_pools has a value that is no network: {why}.",
                why=str(exc),
            )
            return
        if not network.prefixlen <= int(pool["size"]) <= network.max_prefixlen:
            self.refuse(
                "{host}: docker_engine_address_pools: {network} has no networks of size {size}; size is a prefix length from {least}"
                " to {most}.",
                network=str(network),
                size=pool["size"],
                least=network.prefixlen,
                most=network.max_prefixlen,
            )

    def _check_daemon(self, merged: dict[str, Any]) -> None:
        given = self.wanted["daemon"]

        def origin(key: str) -> Text:
            return text(
                "docker_engine_daemon sets it" if key in given else "{path} on the host has it",
                path=files.DAEMON_JSON,
            )

        if merged.get("live-restore"):
            self.refuse(
                "{host}: an engine with live-restore refuses swarm mode, and {origin}: set live-restore to null in"
                " docker_engine_daemon.",
                origin=origin("live-restore"),
            )
        elif self.engine.get("live_restore") and not (self.host.get("daemon_config") or {}).get(
            "live-restore"
        ):
            self.refuse(
                "{host}: an engine with live-restore refuses swarm mode, and the engine's command line sets it: remove"
                " --live-restore from docker.service."
            )
        if merged.get("firewall-backend") == "nftables":
            self.refuse(
                "{host}: an engine with the nftables firewall backend refuses swarm mode, and {origin}: set firewall-backend to"
                " iptables or null in docker_engine_daemon.",
                origin=origin("firewall-backend"),
            )
        if "hosts" in given and given["hosts"] and not self._foreign_dropin():
            self.refuse(
                "{host}: the engine does not start if docker_engine_daemon sets hosts, because the command line of docker.service"
                " sets it too (-H fd://): remove hosts, or first override ExecStart in a drop-in of your own."
            )

    def _foreign_dropin(self) -> bool:
        return any(
            path.startswith(files.DROPIN_DIR) and path != PROXY_DROPIN for path in self.files
        )

    def _proxy(self) -> None:
        content = proxy_dropin(self.wanted)
        have = self.files.get(PROXY_DROPIN)
        if content is None:
            if have is None:
                return
            self.config["remove"].append(PROXY_DROPIN)
            self.step("proxy", text("remove the engine's proxies"), "no proxy is set")
        elif have != _sha256(content):
            self.config["write"][PROXY_DROPIN] = content
            self.step(
                "proxy",
                text("set the engine's proxies"),
                "they differ" if have else "they are not set",
            )
        else:
            return
        if self.running:
            self.restart_reasons.append(text("its proxies change"))

    def _registry_ca(self) -> None:
        for registry, content in sorted(self.wanted["registry_ca"].items()):
            path = f"{files.CERTS_DIR}/{registry}/ca.crt"
            # Check mode cannot know the certificate that only a real run makes.
            if not content or self.files.get(path) != _sha256(content):
                self.config["write"][path] = content
                why = "it differs" if path in self.files else "it is missing"
                self.step(
                    "registry_ca", text("trust the CA of registry {name}", name=registry), why
                )

    def _logins(self) -> None:
        """The logins of the registries of the inventory, where Docker keeps them for root."""
        wanted: dict[str, str] = self.wanted["logins"]
        known = self.host.get("logins", {})
        if wanted and known is None:
            self.refuse(
                "{host}: {path} is not a configuration of Docker: correct or remove it.",
                path=LOGINS,
            )
            return
        for registry, auth in sorted(wanted.items()):
            if known.get(registry) != fingerprint(registry, auth):
                self.config["logins"][registry] = auth
                why = "the login differs" if registry in known else "there is no login"
                self.step("registry_login", text("log in to registry {name}", name=registry), why)

    def _users(self) -> None:
        members = self.host.get("docker_group") or []
        self.users = [user for user in self.wanted["users"] if user not in members]
        if self.users:
            self.step(
                "users",
                text("add {names} to the group docker", names=_names(self.users)),
                "so that they can use the engine",
            )

    def _sdk(self) -> None:
        if self.wanted["sdk"] == "venv" and not self.host.get("sdk_venv"):
            self.sdk_venv = True
            self.step(
                "sdk",
                text("install the Docker SDK for Python in {path}", path=files.SDK_VENV),
                "the modules need it, and it is missing",
            )

    # Service

    def _service(self) -> dict[str, Any]:
        service = self.host.get("service") or {}
        if self.packages and self.running:
            moving = {entry["name"] for entry in self.packages["install"]} & set(
                self.packages["engine"]
            )
            names = self.wanted["package_names"].get(self.wanted["source"]) or {}
            if moving - {names.get("cli")}:
                self.restart_reasons.append(text("its packages change"))
                if self.swarm.get("state") in ("active", "locked"):
                    self.notes.append(
                        text(
                            "{host}: the new packages restart the engine of a node in a swarm and stop its tasks; the playbook"
                            " flotilla.swarm.upgrade_engine does it without a dip: it drains each node first.",
                            host=self.name,
                        )
                    )
        if self.host.get("restart_pending") and self.running:
            self.restart_reasons.append(text("an earlier run was interrupted before its restart"))
        if self.left_over:
            self.restart_reasons.append(text("in its next swarm, overlay networks would not work"))
        result: dict[str, Any] = {
            "action": "none",
            "reload": self.reload and not self.restart_reasons,
            "manager": self.swarm.get("role") == "manager",
        }
        if not self.host.get("systemd"):
            if not self.running:
                self.notes.append(
                    text(
                        "{host}: PID 1 is not systemd, so starting the engine is left to you (dockerd, in the background).",
                        host=self.name,
                    )
                )
            elif self.restart_reasons:
                self.notes.append(
                    text(
                        "{host}: PID 1 is not systemd, so restarting the engine is left to you ({reasons}).",
                        host=self.name,
                        reasons=joined(self.restart_reasons, "; "),
                    )
                )
            return result
        if not self.running:
            result["action"] = "start"
            self.step("service", text("enable and start the engine"), "it does not run")
        elif self.restart_reasons:
            result["action"] = "restart"
            what = text("restart the engine")
            if self.left_over:
                what = text(
                    "restart the engine, which still holds port {port} of a swarm that it has left",
                    port=GOSSIP_PORT,
                )
            self.step("restart", what, "; ".join(self.restart_reasons))
        elif not service.get("enabled"):
            result["action"] = "enable"
            self.step("service", text("enable the engine"), "it would not start at boot")
        return result


def restart_order(observed: dict[str, dict[str, Any]]) -> list[str]:
    """The managers among the hosts, the leader last, so that the leadership moves only once.

    `observed` has the result of swarm_host_info by host.
    """
    swarms = {name: each.get("swarm") or {} for name, each in observed.items()}
    leaders = {
        node.get("id")
        for swarm in swarms.values()
        for node in swarm.get("nodes") or []
        if node.get("leader")
    }
    managers = [name for name, swarm in swarms.items() if swarm.get("role") == "manager"]
    return sorted(managers, key=lambda name: swarms[name].get("node_id") in leaders)
