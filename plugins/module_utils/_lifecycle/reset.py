# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""Takes one host out of its swarm, in whatever state its engine is, and removes the engine and its data where that is asked.

With the standard library alone: the host may be bare by half. If the engine does not answer, or does not leave in time, it is
stopped, and the files of the swarm are removed.
"""

from __future__ import annotations

import contextlib
import glob
import http.client
import json
import os
import re
import shutil
import signal
from typing import Any, Callable

from .._api.reader import EngineReader, as_query, failed, message_of, unreachable
from .._api.unix import UnixConnection
from .._common.errors import SwarmError
from .._common.waiting import bounded, poll
from .._engine.apt import Apt
from .._engine.content import PROXY_DROPIN
from .._engine.packages import LONGEST_APT
from .._engine.unit import STOPS, EngineUnit
from .._host import files, service
from .._host.engine import daemon_config, engine_is_active
from .._host.network import GOSSIP_PORT, addresses, observe_ports
from .._host.packages import installed_packages
from .._model.documents import SWARM_PORT, parse_member, parse_node
from .._model.labels import name_of, stack_of
from .reset_plan import DATA, DATA_NAMES, SWARM, NodeIdentity, bad_data_root, identity_of

FOLDER = "/var/lib/flotilla.swarm"
NOTE = f"{FOLDER}/reset.json"
CONTAINERD_ROOT = "/var/lib/containerd"
TASK_LABEL = "com.docker.swarm.task.id"
# What an engine consists of; the SDK is for modules that need one.
_PACKAGES = (
    *("containerd", "containerd.io", "docker-ce", "docker-ce-cli", "docker-cli", "docker.io"),
    *("moby-engine", "python3-docker", "runc"),
)
_UNITS = ("docker.socket", "docker.service", "containerd.service")
# Seconds for the engine to close its ports after it has left.
_PORTS = 20
# Seconds for the kernel to take down namespaces, one after the other; a busy host is slow at it.
_TEARDOWN = 60
_INTERFACES = ("docker_gwbridge", "docker0")
_INTERFACE_FOLDER = "/sys/class/net"
# The interface of an overlay network in the host's own namespace (libnetwork: drivers/overlay/ov_network.go).
_VXLAN = re.compile(r"vx-[0-9a-f]{6}-[0-9a-z]{5}")
# The namespaces of overlay networks, which have the ID of theirs (libnetwork: drivers/overlay/ov_network.go).
_NAMESPACES = "/run/docker/netns"
_OVERLAY = re.compile(r"\d+-[0-9a-z]{10}")
# The ID of a container.
_ID = re.compile(r"\b[0-9a-f]{64}\b")
# The port of overlay networks is the kernel's; other networks of the host can use it too.
_DATA_PORT = 4789
# An interrupted run had stopped it.
START = "start the engine"
SERVICES = "remove the timers and services of this collection"
# What this collection runs on a host for the swarm. The registry and builders are no part of one.
_PARTS = ("backup", "gitops")

# (arguments) -> (exit code, output, errors)
Run = Callable[..., Any]


# Observe


def observe(params: dict[str, Any]) -> dict[str, Any]:
    """What a reset has to know of this host: the key `host` of the result of swarm_reset. Raises not_root."""
    if os.geteuid() != 0:
        raise SwarmError(
            "not_root",
            "Could not observe this host: only root can read the certificate of its node; run the task as root (become: true).",
        )
    note = _read_note()
    config, _error = daemon_config()
    root = str((config or {}).get("data-root") or (note or {}).get("data_root") or files.DATA_ROOT)
    seen: dict[str, Any] = {
        "state": "inactive",
        "answers": False,
        "cluster_id": None,
        "node_id": None,
        "role": None,
        "nodes": None,
        "remote_managers": [],
        "objects": None,
        "addresses": sorted({each["address"] for each in addresses()}),
        "containers": None,
        "volumes": None,
        "packages": _packages(),
        "files": _own_files(),
        "note": note,
        "notes": _notes(DATA),
        "services": [path for part in _PARTS for path in service.installed(part)],
    }
    reader = EngineReader(params["docker_host"], params["timeout"])
    try:
        reader.ping(params["observe_timeout"])
        info = reader.info()
        root = _without_remap(str(info.get("DockerRootDir") or root))
        seen.update(answers=True, **_engine_part(reader, info))
    except SwarmError:
        seen["answers"] = False
    identity = _identity(root)
    # An engine that says that it is in no swarm knows better than what is left of the files.
    if identity is not None and not (seen["answers"] and seen["state"] == "inactive"):
        seen["cluster_id"] = seen["cluster_id"] or identity.cluster_id
        seen["node_id"] = seen["node_id"] or identity.node_id
        seen["role"] = identity.role if not seen["answers"] else seen["role"] or identity.role
    if not seen["answers"] and _swarm_files(root):
        seen["state"] = "unknown"
    if seen["volumes"] is None:
        seen["volumes"] = len(
            [
                name
                for name in files.names_in(f"{root}/volumes")
                if os.path.isdir(f"{root}/volumes/{name}")
            ]
        )
    seen.update(data_root=root, data=_has_data(root))
    return seen


def _engine_part(reader: EngineReader, info: dict[str, Any]) -> dict[str, Any]:
    member = parse_member(info)
    found: dict[str, Any] = {
        "state": member.state,
        "cluster_id": member.cluster_id,
        "node_id": member.node_id,
        "role": member.role,
        "remote_managers": member.remote_managers,
        "containers": int(info.get("Containers") or 0),
    }
    with contextlib.suppress(SwarmError):
        listed = reader.get("/volumes", "list the volumes")
        found["volumes"] = len((listed or {}).get("Volumes") or [])
    if member.cluster_id:
        with contextlib.suppress(SwarmError):
            nodes = [parse_node(document) for document in reader.nodes()]
            found["nodes"] = [
                {"id": node.id, "name": name_of(node), "role": node.role, "addr": node.addr}
                for node in nodes
            ]
            found["objects"] = _objects(reader)
    return found


def _objects(reader: EngineReader) -> dict[str, list[str]]:
    """The names of what is lost with the swarm."""
    found: dict[str, list[str]] = {}
    specs = {
        kind: [each.get("Spec") or {} for each in reader.each(f"/{kind}", f"list the {kind}")]
        for kind in ("services", "secrets", "configs")
    }
    for kind, listed in specs.items():
        found[kind] = sorted(str(spec.get("Name")) for spec in listed)
    found["stacks"] = sorted(
        {stack for listed in specs.values() for spec in listed if (stack := stack_of(spec))}
    )
    found["networks"] = sorted(
        str(network.get("Name"))
        for network in reader.each("/networks", "list the networks")
        if network.get("Scope") == "swarm" and not network.get("Ingress")
    )
    return found


def _without_remap(root: str) -> str:
    """The data-root itself: with user namespaces, the engine reports a folder in it, such as 100000.100000."""
    head, tail = os.path.split(root.rstrip("/"))
    return head if re.fullmatch(r"\d+\.\d+", tail) else root


def _swarm_folders(root: str) -> list[str]:
    return [f"{root}/swarm", *glob.glob(f"{glob.escape(root)}/[0-9]*.[0-9]*/swarm")]


def _swarm_files(root: str) -> bool:
    return any(files.names_in(folder) for folder in _swarm_folders(root))


def _identity(root: str) -> NodeIdentity | None:
    found = (
        identity_of(files.text_of(f"{folder}/certificates/swarm-node.crt"))
        for folder in _swarm_folders(root)
    )
    return next(filter(None, found), None)


def _packages() -> list[str]:
    return sorted(set(installed_packages("")[0]) & set(_PACKAGES))


def _own_files() -> list[str]:
    """The files around the engine that the role docker_engine writes. A repository counts only with its mark."""
    found = [path for path in (files.DAEMON_JSON, PROXY_DROPIN) if os.path.exists(path)]
    for path in (files.APT_SOURCE, files.RPM_REPOSITORY, files.ZYPP_REPOSITORY):
        if "flotilla.swarm" in files.text_of(path):
            found.append(path)
    if files.APT_SOURCE in found and os.path.exists(files.APT_KEYRING):
        found.append(files.APT_KEYRING)
    return [*found, *([files.SDK_VENV] if os.path.isdir(files.SDK_VENV) else [])]


def _data(root: str) -> list[str]:
    """The folders and files of the engine's data."""
    if bad_data_root(root):
        return []
    found = [name for name in files.names_in(root) if name in DATA_NAMES or _is_remap(name)]
    paths = [os.path.join(root, name) for name in sorted(found)]
    # What is in it, and not the folder: that can be a mount of its own, as the data-root can.
    names = sorted(files.names_in(CONTAINERD_ROOT))
    return [*paths, *(os.path.join(CONTAINERD_ROOT, name) for name in names)]


def _has_data(root: str) -> bool:
    """Whether there is data of the engine, also in a folder from which none can be removed. Other programs have one of these two."""
    return bool(_data(root)) or {"containers", "volumes"} <= set(files.names_in(root))


def _is_remap(name: str) -> bool:
    return bool(re.fullmatch(r"\d+\.\d+", name))


def _notes(depth: str) -> list[str]:
    """The notes of this collection on the host; backups and safety copies, which are in folders of their own, are none."""
    found = [path for path in glob.glob(f"{FOLDER}/*.json") if path != NOTE]
    # The records of stacks; the repositories and the code of GitOps.
    folders = (f"{FOLDER}/{name}" for name in ("stacks", "gitops", "gitops-code"))
    found += [path for path in folders if os.path.isdir(path)]
    if depth != SWARM and os.path.exists(files.PREVIOUS_DAEMON_JSON):
        found.append(files.PREVIOUS_DAEMON_JSON)
    # Last, because it is what an interrupted run is resumed by.
    return sorted(found) + ([NOTE] if os.path.exists(NOTE) else [])


def _read_note() -> dict[str, Any] | None:
    text = files.text_of(NOTE)
    with contextlib.suppress(ValueError):
        note = json.loads(text)
        return note if isinstance(note, dict) else {}
    return {} if text else None


# Plan


def plan(seen: dict[str, Any], params: dict[str, Any]) -> list[str]:
    """The steps on this host, in words; raises foreign_swarm and bad_data_root. Pure."""
    depth, state, desired = params["depth"], params["state"], params["cluster_id"]
    if state == "observed":
        return []
    inside = seen["state"] != "inactive"
    if inside and seen["cluster_id"] and seen["cluster_id"] != desired:
        raise SwarmError(
            "foreign_swarm",
            f"Could not reset this host: it is in swarm {seen['cluster_id']}, not in {desired}. Nothing was changed. Set"
            " cluster_id to the ID of its swarm.",
            cluster_id=seen["cluster_id"],
        )
    # First, because a backup that begins in between would restart the engine, and GitOps would deploy.
    steps = [SERVICES] if seen["services"] else []
    if inside:
        how = "stop the engine, remove the files of the swarm"
        steps.append("leave the swarm" if seen["answers"] else how)
    elif seen["note"] is not None and not seen["answers"] and seen["packages"] and depth == SWARM:
        steps.append(START)
    if state == "removed" and depth != SWARM:
        if seen["packages"] or seen["files"]:
            steps.append(f"remove {', '.join([*seen['packages'], *seen['files']])}")
        if depth == DATA and seen["data"]:
            problem = bad_data_root(seen["data_root"])
            if problem:
                raise SwarmError(
                    "bad_data_root",
                    f"Could not remove the data of the engine: its data-root is {seen['data_root']}, and {problem}. Remove the"
                    " data yourself.",
                )
            steps.append(f"remove the data in {seen['data_root']}")
    if seen["notes"] and (state == "removed" or depth == SWARM):
        steps.append("remove the notes of this collection")
    return steps


# Apply and verify


class Reset:
    """The reset of this host. `run` runs a command; `applied` gets what was done, in order, also before a failure."""

    def __init__(self, params: dict[str, Any], run: Run, applied: list[str]) -> None:
        self._params = params
        self._plain = run
        self._run = bounded(run, STOPS)
        self._unit = EngineUnit(run)
        self._applied = applied
        self._root = files.DATA_ROOT
        self._reader = EngineReader(params["docker_host"], params["timeout"])

    def carry_out(self, seen: dict[str, Any], steps: list[str]) -> None:
        """Do what the plan says. Raises not_reset, not_stopped, not_back, systemctl_failed, apt_failed, locked and OSError."""
        self._root = seen["data_root"]
        depth, state = self._params["depth"], self._params["state"]
        if not steps:
            return
        self._write_note(seen)
        if SERVICES in steps:
            self._remove_services(seen["services"])
        if seen["state"] != "inactive":
            self._leave(seen)
        elif START in steps:
            self._start()
            self._settle()
            self._applied.append("started the engine")
        if state == "removed" and depth != SWARM:
            self._remove_engine()
            if depth == DATA:
                self._remove_data()
        if state == "removed" or depth == SWARM:
            self._forget(depth)

    def _write_note(self, seen: dict[str, Any]) -> None:
        """Before anything else: this is how the next run knows which swarm this host was in."""
        if seen["note"] and seen["state"] == "inactive":
            return
        os.makedirs(FOLDER, mode=0o755, exist_ok=True)
        note = {
            "cluster_id": self._params["cluster_id"],
            "depth": self._params["depth"],
            "data_root": self._root,
        }
        temporary = f"{NOTE}.new"
        with open(temporary, "w", encoding="utf-8") as handle:
            json.dump(note, handle)
            handle.flush()
            os.fsync(handle.fileno())
        os.replace(temporary, NOTE)

    def _remove_services(self, paths: list[str]) -> None:
        """The timers, services, settings and keys of the roles swarm_backup and swarm_gitops, and no backups."""
        service.stop(self._run, paths)
        for path in paths:
            _remove_path(path)
        self._run(["systemctl", "daemon-reload"])
        self._applied.append("removed the timers and services of this collection")

    # Out of the swarm

    def _leave(self, seen: dict[str, Any]) -> None:
        left = bool(seen["answers"]) and self._asked_to_leave()
        if not left:
            self._leave_without_engine()
            self._applied.append("stopped the engine and removed the files of the swarm")
        else:
            self._applied.append("left the swarm")
        if self._params["depth"] == SWARM or left:
            self._settle()

    def _asked_to_leave(self) -> bool:
        """Ask the engine to leave; False if it does not, for whatever reason."""
        try:
            self._send("POST", "/swarm/leave", self._params["leave_timeout"], force=True)
        except SwarmError as error:
            if error.code != "not_in_swarm":
                return False
        return poll(self._state, lambda state: state == "inactive", 30)[1]

    def _state(self) -> str:
        """What the engine says of its place in the swarm. Nothing if it does not answer: it can hang while it leaves."""
        try:
            return parse_member(self._reader.info()).state
        except SwarmError:
            return ""

    def _leave_without_engine(self) -> None:
        self._unit.stop()
        for folder in _swarm_folders(self._root):
            for name in files.names_in(folder):
                _remove_path(os.path.join(folder, name))
        if self._params["depth"] == SWARM:
            self._start()

    def _remove_task_containers(self) -> None:
        """An engine that was locked, or that did not leave by itself, still has the containers of its tasks."""
        query = {"all": True, "filters": {"label": [TASK_LABEL]}}
        for container in self._reader.get("/containers/json", "list the containers", **query):
            path = f"/containers/{container['Id']}"
            with contextlib.suppress(SwarmError):
                self._send("DELETE", path, self._params["timeout"], force=True)

    def _settle(self) -> None:
        """Wait until the engine has closed the ports of the swarm, and remove what it has left. One that keeps a port does so until it
        restarts."""

        def busy() -> list[str]:
            state = self._state()
            words = []
            if state != "inactive":
                words = [
                    f"its engine {f'reports the state {state}' if state else 'does not answer'}"
                ]
            return [*words, *(f"port {port} is still open" for port in _open_ports())]

        def closed(found: list[str]) -> bool:
            return not found

        found, done = poll(busy, closed, _PORTS)
        if not done:
            self._unit.stop()
            self._start()
            found, done = poll(busy, closed, _PORTS)
        if done:
            # An engine that hung has been restarted by now. The last overlay network goes with the last of these.
            self._remove_task_containers()
        self._remove_overlays()
        if done:
            poll(
                lambda: _DATA_PORT in observe_ports()["listening"]["udp"],
                lambda held: not held,
                _TEARDOWN,
            )
        if not done:
            why = " and ".join(found)
            raise SwarmError(
                "not_reset",
                f"Could not take this host out of its swarm: {why}, also after a restart of the engine. See journalctl -u docker"
                " on the host, and run again.",
            )

    def _remove_overlays(self) -> None:
        """Remove what engines leave behind of overlay networks: the namespaces, if they were killed, which keep the port of these
        networks; the interface, if they were stopped while they joined, and the next swarm cannot use its ID."""
        for name in files.names_in(_NAMESPACES):
            if _OVERLAY.fullmatch(name):
                path = os.path.join(_NAMESPACES, name)
                # The engine may be about to remove it too.
                self._run(["umount", "--", path])
                with contextlib.suppress(OSError):
                    os.unlink(path)
        for name in files.names_in(_INTERFACE_FOLDER):
            if _VXLAN.fullmatch(name):
                self._run(["ip", "link", "delete", "dev", name])

    # The engine

    def _start(self) -> None:
        self._unit.start_and_wait(self._params["docker_host"])

    def _remove_engine(self) -> None:
        self._unit.stop()
        if os.path.isdir("/run/systemd/system"):
            self._run(["systemctl", "stop", *_UNITS])
        self._end_containers()
        packages = _packages()
        if packages:
            self._remove_packages(packages)
            self._applied.append(f"removed {', '.join(packages)}")
        own = _own_files()
        for path in own:
            _remove_path(path)
        for folder in (files.DROPIN_DIR, files.CERTS_DIR, os.path.dirname(files.DAEMON_JSON)):
            with contextlib.suppress(OSError):
                os.rmdir(folder)
        if own:
            self._applied.append(f"removed {', '.join(own)}")
        for name in _INTERFACES:
            if os.path.exists(f"{_INTERFACE_FOLDER}/{name}"):
                self._run(["ip", "link", "delete", name])
        self._remove_overlays()
        if os.path.isdir("/run/systemd/system"):
            self._run(["systemctl", "daemon-reload"])
        left = _packages() or (["a process of dockerd"] if engine_is_active() else [])
        if left:
            raise SwarmError(
                "not_reset",
                f"Could not remove the engine from this host: {', '.join(left)} is still there. Run again.",
            )

    def _end_containers(self) -> None:
        """Kill the containers that outlive their engine: it was killed itself, or daemon.json has live-restore."""

        def kill() -> list[int]:
            found = container_processes(self._root)
            for pid in found:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            return found

        found, done = poll(kill, lambda found: not found, 20)
        if not done:
            raise SwarmError(
                "not_reset",
                f"Could not end the containers of this host: process {found[0]} does not end, also when it is killed. Nothing of the"
                " engine was removed. Reboot the host, and run again.",
            )

    def _remove_packages(self, names: list[str]) -> None:
        long = bounded(self._plain, LONGEST_APT)
        if shutil.which("apt-get") is None:
            program = ["zypper", "--non-interactive", "remove"]
            words = program if shutil.which("zypper") else ["dnf", "-y", "remove"]
            code, output, errors = long([*words, "--", *names])
            if code != 0:
                reason = (errors.strip() or output.strip()).splitlines()[-1:] or ["no reason given"]
                raise SwarmError("apt_failed", f"Could not remove {', '.join(names)}: {reason[0]}")
            return

        def runner(args: list[str], environment: dict[str, str]) -> tuple[int, str, str]:
            code, output, errors = long(args, environ_update=environment)
            return code, output, errors

        apt = Apt(runner, 300)
        if installed_packages("")[2]:
            apt.repair()
        apt.hold(names, release=True)
        # Not a purge: a purge of some packages removes the data too, and depth engine keeps it.
        attempt = f"remove {', '.join(names)}"
        apt.command(attempt, "apt-get", "-q", "-y", "--no-auto-remove", "remove", "--", *names)

    def _remove_data(self) -> None:
        problem = bad_data_root(self._root)
        if problem is not None:
            return
        for path in (self._root, CONTAINERD_ROOT):
            self._unmount_below(path)
        paths = _data(self._root)
        for path in paths:
            _remove_path(path)
        for folder in (self._root, CONTAINERD_ROOT):
            with contextlib.suppress(OSError):
                os.rmdir(folder)
        left = _data(self._root)
        if left:
            raise SwarmError(
                "not_reset",
                f"Could not remove the data of the engine: {', '.join(left[:3])} is still there. Check what uses it"
                " (findmnt, lsof), and run again.",
            )
        if paths:
            self._applied.append(f"removed the data in {self._root}")

    def _unmount_below(self, root: str) -> None:
        """A volume can be a mount of a storage that other hosts share: nothing behind a mount is ever removed."""
        for place in _mounts_below(root):
            self._run(["umount", "--", place])
        left = _mounts_below(root)
        if left:
            raise SwarmError(
                "not_reset",
                f"Could not remove the data of the engine: {left[0]} is still mounted. Nothing in {root} was removed. Unmount it,"
                " and run again.",
            )

    # Notes

    def _forget(self, depth: str) -> None:
        notes = _notes(depth)
        for path in notes:
            _remove_path(path)
        with contextlib.suppress(OSError):
            os.rmdir(FOLDER)
        if notes:
            self._applied.append("removed the notes of this collection")

    def _send(self, method: str, path: str, seconds: float, **query: Any) -> None:
        """One request that writes, with the standard library; its failures are those of EngineReader."""
        attempt = f"{method} {path}"
        words = "&".join(f"{key}={as_query(value)}" for key, value in query.items())
        connection = UnixConnection(self._params["docker_host"][len("unix://") :], seconds)
        try:
            connection.request(method, f"{path}?{words}" if words else path)
            answer = connection.getresponse()
            text = answer.read().decode("utf-8", "replace")
        except (OSError, http.client.HTTPException) as error:
            raise unreachable(attempt, self._params["docker_host"], error) from error
        finally:
            connection.close()
        if answer.status >= 400:
            raise failed(attempt, message_of(text), answer.status)


def container_processes(root: str, proc: str = "/proc") -> list[int]:
    """The processes of the containers in this data-root, and those that containerd has for each of them. `proc` is for tests."""
    folders = [f"{root}/containers", *glob.glob(f"{glob.escape(root)}/[0-9]*.[0-9]*/containers")]
    ids = {name for folder in folders for name in files.names_in(folder) if _ID.fullmatch(name)}
    found = []
    for name in files.names_in(proc) if ids else ():
        if name.isdigit():
            # The last part of its cgroup is the ID of its container; containerd's shim has the ID as an argument.
            words = files.text_of(f"{proc}/{name}/cgroup")
            if files.text_of(f"{proc}/{name}/comm").startswith("containerd-shim"):
                words += files.text_of(f"{proc}/{name}/cmdline")
            if not ids.isdisjoint(_ID.findall(words)):
                found.append(int(name))
    return sorted(found)


def _open_ports() -> list[int]:
    """The ports of a swarm that the engine still holds."""
    held = observe_ports()["engine_listening"]
    return sorted({*held["tcp"], *held["udp"]} & {SWARM_PORT, GOSSIP_PORT})


def _mounts_below(root: str) -> list[str]:
    """The mount points in a folder, the deepest first. A space in a path is \\040 (proc(5))."""
    # The kernel knows no links, and a data-root can be one.
    root = os.path.realpath(root)
    places = []
    for line in files.text_of("/proc/self/mounts").splitlines():
        place = line.split(" ")[1] if " " in line else ""
        place = re.sub(r"\\([0-7]{3})", lambda found: chr(int(found.group(1), 8)), place)
        if place.startswith(root.rstrip("/") + "/"):
            places.append(place)
    return sorted(places, key=lambda place: -place.count("/"))


def _remove_path(path: str) -> None:
    """Remove a file or a folder; what is gone already is no problem."""
    if os.path.isdir(path) and not os.path.islink(path):
        shutil.rmtree(path, onerror=_unless_gone)
    else:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)


def _unless_gone(_work: Any, _path: str, problem: Any) -> None:
    if not isinstance(problem[1], FileNotFoundError):
        raise problem[1]
