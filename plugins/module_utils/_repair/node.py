# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""What the networks of one host look like from inside: its own addresses, the entries of its kernel, the answers of its resolver, and
interfaces that belong to nothing. And how entries are written."""

from __future__ import annotations

import contextlib
import ctypes
import ipaddress
import os
import re
import socket
import struct
from collections.abc import Mapping, Sequence
from typing import Any

from .._api.reader import EngineReader
from .._common.errors import SwarmError, shown
from .._common.waiting import within
from .._common.words import count_of
from .._host.commands import run
from .._host.files import REPAIR_NOTE, names_in
from .._model.documents import dig, id_of, parse_member
from .._probe.entries import Runner, namespace_of, read_neighbours
from .._probe.prober import parse_answer, question

# The engine's name of the interface in the namespace of a network, and of one that it has not moved there yet
# (moby: libnetwork/drivers/overlay/ov_network.go).
_DEVICE = "vxlan0"
_LEFTOVER = re.compile("vx-[0-9a-f]{6}-[0-9a-z]{5}")
# The resolver in the namespace of a container (moby: libnetwork/resolver.go).
_RESOLVER = ("127.0.0.11", 53)
# A name that the engine does not know is asked elsewhere, where it may get no answer.
_ATTEMPT = 2.0
_MOST_SILENT = 3
_SECONDS, _RESOLVING = 30.0, 120.0
_MAC = re.compile("[0-9a-f]{2}(:[0-9a-f]{2}){5}")
_ID = re.compile("[0-9a-z]{25}")
_NEW_NETWORK = 0x40000000  # CLONE_NEWNET


def checked(names: Mapping[str, Any]) -> dict[str, list[str]]:
    """The option `names`, if it is what swarm_repair returns. Raises bad_option."""
    for services in names.values():
        good = isinstance(services, list) and all(
            isinstance(each, str) and 0 < len(each.encode()) < 64 for each in services
        )
        if not good:
            raise SwarmError(
                "bad_option",
                "Could not read the networks of this host: names is not what swarm_repair returns. Pass it unchanged.",
            )
    return dict(names)


def _check_entries(entries: Sequence[Mapping[str, Any]]) -> None:
    """Raise bad_option for an entry that is none: it becomes a part of a command."""
    for each in entries:
        try:
            ipaddress.IPv4Address(each["address"])
            ipaddress.IPv4Address(each["host"])
            good = _MAC.fullmatch(each["mac"]) and _ID.fullmatch(each["network"])
        except ValueError:
            good = None
        if not good:
            raise SwarmError(
                "bad_option",
                f"Could not write the entry of {shown(each['address'])}: entries is not what swarm_repair returns. Pass it unchanged.",
            )


def read_node(
    docker_host: str, names: Mapping[str, Sequence[str]], result: dict[str, Any], root: str = ""
) -> None:
    """Fill the result with what a repair must know of this host; `names` are the services to ask for, by the ID of the network.

    Raises the failures of the engine. What cannot be read is None.
    """
    engine = EngineReader(docker_host, _SECONDS)
    result["node_id"] = parse_member(engine.info()).node_id or ""
    result["leftovers"] = leftovers()
    result["unfinished"] = os.path.exists(root + REPAIR_NOTE)
    for listed in engine.get("/networks", "list the networks"):
        if listed.get("Driver") != "overlay" or namespace_of(id_of(listed), root) is None:
            continue
        network_id = id_of(listed)
        document = engine.get(f"/networks/{network_id}", f"read network {listed.get('Name')}")
        containers = document.get("Containers") or {}
        own = {
            str(each["IPv4Address"]).partition("/")[0]: str(each.get("MacAddress")).lower()
            for each in containers.values()
            if each.get("IPv4Address")
        }
        if own:
            sandbox = _sandbox(engine, containers) if names.get(network_id) else None
            result["networks"][network_id] = {
                "own": own,
                "entries": read_neighbours(network_id, root=root),
                "names": _names(sandbox, names[network_id]) if sandbox else None,
            }


def leftovers() -> list[str]:
    """The interfaces of overlay networks that are in the namespace of the host, where they stay for milliseconds unless an engine was
    stopped."""
    return sorted(name for name in names_in("/sys/class/net") if _LEFTOVER.fullmatch(name))


def _sandbox(engine: EngineReader, containers: Mapping[str, Any]) -> str | None:
    """The path of the namespace of a container in a network."""
    for key in sorted(containers):
        # Others are the engine's own, such as a load balancer, and have no resolver.
        if re.fullmatch("[0-9a-f]{64}", key):
            with contextlib.suppress(SwarmError):
                document = engine.get(f"/containers/{key}/json", f"read container {key[:12]}")
                path = str(dig(document, "NetworkSettings", "SandboxKey") or "")
                if path and os.path.exists(path):
                    return path
    return None


def _names(sandbox: str, services: Sequence[str]) -> dict[str, Any] | None:
    """What the resolver of a container says of the tasks of services; None if it cannot be asked."""

    def ask(_alive: Any) -> dict[str, Any]:
        enter_network(sandbox)
        return ask_all([f"tasks.{service}" for service in services])

    with contextlib.suppress(SwarmError, RuntimeError):
        answers = within(_RESOLVING, ask)
        return {name[len("tasks.") :]: answer for name, answer in answers.items()}
    return None


def enter_network(path: str) -> None:
    """Let this process be in the network namespace at a path. Raises OSError."""
    with open(path, "rb") as file:
        library = ctypes.CDLL(None, use_errno=True)
        if library.setns(file.fileno(), _NEW_NETWORK) != 0:
            raise OSError(ctypes.get_errno(), f"setns of {path} failed")


def ask_all(
    names: Sequence[str], server: tuple[str, int] = _RESOLVER, seconds: float = _ATTEMPT
) -> dict[str, dict[str, Any]]:
    """What a resolver says of names: `code` (ok, nxdomain, timeout, or error and a number) and `addresses`.

    Of a resolver that is silent for some names in a row, the rest is not asked: they are timeouts too.
    """
    found: dict[str, dict[str, Any]] = {}
    silent = 0
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(seconds)
        for number, name in enumerate(names):
            code, addresses = "timeout", list[str]()
            if silent < _MOST_SILENT:
                code, addresses = _ask(sock, server, number % 65536, name)
                silent = silent + 1 if code == "timeout" else 0
            found[name] = {"code": code, "addresses": addresses}
    return found


def _ask(
    sock: socket.socket, server: tuple[str, int], number: int, name: str
) -> tuple[str, list[str]]:
    with contextlib.suppress(OSError):
        sock.sendto(question(number, name), server)
        # Answers to earlier questions come late.
        for _each in range(10):
            with contextlib.suppress(ValueError, struct.error, IndexError):
                of, code, addresses = parse_answer(sock.recv(65536))
                if of == number:
                    return code, addresses
    return "timeout", []


def write_entries(
    wanted: Sequence[Mapping[str, Any]],
    interfaces: Sequence[str],
    check_mode: bool,
    result: dict[str, Any],
    runner: Runner = run,
    root: str = "",
) -> None:
    """Write entries, and remove interfaces, that still are as they were read. Fill the result with what was done and what had changed
    meanwhile. Raises not_repaired if they are not as wanted afterwards."""
    _check_entries(wanted)
    before: dict[str, str] = {}
    after: dict[str, str] = {}
    failed: list[str] = []
    wishes: dict[str, dict[str, tuple[str, str]]] = {}
    networks = sorted({str(each["network"]) for each in wanted})
    tables = {network: read_neighbours(network, runner, root) for network in networks}
    for each in wanted:
        network, address = str(each["network"]), str(each["address"])
        now = (tables[network] or {}).get(address, ("", ""))
        was, wish = (
            (str(each["found_mac"]), str(each["found_host"])),
            (str(each["mac"]), str(each["host"])),
        )
        label = f"{network[:12]} {address}"
        if tables[network] is None or now not in (was, wish):
            result["skipped"].append(f"{label} has changed since it was read")
        elif now != wish:
            before[label], after[label] = " ".join(now).strip(), " ".join(wish)
            wishes.setdefault(network, {})[address] = wish
    for network, addresses in () if check_mode else wishes.items():
        problems = _write(network, addresses, runner, root)
        failed += [f"{network[:12]} {address} ({why})" for address, why in problems.items()]
    for name in interfaces:
        if not _LEFTOVER.fullmatch(name) or name not in leftovers():
            result["skipped"].append(f"{name} is gone")
            continue
        before[name], after[name] = "there", ""
        done = None if check_mode else runner(["ip", "link", "delete", name], _SECONDS)
        if done is not None and not done.ok:
            failed.append(f"{name} ({done.why})")
    result.update(changed=bool(after), diff={"before": before, "after": after})
    if failed:
        raise SwarmError(
            "not_repaired",
            f"Could not write {count_of(len(failed), 'entry', 'entries')} of the kernel: {'; '.join(failed)}. Drain the node and restart"
            " its engine.",
        )


def _write(
    network: str, wishes: Mapping[str, tuple[str, str]], runner: Runner, root: str
) -> dict[str, str]:
    """Write the entries of a network as the engine would, and read them again once; by address, what is wrong."""
    inside = ["nsenter", f"--net={namespace_of(network, root)}"]
    problems: dict[str, str] = {}
    for address, (mac, host) in wishes.items():
        for words in (
            ["bridge", "fdb", "replace", mac, "dev", _DEVICE, "dst", host, "self", "permanent"],
            [
                "ip",
                "neighbour",
                "replace",
                address,
                "lladdr",
                mac,
                "dev",
                _DEVICE,
                "nud",
                "permanent",
            ],
        ):
            done = runner([*inside, *words], _SECONDS)
            if not done.ok:
                problems[address] = done.why
                break
    found = read_neighbours(network, runner, root) or {}
    for address, wish in wishes.items():
        if found.get(address) != wish:
            problems.setdefault(address, "it does not stay")
    return problems
