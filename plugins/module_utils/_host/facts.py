# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""The facts of a host, read from files: no engine, no third-party library, and a subprocess only for rpm.

It runs on bare and on broken hosts, so what is missing or unreadable is null, and nothing raises.
"""

from __future__ import annotations

import glob
import hashlib
import json
import os
import platform
import re
import socket
import time
import zlib
from typing import Any

from . import openpgp
from .engine import daemon_config, engine_is_active, unit_is_enabled
from .files import (
    APT_KEYRING,
    DATA_ROOT,
    MANAGED,
    REBOOT_NOTE,
    REBOOT_REQUIRED,
    RESTART_MARKER,
    SDK_VENV,
    UPGRADE_NOTE,
    read,
    text_of,
)
from .logins import observe_logins
from .network import addresses, observe_filters, observe_ports, routes
from .nics import observe_interfaces
from .packages import installed_packages

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
    """The key `host` of the result of swarm_host_info, sizes in bytes, time in seconds since 1970. `root` precedes every path,
    for tests."""
    config, config_error = daemon_config(root)
    packages, held, broken = installed_packages(root)
    kernel = platform.release()
    files = _files(root)
    return {
        "hostname": socket.gethostname(),
        # Other users cannot see who holds a port, the engine's files and its socket.
        "root": os.geteuid() == 0,
        "os": _os(root),
        "kernel": kernel,
        "systemd": os.path.isdir(root + "/run/systemd/system"),
        "time": time.time(),
        "cpus": os.cpu_count(),
        "memory_bytes": _memory(root),
        "disk": _disk(root, (config or {}).get("data-root")),
        "addresses": addresses(),
        "routes": routes(root),
        "interfaces": observe_interfaces(root),
        "filters": observe_filters(root),
        "vendor": text_of(root + "/sys/class/dmi/id/sys_vendor").strip() or None,
        **observe_ports(root),
        "kernel_features": kernel_features(root),
        "packages": packages,
        "held": held,
        "broken_packages": broken,
        "files": files,
        "logins": observe_logins(root),
        "keyring_fingerprints": _keyring(root),
        "daemon_config": config,
        "daemon_config_error": config_error,
        "cli": _which(root, "docker"),
        "sdk_venv": bool(
            glob.glob(f"{root}{SDK_VENV}/lib/python3*/site-packages/docker/__init__.py")
        ),
        "service": {
            "enabled": unit_is_enabled(root),
            "active": engine_is_active(root),
        },
        "boot_id": _boot_id(root),
        "reboot_required": os.path.exists(root + REBOOT_REQUIRED),
        "reboot_note": note_in(root + REBOOT_NOTE),
        "upgrade_note": note_in(root + UPGRADE_NOTE),
        "restart_pending": os.path.exists(root + RESTART_MARKER),
        "docker_group": _group(root, "docker"),
    }


def _os(root: str) -> dict[str, Any]:
    release: dict[str, str] = {}
    for line in (
        text_of(root + "/etc/os-release") or text_of(root + "/usr/lib/os-release")
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
    """A text that differs after each boot: the kernel's own ID, and when PID 1 started, because containers share a kernel."""
    kernel = text_of(root + "/proc/sys/kernel/random/boot_id").strip()
    # The 22nd field is the start time of the process (proc(5)); the second one, its name, may have spaces.
    began = text_of(root + "/proc/1/stat").rpartition(")")[2].split()[19:20]
    return "-".join([kernel, *began])


def note_in(path: str) -> dict[str, Any] | None:
    """A note that a playbook keeps on a host; None if there is none."""
    text = text_of(path)
    if not text:
        return None
    try:
        note = json.loads(text)
    except ValueError:
        note = None
    # A host whose note cannot be read is taken again rather than left out.
    return note if isinstance(note, dict) else {}


def _memory(root: str) -> int | None:
    match = re.search(r"^MemTotal:\s+(\d+) kB", text_of(root + "/proc/meminfo"), re.MULTILINE)
    return int(match.group(1)) * 1024 if match else None


def _disk(root: str, data_root: Any) -> dict[str, Any]:
    path = data_root if isinstance(data_root, str) and data_root.startswith("/") else DATA_ROOT
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


def kernel_features(root: str = "") -> dict[str, bool | None]:
    """Which features that overlay networks need the running kernel has; None where that cannot be told."""
    kernel = platform.release()
    config = _kernel_config(root, kernel)
    modules = b""
    for name in ("modules.builtin", "modules.dep"):
        modules += read(f"{root}/lib/modules/{kernel}/{name}") or b""
    filesystems = text_of(root + "/proc/filesystems").split()
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
            # "=m" without a module file: the module is not installed for this kernel, unless its files are not visible.
            result[feature] = False if match is None else bool(match.group(1) == "y" or not modules)
        else:
            result[feature] = False if modules else None
    return result


def _kernel_config(root: str, kernel: str) -> str:
    packed = read(root + "/proc/config.gz")
    if packed:
        try:
            return zlib.decompress(packed, 31).decode("utf-8", "replace")
        except zlib.error:
            pass
    return text_of(f"{root}/boot/config-{kernel}")


def _files(root: str) -> dict[str, str]:
    found = {}
    for pattern in MANAGED:
        for path in sorted(glob.glob(root + pattern)):
            content = read(path)
            if content is not None:
                found[path[len(root) :]] = hashlib.sha256(content).hexdigest()
    return found


def _keyring(root: str) -> list[str]:
    content = read(root + APT_KEYRING)
    if content is None:
        return []
    try:
        return openpgp.fingerprints(content)
    except openpgp.NotAKey:
        return []


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


def _group(root: str, name: str) -> list[str] | None:
    for line in text_of(root + "/etc/group").splitlines():
        fields = line.split(":")
        if len(fields) == 4 and fields[0] == name:
            return sorted(user for user in fields[3].split(",") if user)
    return None
