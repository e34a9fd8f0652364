# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""The addresses, routes and ports of this host, from netlink and /proc."""

from __future__ import annotations

import contextlib
import ipaddress
import os
import re
import socket
import struct
from typing import Any

from .engine import engine_pid
from .files import names_in, text_of

# The port over which nodes gossip, TCP and UDP (moby: libnetwork/networkdb).
GOSSIP_PORT = 7946
# Interfaces that the engine creates; their routes are not those of the host's own networks.
_ENGINE_INTERFACE = re.compile(r"^(docker\d*|docker_gwbridge|br-[0-9a-f]{12}|veth.*|vxlan.*|lo)$")
_OVERLAY_SANDBOX = re.compile(r"^\d+-")


def is_engine_interface(name: str) -> bool:
    """Whether the engine has created this interface, or it is the loopback."""
    return bool(_ENGINE_INTERFACE.match(name))


def observe_ports(root: str = "") -> dict[str, dict[str, list[int]]]:
    """The ports in use, those of them that dockerd itself holds, and those that the kernel holds for overlay networks.

    The keys are listening, engine_listening and kernel_listening, each with tcp and udp. Only root can see who holds a port.
    """
    pid = engine_pid(root)
    own = _open_files(root, pid) if pid is not None else set()
    listening = {protocol: _listening(root, protocol) for protocol in ("tcp", "udp")}
    kernel = set()
    # Such a namespace exists while a task of an overlay network does, or longer if the engine was killed. Only then can the
    # kernel hold a port, and only then is it worth looking at every process.
    if any(_OVERLAY_SANDBOX.match(name) for name in names_in(f"{root}/var/run/docker/netns")):
        anybody = set().union(
            *(_open_files(root, name) for name in names_in(f"{root}/proc") if name.isdigit())
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


def observe_filters(root: str = "") -> dict[str, Any]:
    """What decides which packets pass a host. What cannot be read is None.

    forwarding: whether the kernel forwards IPv4. iptables: the kind of rules that the command iptables writes, nft or legacy.
    legacy_tables: the tables of legacy iptables that the kernel has, also without a rule. strict: the host's own interfaces that
    take a packet only if its answer would leave by the same interface (rp_filter 1; the higher value of the interface and of all
    counts, see ip-sysctl in the documentation of the kernel).
    """
    settings = f"{root}/proc/sys/net/ipv4"
    forwarding = text_of(f"{settings}/ip_forward").strip()
    link = ""
    with contextlib.suppress(OSError):
        link = os.readlink(f"{root}/etc/alternatives/iptables")
    for_all = _number(f"{settings}/conf/all/rp_filter")
    own = [
        name
        for name in names_in(f"{settings}/conf")
        if name not in ("all", "default") and not _ENGINE_INTERFACE.match(name)
    ]
    return {
        "forwarding": {"0": False, "1": True}.get(forwarding),
        "iptables": next((kind for kind in ("nft", "legacy") if link.endswith(f"-{kind}")), None),
        "legacy_tables": sorted(text_of(f"{root}/proc/net/ip_tables_names").split()),
        "strict": sorted(
            name for name in own if max(for_all, _number(f"{settings}/conf/{name}/rp_filter")) == 1
        ),
    }


def _number(path: str) -> int:
    text = text_of(path).strip()
    return int(text) if text.isdigit() else 0


def left_over(observed: dict[str, Any]) -> bool:
    """Whether the engine of a host, given its facts, is in no swarm and still holds the gossip port.

    An engine that cannot notify its peers within a second of leaving keeps that port until it restarts (moby, pull request
    50115), and overlay networks do not work in its next swarm.
    """
    own = (observed.get("host") or {}).get("engine_listening") or {}
    return (observed.get("swarm") or {}).get("state") == "inactive" and any(
        GOSSIP_PORT in (own.get(protocol) or []) for protocol in ("tcp", "udp")
    )


def _open_files(root: str, pid: object) -> set[str]:
    found = set()
    for number in names_in(f"{root}/proc/{pid}/fd"):
        with contextlib.suppress(OSError):
            found.add(os.readlink(f"{root}/proc/{pid}/fd/{number}"))
    return found


def _listening(root: str, protocol: str) -> list[tuple[int, str]]:
    """The ports in use, each with the open file that the process that holds it has in /proc/PID/fd."""
    ports = []
    for name in (protocol, protocol + "6"):
        for line in text_of(f"{root}/proc/net/{name}").splitlines()[1:]:
            fields = line.split()
            # TCP: state LISTEN. UDP has no such state: a bound, unconnected socket is 07.
            port = fields[1].rpartition(":")[2] if len(fields) > 3 else ""
            listens = len(fields) > 3 and fields[3] == ("0A" if protocol == "tcp" else "07")
            if listens and re.fullmatch("[0-9A-F]{4}", port):
                ports.append((int(port, 16), f"socket:[{fields[9]}]" if len(fields) > 9 else ""))
    return ports


def parse_network(text: Any) -> Any:
    """An IPv4Network or IPv6Network from its text; None if it is none."""
    try:
        return ipaddress.ip_network(str(text))
    except ValueError:
        return None


def addresses() -> list[dict[str, Any]]:
    """IPv4 and global IPv6 addresses, from netlink (RTM_GETADDR), each with interface, address and prefix."""
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


def routes(root: str) -> list[str]:
    """Networks that this host has a route to, without default routes and those of the engine's own interfaces."""
    found = set()
    for line in text_of(root + "/proc/net/route").splitlines()[1:]:
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
    for line in text_of(root + "/proc/net/ipv6_route").splitlines():
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
