# Copyright (c) 2026 The Flotilla authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: it can change without notice.

"""What has to be done to a host for it to have the engine that its variables ask for.

Pure: an observation and the role's variables in, a plan out. The role carries the plan out and check mode prints
it, so that both are the same list.
"""

from __future__ import annotations

import hashlib
import ipaddress
import json
from typing import Any

from ansible_collections.flotilla.swarm.plugins.module_utils import (
    _host,
    _openpgp,
    _preflight,
    _versions,
)

OLDEST_ENGINE = "20.10"
PROXY_DROPIN = _host.DROPIN_DIR + "/flotilla-proxy.conf"
_MANAGED_NOTE = (
    "# Managed by the role flotilla.swarm.docker_engine: changes made here are overwritten."
)

# Keys that a running engine takes in on SIGHUP, in every supported version (moby, daemon/reload.go). It only looks at
# keys that are in the file, so that removing one still takes a restart.
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
_ROTATING_DRIVERS = (None, "json-file", "local")


def plan(observed: dict[str, Any], wanted: dict[str, Any], host: str) -> dict[str, Any]:
    """The steps for HOST. OBSERVED is what swarm_host_info returned, WANTED the variables of the role.

    Result: steps (each with step, what, why), refusals and notes (sentences), and under packages, config, users,
    sdk and service what the steps need to be carried out.
    """
    return _Planner(observed, wanted, host).plan()


def merge_daemon_config(existing: dict[str, Any], wanted: dict[str, Any]) -> dict[str, Any]:
    """daemon.json as it should be: what is there, then what the variables say; null takes a key out."""
    asked = wanted["daemon"]
    config = dict(existing)
    if wanted["log_rotation"] and "log-opts" not in asked:
        driver = asked["log-driver"] if "log-driver" in asked else existing.get("log-driver")
        if driver in _ROTATING_DRIVERS:
            options = existing.get("log-opts")
            config["log-opts"] = {
                **(options if isinstance(options, dict) else {}),
                "max-size": str(wanted["log_max_size"]),
                "max-file": str(wanted["log_max_files"]),
            }
    if wanted["address_pools"]:
        config["default-address-pools"] = [
            {"base": pool["base"], "size": int(pool["size"])} for pool in wanted["address_pools"]
        ]
    if wanted["registry_mirrors"]:
        config["registry-mirrors"] = list(wanted["registry_mirrors"])
    if wanted["registry_insecure"]:
        config["insecure-registries"] = list(wanted["registry_insecure"])
    config.update(asked)
    return {key: value for key, value in config.items() if value is not None}


def proxy_dropin(wanted: dict[str, Any]) -> str | None:
    """The systemd drop-in with the engine's proxies, or None if there are none."""
    variables = {
        "HTTP_PROXY": wanted["http_proxy"],
        "HTTPS_PROXY": wanted["https_proxy"],
        "NO_PROXY": ",".join(wanted["no_proxy"])
        if wanted["http_proxy"] or wanted["https_proxy"]
        else "",
    }
    lines = []
    for name, value in variables.items():
        if value:
            # systemd expands % in unit files and unquotes.
            escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
            lines.append(f'Environment="{name}={escaped}"')
    return "\n".join([_MANAGED_NOTE, "[Service]", *lines, ""]) if lines else None


def apt_source(wanted: dict[str, Any], system: dict[str, Any]) -> str:
    """The deb822 source of Docker's repository, or of a mirror of it."""
    suite = wanted["repository_suite"] or system.get("codename") or ""
    lines = [
        _MANAGED_NOTE,
        "Types: deb",
        f"URIs: {wanted['repository_url'].rstrip('/')}/{system.get('distribution')}",
        f"Suites: {suite}",
        f"Components: {wanted['repository_channel']}",
        f"Signed-By: {_host.APT_KEYRING}",
        "",
    ]
    return "\n".join(lines)


def rpm_source(wanted: dict[str, Any], system: dict[str, Any]) -> str:
    """The repository file of Docker's repository for dnf and zypper."""
    base = f"{wanted['repository_url'].rstrip('/')}/{_rpm_tree(system)}"
    key = wanted["repository_key_url"] or f"{base}/gpg"
    lines = [
        _MANAGED_NOTE,
        "[docker-ce]",
        "name=Docker CE",
        f"baseurl={base}/$releasever/$basearch/{wanted['repository_channel']}",
        "enabled=1",
        "gpgcheck=1",
        f"gpgkey={key}",
        "",
    ]
    return "\n".join(lines)


def _rpm_tree(system: dict[str, Any]) -> str:
    distribution = system.get("distribution") or ""
    if distribution in ("fedora", "rhel"):
        return distribution
    return "sles" if system.get("family") == "Suse" else "centos"


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


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
        self.left_over = _host.left_over(observed)
        self.system: dict[str, Any] = self.host.get("os") or {}
        self.installed: dict[str, str] = self.host.get("packages") or {}
        self.held: list[str] = self.host.get("held") or []
        self.files: dict[str, str] = self.host.get("files") or {}
        self.running = bool(
            self.engine.get("running") or (self.host.get("service") or {}).get("active")
        )
        self.steps: list[dict[str, Any]] = []
        self.refusals: list[str] = []
        self.notes: list[str] = []
        self.packages: dict[str, Any] | None = None
        self.config: dict[str, Any] = {"daemon": None, "write": {}, "remove": []}
        self.users: list[str] = []
        self.sdk_venv = False
        self.restart_reasons: list[str] = []
        self.reload = False

    def step(self, step: str, what: str, why: str) -> None:
        self.steps.append({"step": step, "what": what, "why": why})

    def refuse(self, sentence: str) -> None:
        self.refusals.append(f"{self.name}: {sentence}")

    def plan(self) -> dict[str, Any]:
        self._packages()
        self._daemon()
        self._proxy()
        self._registry_ca()
        self._users()
        self._sdk()
        service = self._service()
        config = self.config
        return {
            "needed": bool(self.steps or self.refusals or self.notes),
            "configure": bool(config["daemon"] is not None or config["write"] or config["remove"]),
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
        changes: list[tuple[str, str]] = []
        install: list[dict[str, Any]] = []
        foreign: list[str] = []
        repository = None
        if wanted["source"] == "none":
            self._present_engine()
        else:
            names = wanted["package_names"].get(wanted["source"]) or {}
            if not names:
                self.refuse(
                    f"docker_engine_source={wanted['source']} is not known for {self.system.get('distribution')}: "
                    "install an engine yourself and set docker_engine_source=none."
                )
                return
            foreign = self._foreign_packages(names)
            if foreign and not wanted["replace"]:
                self.refuse(
                    f"{_names(foreign)} is installed, and packages of docker_engine_source={wanted['source']} would "
                    "replace it: choose the other source, or allow that with docker_engine_replace=true."
                )
                return
            if wanted["source"] == "docker_ce":
                repository = self._repository()
            changes, install = self._package_changes(names)
            if foreign:
                changes.append(
                    ("replace " + _names(foreign), f"docker_engine_source is {wanted['source']}")
                )
        sdk_package = wanted["sdk_package"] if wanted["sdk"] == "package" else ""
        if sdk_package and sdk_package not in self.installed and not self.engine.get("sdk_version"):
            install.append(_package(sdk_package))
            changes.append((f"install {sdk_package}", "the modules need the Docker SDK for Python"))
        if wanted["sdk"] == "venv" and not self.host.get("sdk_venv"):
            install += [_package(name) for name in wanted["sdk_venv_packages"]]
        if self.host.get("broken_packages"):
            self.step(
                "repair", "finish what an interrupted package run left", "dpkg was interrupted"
            )
        if repository:
            self.step("repository", f"set up {repository['uri']}", repository["why"])
        for what, why in changes:
            self.step("packages", what, why)
        hold, unhold = self._holds(names, {entry["name"] for entry in install})
        new = [name for name in hold if name not in self.held]
        if new:
            optional = {entry["name"] for entry in install if entry["optional"]}
            sure = [name for name in new if name not in optional]
            self.step(
                "hold",
                f"hold {_names(sure or new)}",
                "so that no unattended upgrade restarts the engine",
            )
        if unhold:
            self.step("hold", f"release {_names(unhold)}", "docker_engine_hold is false")
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
                # For dnf and zypper, which take a pin in the name.
                "specs": [
                    f"{entry['name']}-{entry['version']}*" if entry["version"] else entry["name"]
                    for entry in install
                ],
            }

    def _foreign_packages(self, names: dict[str, str]) -> list[str]:
        """What is installed of another source, and would have to go."""
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
                "no engine is installed and docker_engine_source is none: install one, or set docker_engine_source "
                "to distro or docker_ce."
            )
            return
        version = self.engine.get("version")
        if not version:
            return
        if _versions.compare(_versions.upstream(version), OLDEST_ENGINE) < 0:
            self.refuse(
                f"engine {version} is too old, the oldest supported is {OLDEST_ENGINE}: upgrade it, or let the role "
                "do that with docker_engine_source."
            )
        pin = self.wanted["version"]
        if pin and not _versions.matches(version, pin):
            self.refuse(
                f"engine {version} runs, docker_engine_version asks for {pin} and docker_engine_source is none: "
                "change one of the three."
            )

    def _package_changes(
        self, names: dict[str, str]
    ) -> tuple[list[tuple[str, str]], list[dict[str, Any]]]:
        wanted = self.wanted
        changes: list[tuple[str, str]] = []
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
            # Where the distribution has no package of its own for the command, the engine's package brings it.
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
                what = "the docker command" if optional else name
                reason = {
                    "engine": "no engine is installed",
                    "cli": "managers need the docker command",
                }
                why = reason.get(part, "the engine needs it")
                changes.append((f"install {what} {pin}".rstrip(), why))
                install.append(entry)
            elif not _versions.matches(have, pin):
                if _versions.is_older(have, pin):
                    changes.append((f"upgrade {name} {have} -> {pin}", f"{variable} is {pin}"))
                elif wanted["allow_downgrade"]:
                    changes.append((f"downgrade {name} {have} -> {pin}", f"{variable} is {pin}"))
                else:
                    self.refuse(
                        f"{name} {have} is installed and {variable} asks for the older {pin}: a downgrade is done "
                        "only with docker_engine_allow_downgrade=true."
                    )
                    continue
                install.append(entry)
            elif (
                part == "cli"
                and not pin
                and engine
                and _versions.upstream(have) != _versions.upstream(engine)
            ):
                changes.append(
                    (
                        f"change {name} {have} -> {_versions.upstream(engine)}",
                        "it must equal the engine",
                    )
                )
                install.append(entry)
            elif (
                part == "engine" and _versions.compare(_versions.upstream(have), OLDEST_ENGINE) < 0
            ):
                changes.append(
                    (f"upgrade {name} {have}", f"the oldest supported engine is {OLDEST_ENGINE}")
                )
                install.append(entry)
        # A package that is pinned, right and part of the same upgrade is named as well, or apt could move it.
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
        """What to hold, and what to release. What is installed loses its hold and gets it again."""
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
            _host.ZYPP_REPOSITORY if self.system.get("family") == "Suse" else _host.RPM_REPOSITORY
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
            self.refuse("this system names no suite: set docker_engine_repository_suite.")
        key = wanted["repository_key"]
        if key:
            try:
                found = _openpgp.fingerprints(key.encode("utf-8"))
            except _openpgp.NotAKey as exc:
                self.refuse(f"docker_engine_repository_key is not an OpenPGP public key: {exc}.")
                return None
            if found != [pinned]:
                self.refuse(
                    f"docker_engine_repository_key has the fingerprint {_names(found)}, "
                    f"docker_engine_repository_key_fingerprint asks for {pinned}: use the right key, or pin this one."
                )
                return None
        key_right = self.host.get("keyring_fingerprints") == [pinned]
        source_right = self.files.get(_host.APT_SOURCE) == _sha256(content)
        if key_right and source_right:
            return None
        if key_right:
            why = (
                "the source is not set up"
                if _host.APT_SOURCE not in self.files
                else "the source differs"
            )
        else:
            why = (
                "its key is not there"
                if _host.APT_KEYRING not in self.files
                else "its key is not the pinned one"
            )
        url = wanted["repository_key_url"] or (
            f"{wanted['repository_url'].rstrip('/')}/{self.system.get('distribution')}/gpg"
        )
        return {
            "path": _host.APT_SOURCE,
            "content": content,
            "key_path": _host.APT_KEYRING,
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
            self.refuse(f"{_host.DAEMON_JSON} cannot be used ({error}): mend or remove it.")
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
            f"write {_host.DAEMON_JSON}: {_names(changed)}",
            self._why_daemon(existing),
        )
        if self.running:
            if all(key in _RELOADABLE and key in merged for key in changed):
                self.reload = True
            else:
                self.restart_reasons.append(f"{_host.DAEMON_JSON} changes")

    @staticmethod
    def _why_daemon(existing: dict[str, Any] | None) -> str:
        return "there is none" if existing is None else "it differs from what the variables ask for"

    def _check_pool(self, pool: dict[str, Any]) -> None:
        try:
            network = ipaddress.ip_network(str(pool["base"]))
        except ValueError as exc:
            self.refuse(f"docker_engine_address_pools: {exc}.")
            return
        if not network.prefixlen <= int(pool["size"]) <= network.max_prefixlen:
            self.refuse(
                f"docker_engine_address_pools: networks of size {pool['size']} cannot be cut from {network}; size is "
                f"a prefix length from {network.prefixlen} to {network.max_prefixlen}."
            )

    def _check_daemon(self, merged: dict[str, Any]) -> None:
        given = self.wanted["daemon"]

        def origin(key: str) -> str:
            return (
                "docker_engine_daemon sets it"
                if key in given
                else f"{_host.DAEMON_JSON} on the host has it"
            )

        if merged.get("live-restore"):
            self.refuse(
                f"an engine with live-restore refuses swarm mode, and {origin('live-restore')}: "
                "set live-restore to null in docker_engine_daemon."
            )
        elif self.engine.get("live_restore") and not (self.host.get("daemon_config") or {}).get(
            "live-restore"
        ):
            self.refuse(
                "an engine with live-restore refuses swarm mode, and the engine's command line sets it: remove "
                "--live-restore from docker.service."
            )
        if merged.get("firewall-backend") == "nftables":
            self.refuse(
                f"an engine with the nftables firewall backend refuses swarm mode, and {origin('firewall-backend')}: "
                "set firewall-backend to iptables or null in docker_engine_daemon."
            )
        if "hosts" in given and given["hosts"] and not self._foreign_dropin():
            self.refuse(
                "docker_engine_daemon sets hosts, and so does the command line of docker.service (-H fd://), with "
                "which the engine does not start: take hosts out, or override ExecStart in a drop-in of your own first."
            )

    def _foreign_dropin(self) -> bool:
        return any(
            path.startswith(_host.DROPIN_DIR) and path != PROXY_DROPIN for path in self.files
        )

    def _proxy(self) -> None:
        content = proxy_dropin(self.wanted)
        have = self.files.get(PROXY_DROPIN)
        if content is None:
            if have is None:
                return
            self.config["remove"].append(PROXY_DROPIN)
            self.step("proxy", "remove the engine's proxies", "no proxy is asked for")
        elif have != _sha256(content):
            self.config["write"][PROXY_DROPIN] = content
            self.step(
                "proxy", "set the engine's proxies", "they differ" if have else "they are not set"
            )
        else:
            return
        if self.running:
            self.restart_reasons.append("its proxies change")

    def _registry_ca(self) -> None:
        for registry, content in sorted(self.wanted["registry_ca"].items()):
            path = f"{_host.CERTS_DIR}/{registry}/ca.crt"
            if self.files.get(path) != _sha256(content):
                self.config["write"][path] = content
                why = "it differs" if path in self.files else "it is not there"
                self.step("registry_ca", f"trust the CA of registry {registry}", why)

    def _users(self) -> None:
        members = self.host.get("docker_group") or []
        self.users = [user for user in self.wanted["users"] if user not in members]
        if self.users:
            self.step(
                "users",
                f"add {_names(self.users)} to the group docker",
                "so that they can use the engine",
            )

    def _sdk(self) -> None:
        if self.wanted["sdk"] == "venv" and not self.host.get("sdk_venv"):
            self.sdk_venv = True
            self.step(
                "sdk",
                f"install the Docker SDK for Python in {_host.SDK_VENV}",
                "the modules need it, and it is not there",
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
                self.restart_reasons.append("its packages change")
        if self.host.get("restart_pending") and self.running:
            self.restart_reasons.append("an earlier run was interrupted before its restart")
        if self.left_over:
            self.restart_reasons.append("in its next swarm, overlay networks would not work")
        result: dict[str, Any] = {
            "action": "none",
            "reload": self.reload and not self.restart_reasons,
            "manager": self.swarm.get("role") == "manager",
        }
        if not self.host.get("systemd"):
            if not self.running:
                self.notes.append(
                    f"{self.name}: PID 1 is not systemd, so starting the engine is left to you (dockerd, in the "
                    "background)."
                )
            elif self.restart_reasons:
                self.notes.append(
                    f"{self.name}: PID 1 is not systemd, so restarting the engine is left to you "
                    f"({'; '.join(self.restart_reasons)})."
                )
            return result
        if not self.running:
            result["action"] = "start"
            self.step("service", "enable and start the engine", "it does not run")
        elif self.restart_reasons:
            result["action"] = "restart"
            held = f", which still holds port {_preflight.GOSSIP_PORT} of a swarm that it has left"
            what = "restart the engine" + (held if self.left_over else "")
            self.step("restart", what, "; ".join(self.restart_reasons))
        elif not service.get("enabled"):
            result["action"] = "enable"
            self.step("service", "enable the engine", "it would not start at boot")
        return result


def restart_order(observed: dict[str, dict[str, Any]]) -> list[str]:
    """The managers among the observed hosts, the leader last, so that leadership moves only once."""
    swarms = {name: each.get("swarm") or {} for name, each in observed.items()}
    leaders = {
        node.get("id")
        for swarm in swarms.values()
        for node in swarm.get("nodes") or []
        if node.get("leader")
    }
    managers = [name for name, swarm in swarms.items() if swarm.get("role") == "manager"]
    return sorted(managers, key=lambda name: swarms[name].get("node_id") in leaders)


def render(config: dict[str, Any]) -> str:
    """daemon.json as text, the same for the same settings."""
    return json.dumps(config, indent=2, sort_keys=True) + "\n"
