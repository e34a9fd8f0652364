# Copyright (c) 2026 The Flotilla authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: it can change without notice.

"""What a host is and has, read from files alone: no subprocess, no engine, no third-party library.

It runs on bare hosts and on sick ones, so whatever is missing or unreadable is null and nothing raises.
"""

from __future__ import annotations

import contextlib
import glob
import hashlib
import ipaddress
import json
import os
import platform
import re
import shutil
import socket
import struct
import time
import zlib
from typing import Any

from ansible_collections.flotilla.swarm.plugins.module_utils import _openpgp
from ansible_collections.flotilla.swarm.plugins.module_utils._model import JoinNote

DAEMON_JSON = "/etc/docker/daemon.json"
DROPIN_DIR = "/etc/systemd/system/docker.service.d"
CERTS_DIR = "/etc/docker/certs.d"
APT_SOURCE = "/etc/apt/sources.list.d/docker.sources"
APT_KEYRING = "/etc/apt/keyrings/docker.asc"
RPM_REPOSITORY = "/etc/yum.repos.d/docker-ce.repo"
ZYPP_REPOSITORY = "/etc/zypp/repos.d/docker-ce.repo"
# Written before a change that a running engine only takes in when restarted, removed by the restart. It is on
# a tmpfs on purpose: a reboot restarts the engine as well.
RESTART_MARKER = "/run/flotilla.swarm/docker-restart"
# daemon.json as it was before the last change, until an engine has come up with the new one.
PREVIOUS_DAEMON_JSON = "/var/lib/flotilla.swarm/daemon.json.previous"
# Kept by a host that is to be rebooted, until it is back in service.
REBOOT_NOTE = "/var/lib/flotilla.swarm/reboot.json"
# Debian's and Ubuntu's packages put it there (update-notifier-common, unattended-upgrades).
REBOOT_REQUIRED = "/run/reboot-required"
SDK_VENV = "/opt/flotilla.swarm"
# Where the nodes of a swarm gossip, over both protocols.
GOSSIP_PORT = 7946
POLICY_RC_D = "/usr/sbin/policy-rc.d"
POLICY_MARK = "flotilla.swarm"

PACKAGES = (
    "containerd",
    "containerd.io",
    "docker",
    "docker-ce",
    "docker-ce-cli",
    "docker-cli",
    "docker.io",
    "moby-engine",
    "podman-docker",
    "python3-docker",
    "runc",
)

_MANAGED = (
    DAEMON_JSON,
    DROPIN_DIR + "/*.conf",
    CERTS_DIR + "/*/*.crt",
    APT_SOURCE,
    APT_KEYRING,
    RPM_REPOSITORY,
    ZYPP_REPOSITORY,
)
# Interfaces that the engine makes; their routes say nothing about the network the host is in.
_ENGINE_INTERFACE = re.compile(r"^(docker\d*|docker_gwbridge|br-[0-9a-f]{12}|veth.*|vxlan.*|lo)$")
_OVERLAY_SANDBOX = re.compile(r"^\d+-")
_FEATURES = {
    "overlay": ("CONFIG_OVERLAY_FS", "overlay", ""),
    "vxlan": ("CONFIG_VXLAN", "vxlan", ""),
    "bridge": ("CONFIG_BRIDGE", "bridge", ""),
    "ip_vs": ("CONFIG_IP_VS", "ip_vs", "/proc/net/ip_vs"),
    "esp": ("CONFIG_INET_ESP", "esp4", ""),
}
_FAMILIES = (
    ("Debian", {"debian", "ubuntu"}),
    ("RedHat", {"rhel", "fedora", "centos", "rocky", "almalinux", "ol", "amzn"}),
    ("Suse", {"suse", "opensuse", "sles", "opensuse-leap", "opensuse-tumbleweed"}),
)


def observe_host(root: str = "") -> dict[str, Any]:
    """Everything the roles want to know of a host, bar its engine. ROOT is put before every path (for tests)."""
    config, config_error = _daemon_config(root)
    packages, held, broken = _packages(root)
    kernel = platform.release()
    files = _files(root)
    return {
        "hostname": socket.gethostname(),
        # Without, much of the rest is not seen: what others listen on, the engine's files, its socket.
        "root": os.geteuid() == 0,
        "os": _os(root),
        "kernel": kernel,
        "systemd": os.path.isdir(root + "/run/systemd/system"),
        "time": time.time(),
        "cpus": os.cpu_count(),
        "memory_bytes": _memory(root),
        "disk": _disk(root, (config or {}).get("data-root")),
        "addresses": _addresses(),
        "routes": _routes(root),
        **observe_ports(root),
        "kernel_features": _kernel_features(root, kernel),
        "packages": packages,
        "held": held,
        "broken_packages": broken,
        "files": files,
        "keyring_fingerprints": _keyring(root),
        "daemon_config": config,
        "daemon_config_error": config_error,
        "cli": _which(root, "docker"),
        "sdk_venv": bool(
            glob.glob(f"{root}{SDK_VENV}/lib/python3*/site-packages/docker/__init__.py")
        ),
        "service": {
            "enabled": _enabled(root),
            "active": _engine_pid(root, (config or {}).get("pidfile")) is not None,
        },
        "boot_id": _boot_id(root),
        "reboot_required": os.path.exists(root + REBOOT_REQUIRED),
        "reboot_note": _reboot_note(root),
        "restart_pending": os.path.exists(root + RESTART_MARKER),
        "docker_group": _group(root, "docker"),
    }


def observe_packages(root: str = "") -> dict[str, str]:
    """The installed versions of the packages that matter to an engine."""
    return _packages(root)[0]


def engine_pid(root: str = "") -> int | None:
    """The process of this host's dockerd, answering or not."""
    config, _error = _daemon_config(root)
    return _engine_pid(root, (config or {}).get("pidfile"))


def engine_is_active(root: str = "") -> bool:
    """Whether a dockerd runs on this host, answering or not."""
    return engine_pid(root) is not None


def observe_ports(root: str = "") -> dict[str, dict[str, list[int]]]:
    """The ports on which somebody listens, those that this host's dockerd itself holds, and those that the kernel
    holds for overlay networks.

    Only root can see whose they are.
    """
    pid = engine_pid(root)
    own = _open_files(root, pid) if pid is not None else set()
    listening = {protocol: _listening(root, protocol) for protocol in ("tcp", "udp")}
    kernel = set()
    # An overlay network leaves such a namespace for as long as a task of it is there, or longer where the engine was
    # killed. It makes no difference to the engine; only then is it worth looking at every process.
    if any(_OVERLAY_SANDBOX.match(name) for name in _listdir(f"{root}/var/run/docker/netns")):
        anybody = set().union(
            *(_open_files(root, name) for name in _listdir(f"{root}/proc") if name.isdigit())
        )
        kernel = {port for port, file in listening["udp"] if file not in anybody}
        kernel -= {port for port, file in listening["udp"] if file in anybody}
    return {
        "listening": {
            protocol: sorted({port for port, _file in found})
            for protocol, found in listening.items()
        },
        "engine_listening": {
            protocol: sorted({port for port, file in found if file in own})
            for protocol, found in listening.items()
        },
        "kernel_listening": {"tcp": [], "udp": sorted(kernel)},
    }


def left_over(observed: dict[str, Any]) -> bool:
    """Whether the engine is in no swarm and its own process still listens where nodes gossip.

    An engine that cannot say goodbye to its peers within a second of leaving keeps that port until it is restarted
    (moby, pull request 50115), and in its next swarm overlay networks do not work.
    """
    own = (observed.get("host") or {}).get("engine_listening") or {}
    return (observed.get("swarm") or {}).get("state") == "inactive" and any(
        GOSSIP_PORT in (own.get(protocol) or []) for protocol in ("tcp", "udp")
    )


def _open_files(root: str, pid: object) -> set[str]:
    found = set()
    for number in _listdir(f"{root}/proc/{pid}/fd"):
        with contextlib.suppress(OSError):
            found.add(os.readlink(f"{root}/proc/{pid}/fd/{number}"))
    return found


def join_note(docker_root: str | None) -> JoinNote:
    """Whether the engine has begun to join a swarm and never got there, and by which address it has joined.

    It keeps note of the first (moby: daemon/cluster/utils.go, JoinInProgress), says nothing of it, and tries the one
    address that it was given for ever. Until it is restarted it also asks there, and nowhere else, to become a manager,
    whoever is one by then (swarmkit: node/node.go, runManager); if nobody answers there, its node goes down.
    """
    root = os.path.join(docker_root or "/var/lib/docker", "swarm")
    try:
        state = json.loads(_text(os.path.join(root, "docker-state.json")) or "{}")
        unfinished, address = bool(state.get("JoinInProgress")), state.get("RemoteAddr")
    except (ValueError, AttributeError):
        return JoinNote()
    try:
        # Written when the host joins, and when the engine starts.
        joined = os.stat(os.path.join(root, "certificates", "swarm-root-ca.crt")).st_mtime
        restarted = os.stat("/run/docker.pid").st_mtime > joined
    except OSError:
        restarted = False
    return JoinNote(unfinished, None if restarted else address or None)


def unit_is_enabled() -> bool:
    """Whether systemd starts the engine at boot."""
    return _enabled("")


def ask_for_restart() -> None:
    """Note that the running engine has to be restarted, before the change that makes it so."""
    os.makedirs(os.path.dirname(RESTART_MARKER), mode=0o755, exist_ok=True)
    with open(RESTART_MARKER, "w", encoding="utf-8"):
        pass


def restore_daemon_json() -> None:
    """Put back the daemon.json of before the last change; an empty one stands for none."""
    if os.path.getsize(PREVIOUS_DAEMON_JSON):
        shutil.copyfile(PREVIOUS_DAEMON_JSON, DAEMON_JSON)
    else:
        os.unlink(DAEMON_JSON)


def restart_is_done() -> None:
    """Take back what `ask_for_restart` noted, and forget the daemon.json that is no longer needed."""
    for path in (RESTART_MARKER, PREVIOUS_DAEMON_JSON):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)


def _read(path: str) -> bytes | None:
    try:
        with open(path, "rb") as handle:
            return handle.read()
    except OSError:
        return None


def _text(path: str) -> str:
    return (_read(path) or b"").decode("utf-8", "replace")


def _os(root: str) -> dict[str, Any]:
    release: dict[str, str] = {}
    for line in (
        _text(root + "/etc/os-release") or _text(root + "/usr/lib/os-release")
    ).splitlines():
        key, separator, value = line.partition("=")
        if separator:
            release[key.strip()] = value.strip().strip("\"'")
    names = {release.get("ID", "").lower(), *release.get("ID_LIKE", "").lower().split()}
    family = next((name for name, members in _FAMILIES if names & members), "other")
    codename = release.get("VERSION_CODENAME") or None
    if codename is None and family == "Debian":
        # Debian's testing and unstable once had no VERSION_CODENAME: "Debian GNU/Linux trixie/sid".
        match = re.search(r"/(sid)\b", release.get("PRETTY_NAME", ""))
        codename = match.group(1) if match else None
    return {
        "family": family,
        "distribution": release.get("ID") or None,
        "release": release.get("VERSION_ID") or None,
        "codename": codename,
        "arch": platform.machine(),
    }


def _boot_id(root: str) -> str:
    """Another one after each boot: the kernel's own, and when PID 1 began, for a container keeps its host's kernel."""
    kernel = _text(root + "/proc/sys/kernel/random/boot_id").strip()
    # The 22nd field is the time at which a process began (proc(5)); the second one, its name, may have spaces in it.
    began = _text(root + "/proc/1/stat").rpartition(")")[2].split()[19:20]
    return "-".join([kernel, *began])


def _reboot_note(root: str) -> dict[str, Any] | None:
    text = _text(root + REBOOT_NOTE)
    if not text:
        return None
    try:
        note = json.loads(text)
    except ValueError:
        note = None
    # Who is known to be due and not since when is rebooted once more rather than left out.
    return note if isinstance(note, dict) else {}


def _memory(root: str) -> int | None:
    match = re.search(r"^MemTotal:\s+(\d+) kB", _text(root + "/proc/meminfo"), re.MULTILINE)
    return int(match.group(1)) * 1024 if match else None


def _disk(root: str, data_root: Any) -> dict[str, Any]:
    path = (
        data_root if isinstance(data_root, str) and data_root.startswith("/") else "/var/lib/docker"
    )
    while path != "/" and not os.path.isdir(root + path):
        path = os.path.dirname(path)
    try:
        stat = os.statvfs(root + path)
    except OSError:
        return {"path": path, "free_bytes": None, "total_bytes": None}
    return {
        "path": path,
        "free_bytes": stat.f_bavail * stat.f_frsize,
        "total_bytes": stat.f_blocks * stat.f_frsize,
    }


def _addresses() -> list[dict[str, Any]]:
    """IPv4 and global IPv6 addresses, asked of the kernel by netlink (RTM_GETADDR)."""
    names = dict(_interfaces())
    found: list[dict[str, Any]] = []
    try:
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0) as link:
            link.settimeout(2)
            # nlmsghdr (length, RTM_GETADDR, NLM_F_REQUEST | NLM_F_DUMP, sequence, pid) and an empty ifaddrmsg.
            link.send(struct.pack("=IHHII", 24, 22, 0x301, 1, 0) + bytes(8))
            done = False
            while not done:
                data = link.recv(65536)
                at = 0
                while at + 16 <= len(data):
                    length, kind = struct.unpack_from("=IH", data, at)
                    if kind in (2, 3) or length < 16:
                        done = True
                        break
                    if kind == 20:
                        entry = _address(data[at + 16 : at + length], names)
                        if entry is not None:
                            found.append(entry)
                    at += (length + 3) & ~3
    except (OSError, AttributeError, struct.error):
        return found
    return sorted(found, key=lambda entry: (entry["interface"], entry["address"]))


def _interfaces() -> list[tuple[int, str]]:
    try:
        return socket.if_nameindex()
    except OSError:
        return []


def _address(message: bytes, names: dict[int, str]) -> dict[str, Any] | None:
    _family, prefix, _flags, scope, index = struct.unpack_from("=BBBBI", message, 0)
    if scope == 254:  # loopback
        return None
    attributes: dict[int, bytes] = {}
    at = 8
    while at + 4 <= len(message):
        size, kind = struct.unpack_from("=HH", message, at)
        if size < 4:
            break
        attributes[kind] = message[at + 4 : at + size]
        at += (size + 3) & ~3
    raw = attributes.get(2) or attributes.get(1)  # IFA_LOCAL, else IFA_ADDRESS
    if raw is None or len(raw) not in (4, 16):
        return None
    address = ipaddress.ip_address(raw)
    if address.is_link_local:
        return None
    return {"interface": names.get(index, str(index)), "address": str(address), "prefix": prefix}


def _routes(root: str) -> list[str]:
    """Networks this host has a route to, default routes and those of the engine's own bridges left out."""
    found = set()
    for line in _text(root + "/proc/net/route").splitlines()[1:]:
        fields = line.split()
        if len(fields) < 8 or _ENGINE_INTERFACE.match(fields[0]) or fields[7] == "00000000":
            continue
        try:
            destination, mask = (
                socket.inet_ntoa(struct.pack("=I", int(fields[column], 16))) for column in (1, 7)
            )
            found.add(str(ipaddress.ip_network(f"{destination}/{mask}")))
        except (ValueError, struct.error):
            continue
    for line in _text(root + "/proc/net/ipv6_route").splitlines():
        fields = line.split()
        if len(fields) < 10 or _ENGINE_INTERFACE.match(fields[9]) or fields[1] in ("00", "80"):
            continue
        try:
            network = ipaddress.ip_network((bytes.fromhex(fields[0]), int(fields[1], 16)))
        except ValueError:
            continue
        if not network.is_link_local and not network.is_multicast:
            found.add(str(network))
    return sorted(found)


def _listening(root: str, protocol: str) -> list[tuple[int, str]]:
    """The ports on which somebody listens, each with the open file that stands for it in the process that does."""
    ports = []
    for name in (protocol, protocol + "6"):
        for line in _text(f"{root}/proc/net/{name}").splitlines()[1:]:
            fields = line.split()
            # TCP: state LISTEN. UDP has no such state: a bound, unconnected socket is 07.
            port = fields[1].rpartition(":")[2] if len(fields) > 3 else ""
            listens = len(fields) > 3 and fields[3] == ("0A" if protocol == "tcp" else "07")
            if listens and re.fullmatch("[0-9A-F]{4}", port):
                ports.append((int(port, 16), f"socket:[{fields[9]}]" if len(fields) > 9 else ""))
    return ports


def _kernel_features(root: str, kernel: str) -> dict[str, bool | None]:
    config = _kernel_config(root, kernel)
    modules = b""
    for name in ("modules.builtin", "modules.dep"):
        modules += _read(f"{root}/lib/modules/{kernel}/{name}") or b""
    filesystems = _text(root + "/proc/filesystems").split()
    result: dict[str, bool | None] = {}
    for feature, (option, module, proof) in _FEATURES.items():
        shown = (
            os.path.isdir(f"{root}/sys/module/{module}")
            or module in filesystems
            or (proof != "" and os.path.exists(root + proof))
        )
        if shown or re.search(rb"/%s\.ko\b" % module.encode(), modules):
            result[feature] = True
        elif config:
            match = re.search(rf"^{option}=(.)$", config, re.MULTILINE)
            # "=m" without its module file: the module is not installed for this kernel, unless we cannot see it.
            result[feature] = False if match is None else bool(match.group(1) == "y" or not modules)
        else:
            result[feature] = False if modules else None
    return result


def _kernel_config(root: str, kernel: str) -> str:
    packed = _read(root + "/proc/config.gz")
    if packed:
        try:
            return zlib.decompress(packed, 31).decode("utf-8", "replace")
        except zlib.error:
            pass
    return _text(f"{root}/boot/config-{kernel}")


def _packages(root: str) -> tuple[dict[str, str], list[str], bool]:
    """Installed versions, holds, and whether dpkg was interrupted. Null-like on systems without dpkg or rpm."""
    status = _read(root + "/var/lib/dpkg/status")
    if status is None:
        return _rpm_packages(root)
    packages: dict[str, str] = {}
    held = []
    for name in PACKAGES:
        start = status.find(b"Package: " + name.encode() + b"\n")
        while start > 0 and status[start - 1 : start] != b"\n":
            start = status.find(b"Package: " + name.encode() + b"\n", start + 1)
        if start < 0:
            continue
        end = status.find(b"\n\n", start)
        stanza = status[start : end if end >= 0 else len(status)].decode("utf-8", "replace")
        fields = dict(re.findall(r"^(Status|Version): (.*)$", stanza, re.MULTILINE))
        wish, _flag, state = (fields.get("Status", "") + "   ").split(" ")[:3]
        if wish == "hold":
            held.append(name)
        if state in ("installed", "triggers-awaited", "triggers-pending") and "Version" in fields:
            packages[name] = fields["Version"]
    # dpkg's journal (all-digit names) is what makes apt say that dpkg was interrupted.
    journal = [name for name in _listdir(root + "/var/lib/dpkg/updates") if name.isdigit()]
    half = re.search(
        rb"^Status: \S+ (?:reinstreq \S+|\S+ (?:half-installed|half-configured|unpacked))$",
        status,
        re.M,
    )
    left = POLICY_MARK in _text(root + POLICY_RC_D)
    return packages, sorted(held), bool(journal or half or left)


def _rpm_packages(root: str) -> tuple[dict[str, str], list[str], bool]:
    import subprocess  # only needed where there is no file to read

    if root or not any(os.path.exists(path) for path in ("/usr/bin/rpm", "/bin/rpm")):
        return {}, [], False
    try:
        done = subprocess.run(
            [
                "rpm",
                "-q",
                "--queryformat",
                "%{NAME}\t%{EPOCHNUM}:%{VERSION}-%{RELEASE}\n",
                *PACKAGES,
            ],
            capture_output=True,
            text=True,
            check=False,
            timeout=20,
            env={"PATH": os.environ.get("PATH", "/usr/sbin:/usr/bin:/sbin:/bin"), "LC_ALL": "C"},
        )
    except (OSError, subprocess.SubprocessError):
        return {}, [], False
    packages = {}
    for line in done.stdout.splitlines():
        name, separator, version = line.partition("\t")
        if separator:
            packages[name] = version[2:] if version.startswith("0:") else version
    locks = _text("/etc/dnf/plugins/versionlock.list") + _text(
        "/etc/yum/pluginconf.d/versionlock.list"
    )
    held = [
        name
        for name in packages
        if re.search(rf"^(?:\d+:)?{re.escape(name)}-\d", locks, re.MULTILINE)
    ]
    return packages, sorted(held), False


def _listdir(path: str) -> list[str]:
    try:
        return os.listdir(path)
    except OSError:
        return []


def _files(root: str) -> dict[str, str]:
    found = {}
    for pattern in _MANAGED:
        for path in sorted(glob.glob(root + pattern)):
            content = _read(path)
            if content is not None:
                found[path[len(root) :]] = hashlib.sha256(content).hexdigest()
    return found


def _keyring(root: str) -> list[str]:
    content = _read(root + APT_KEYRING)
    if content is None:
        return []
    try:
        return _openpgp.fingerprints(content)
    except _openpgp.NotAKey:
        return []


def _daemon_config(root: str) -> tuple[dict[str, Any] | None, str | None]:
    try:
        with open(root + DAEMON_JSON, "rb") as handle:
            raw = handle.read()
    except FileNotFoundError:
        return None, None
    except OSError as exc:
        return None, exc.strerror or str(exc)
    if not raw.strip():
        return {}, None
    try:
        config = json.loads(raw.decode("utf-8"))
    except ValueError as exc:
        return None, f"not valid JSON: {exc}"
    if not isinstance(config, dict):
        return None, "not a JSON object"
    return config, None


def _which(root: str, command: str) -> str | None:
    for directory in (
        "/usr/local/bin",
        "/usr/bin",
        "/bin",
        "/usr/local/sbin",
        "/usr/sbin",
        "/sbin",
    ):
        path = f"{directory}/{command}"
        if os.access(root + path, os.X_OK):
            return path
    return None


def _enabled(root: str) -> bool:
    wants = root + "/etc/systemd/system/multi-user.target.wants/docker.service"
    masked = os.path.realpath(root + "/etc/systemd/system/docker.service") == "/dev/null"
    return os.path.lexists(wants) and not masked


def _engine_pid(root: str, pidfile: Any) -> int | None:
    for path in (pidfile if isinstance(pidfile, str) else "/run/docker.pid", "/var/run/docker.pid"):
        pid = _text(root + path).strip()
        if pid.isdigit() and _text(f"{root}/proc/{pid}/comm").strip() == "dockerd":
            return int(pid)
    return None


def _group(root: str, name: str) -> list[str] | None:
    for line in _text(root + "/etc/group").splitlines():
        fields = line.split(":")
        if len(fields) == 4 and fields[0] == name:
            return sorted(user for user in fields[3].split(",") if user)
    return None
