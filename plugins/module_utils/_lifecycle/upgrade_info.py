# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""Everything that the plan of an upgrade has to know of one host: what apt would install, and what could go wrong.

It runs with the standard library, and also where the engine does not answer.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Mapping
from typing import Any

from .._api.reader import EngineReader
from .._common.errors import SwarmError
from .._common.waiting import bounded
from .._engine.apt import Apt
from .._host.facts import note_in
from .._host.files import DATA_ROOT, UPGRADE_NOTE
from .._host.packages import installed_packages
from .package_offers import (
    EngineNames,
    Offers,
    Simulation,
    Wish,
    engine_names,
    parse_offers,
    parse_simulation,
    sizes_in,
    wish_for,
)

# Seconds. Reading the lists of slow mirrors, and an end for a command that hangs.
LONGEST_APT = 600
LONGEST_COMMAND = 20


def is_pending(note: Mapping[str, Any] | None) -> bool:
    """Whether the upgrade of a note has not come to its end. Pure."""
    return note is not None and not note.get("done")


def empty_info() -> dict[str, Any]:
    """The result of swarm_upgrade_info where nothing is known."""
    return {
        "packages": [],
        "installed": None,
        "target": None,
        "install": {},
        "remove": [],
        "before": {},
        "download_bytes": 0,
        "unpacked_bytes": 0,
        "disks": [],
        "problem": None,
        "engine": {},
        "iptables": {},
    }


def upgrade_info(module: Any) -> dict[str, Any]:
    """The result of swarm_upgrade_info. `module` is the AnsibleModule. Raises apt_failed and locked."""
    note = note_in(UPGRADE_NOTE)
    packages, _held, broken = installed_packages("")
    # The name of a package that is half-installed is not among those that are installed.
    names = engine_names({*packages, *((note or {}).get("before") or {})})
    result = empty_info()
    result.update(
        packages=list(names.all) if names else [],
        installed=packages.get(names.engine) if names else None,
        engine=_engine(module.params),
        iptables=_iptables(bounded(module.run_command, LONGEST_COMMAND)),
    )
    if module.params["engine_only"]:
        return result
    try:
        if names is None:
            raise SwarmError(
                "no_package", "no package of dpkg has its engine, and only apt can upgrade it here"
            )
        if broken:
            found = _interrupted(note, module.params["to"])
        else:
            found = _simulated(module, names, packages, note)
    except SwarmError as error:
        result["problem"] = {"code": error.code, "message": error.message.rstrip(".")}
        return result
    wish, done, sizes = found
    result.update(
        target=wish.target,
        install=dict(done.install),
        remove=list(done.remove),
        before=dict(done.before),
        download_bytes=sizes[0],
        unpacked_bytes=sizes[1],
        disks=_disks(sizes, str(result["engine"]["docker_root"] or DATA_ROOT)),
    )
    return result


Found = tuple[Wish, Simulation, tuple[int, int]]


def _interrupted(note: Mapping[str, Any] | None, to: str) -> Found:
    """dpkg was interrupted, so apt can simulate nothing: what the interrupted upgrade was to install."""
    if note is None or not is_pending(note) or not note.get("install"):
        raise SwarmError(
            "apt_failed",
            "dpkg was interrupted there, and not by an upgrade: run site.yml or 'dpkg --configure -a' first",
        )
    if note.get("to") != to:
        raise SwarmError(
            "apt_failed",
            f"dpkg was interrupted there by an upgrade to {note.get('to')}: finish it with swarm_upgrade_to={note.get('to')} first",
        )
    done = Simulation(note.get("before") or {}, note["install"], tuple(note.get("remove") or ()))
    return Wish(str(note.get("target") or "")), done, (0, 0)


def _simulated(
    module: Any, names: EngineNames, packages: dict[str, str], note: Mapping[str, Any] | None
) -> Found:
    """What apt says that it would do. It refreshes the package lists if they are older than an hour, or lack the version."""
    run = bounded(module.run_command, LONGEST_APT)

    def runner(args: list[str], environment: dict[str, str]) -> tuple[int, str, str]:
        code, output, errors = run(args, environ_update=environment)
        return code, output, errors

    apt = Apt(runner, module.params["lock_timeout"])
    # Between two packages of an upgrade that was killed, the command is missing.
    begun = (note or {}).get("install") or {} if is_pending(note) else {}
    has_cli = shutil.which("docker") is not None or names.cli in begun

    def wish() -> Wish:
        return wish_for(module.params["to"], names, _offers(apt, names), packages, has_cli)

    fresh = apt.lists_are_fresh(time.time())
    if not fresh:
        apt.update()
    try:
        found = wish()
    except SwarmError:
        if not fresh:
            raise
        apt.update()
        found = wish()
    if not found.packages:
        return found, Simulation(), (0, 0)
    done = _simulate(apt, found, allow_downgrades=True)
    exact = [f"{name}={version}" for name, version in done.install.items()]
    show = apt.command("look up packages", "apt-cache", "show", "--", *exact) if exact else ""
    return found, done, sizes_in(show)


def _offers(apt: Apt, names: EngineNames) -> Offers:
    return parse_offers(
        *(
            apt.command("look up packages", "apt-cache", verb, "--", *names.all)
            for verb in ("madison", "policy")
        )
    )


def _simulate(apt: Apt, wish: Wish, allow_downgrades: bool) -> Simulation:
    """First as the host's pins are; then with the suite that has the version, where its dependencies are too."""
    words = [f"{name}={version}" for name, version in wish.packages.items()]
    words += [f"{name}-" for name in wish.remove]
    options = ["--allow-downgrades"] if allow_downgrades else []
    if not wish.remove:
        options.append("--no-remove")
    ways: list[list[str]] = [[], ["--target-release", wish.suite]] if wish.suite else [[]]
    for number, way in enumerate(ways, 1):
        try:
            text = apt.command(
                f"install {', '.join(wish.packages)}",
                *("apt-get", "-q", "-y", "--simulate", *way, *options),
                *("--allow-change-held-packages", "--no-install-recommends", "install", "--"),
                *words,
            )
        except SwarmError:
            if number == len(ways):
                raise
            continue
        done = parse_simulation(text)
        if set(done.remove) <= set(wish.remove):
            return done
    raise SwarmError(
        "apt_failed",
        f"Could not install {', '.join(wish.packages)}: apt would remove {', '.join(done.remove)}.",
    )


def _disks(sizes: tuple[int, int], docker_root: str) -> list[dict[str, Any]]:
    """The file systems that the upgrade writes to, each once: a path, what is free, and what the packages need."""
    found: dict[int, dict[str, Any]] = {}
    for path, need in (("/var/cache/apt", sizes[0]), ("/usr", sizes[1]), (docker_root, 0)):
        place = path
        while place != "/" and not os.path.isdir(place):
            place = os.path.dirname(place)
        try:
            state, device = os.statvfs(place), os.stat(place).st_dev
        except OSError:
            continue
        row = {"path": path, "free_bytes": state.f_bavail * state.f_frsize, "need_bytes": 0}
        found.setdefault(device, row)["need_bytes"] += need
    return list(found.values())


def _engine(params: Mapping[str, Any]) -> dict[str, Any]:
    """What the engine says of itself; nulls if it does not answer."""
    said: dict[str, Any] = {
        "version": None,
        "api_version": None,
        "min_api_version": None,
        "storage_driver": None,
        "docker_root": None,
        "live_restore": None,
        "encrypted_networks": [],
    }
    try:
        reader = EngineReader(params["docker_host"], params["timeout"])
        reader.ping(params["timeout"])
        version = reader.get("/version", "read the version of the engine")
        said.update(
            version=version.get("Version"),
            api_version=version.get("ApiVersion"),
            min_api_version=version.get("MinAPIVersion"),
        )
        info = reader.info()
        said.update(
            storage_driver=info.get("Driver"),
            docker_root=info.get("DockerRootDir"),
            live_restore=info.get("LiveRestoreEnabled"),
        )
        networks = reader.get("/networks", "list the networks", filters={"driver": ["overlay"]})
        said["encrypted_networks"] = sorted(
            network["Name"]
            for network in networks or []
            if "encrypted" in (network.get("Options") or {})
        )
    except SwarmError:
        # A locked or broken engine is upgraded all the same: what is null here is not known.
        pass
    return said


def _iptables(run: Any) -> dict[str, Any]:
    """The flavour of the iptables command, and those in which there are chains of Docker."""
    flavour, chains = "", []
    if shutil.which("iptables"):
        code, output, _errors = run(["iptables", "--version"])
        if code == 0:
            flavour = "nf_tables" if "nf_tables" in output else "legacy"
    for name, command in (("legacy", "iptables-legacy-save"), ("nf_tables", "iptables-nft-save")):
        # Without a table in its arguments, the command loads none.
        if shutil.which(command) and ":DOCKER" in run([command])[1]:
            chains.append(name)
    return {"flavour": flavour, "chains": chains}
