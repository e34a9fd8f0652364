# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""What the probers have printed, as the managers return their logs, and what else a run has seen. Lines of others, and what is cut off,
are data and no error. Pure."""

from __future__ import annotations

import base64
import json
import struct
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from .._common.errors import SwarmError
from .request import Overlay, Place

# Where, number of the node: kind -> key -> value.
Facts = dict[str, dict[int, dict[str, dict[str, Any]]]]
# Bytes of what one run knows, of 300 nodes.
_MOST = 256 << 20


def frames(raw: bytes) -> Iterator[bytes]:
    """The pieces of a log: the engine precedes each with its stream and its size (moby: api/types/swarm, stdcopy)."""
    at = 0
    while at + 8 <= len(raw):
        kind, size = struct.unpack_from("!BxxxI", raw, at)
        if kind > 3 or at + 8 + size > len(raw):
            return
        yield raw[at + 8 : at + 8 + size]
        at += 8 + size


@dataclass
class Collected:
    """The facts of all probers of a run, from logs that are read again and again."""

    run: str
    facts: Facts = field(default_factory=dict)
    errors: dict[str, str] = field(default_factory=dict)
    _last: dict[tuple[str, int], tuple[float, int]] = field(default_factory=dict)

    def add(self, raw: bytes) -> None:
        """Take what is new in a log."""
        for frame in frames(raw):
            for line in frame.splitlines():
                if line.startswith(b'{"probe":'):
                    try:
                        self._take(json.loads(line))
                    except (ValueError, TypeError, KeyError):
                        continue

    def _take(self, line: Mapping[str, Any]) -> None:
        if line["probe"] != self.run:
            return
        if "error" in line:
            self.errors[f"{line.get('where')}/{line.get('node')}"] = str(line["error"])
            return
        key = (str(line["where"]), int(line["node"]))
        # A prober that was started again has a later beginning.
        place = (float(line["began"]), int(line["line"]))
        if place <= self._last.get(key, (0.0, -1)):
            return
        known = self.facts.setdefault(key[0], {}).setdefault(key[1], {})
        if place[0] != self._last.get(key, place)[0]:
            known.clear()
        self._last[key] = place
        for kind, name, value in line["facts"]:
            known.setdefault(str(kind), {})[str(name)] = value

    def settled(self, where: str, node: int) -> bool:
        """Whether a prober has found out everything, and all is as it should be."""
        return "settled" in self.facts.get(where, {}).get(node, {})


@dataclass(frozen=True)
class PeerFacts:
    """What one prober knows of another one in an overlay network. `node` is the number of the one that answers, or -1."""

    node: int
    udp: bool
    tcp: bool
    unchecked: bool  # whether packets without checksums pass
    mtu: int  # of the largest packet that arrives; 0 if that is not known
    lost: int  # of 20 packets
    milliseconds: float | None


def _whole(value: Any, otherwise: int) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) else otherwise


def _number(value: Any) -> float | None:
    good = isinstance(value, (int, float)) and not isinstance(value, bool)
    return float(value) if good else None


def _texts(value: Any) -> list[str]:
    return [each for each in value if isinstance(each, str)] if isinstance(value, list) else []


@dataclass
class Seen:
    """All that a run has seen, before it is judged."""

    run: str
    seconds: float
    places: Sequence[Place]
    overlays: Sequence[Overlay]
    mesh: bool
    port: int
    data_port: int
    facts: Facts = field(default_factory=dict)
    # By where: the addresses of the tasks of the probe, with their NodeIDs; the same of all tasks in the network.
    tasks: dict[str, dict[str, str]] = field(default_factory=dict)
    neighbours: dict[str, dict[str, str]] = field(default_factory=dict)
    # By where: the addresses of tasks of the probe that have ended.
    ended: dict[str, list[str]] = field(default_factory=dict)
    # Overlay networks of the swarm by name, with their subnets.
    subnets: dict[str, list[str]] = field(default_factory=dict)

    def packed(self) -> str:
        """Everything as one text: nobody reads it, and it can be large."""
        text = json.dumps(asdict(self), separators=(",", ":"))
        return base64.b64encode(zlib.compress(text.encode(), 1)).decode()

    def peer(self, where: str, node: int, address: str) -> PeerFacts | None:
        """What a prober knows of another one; None if it has not found it."""
        found = self.of(where, node, "peer").get(address)
        if not isinstance(found, dict):
            return None
        return PeerFacts(
            node=_whole(found.get("node"), -1),
            udp=found.get("udp") is True,
            tcp=found.get("tcp") == "ok",
            unchecked=found.get("unchecked") is True,
            mtu=_whole(found.get("mtu"), 0),
            lost=_whole(found.get("lost"), 0),
            milliseconds=_number(found.get("trip")),
        )

    def mtu(self, where: str, node: int) -> int:
        """The MTU of the interface of a prober in an overlay network; 0 if it has not reported."""
        found = self.of(where, node, "self").get("")
        return _whole(found.get("mtu"), 0) if isinstance(found, dict) else 0

    def names(self, where: str, node: int) -> dict[str, tuple[str, set[str]]]:
        """What the resolver of a prober says: by question, what came of it, and the addresses."""
        return {
            key: (str(found.get("code")), set(_texts(found.get("addresses"))))
            for key, found in self.of(where, node, "name").items()
            if isinstance(found, dict) and key in ("tasks", "service")
        }

    def vip(self, where: str, node: int) -> tuple[int, int]:
        """How many connections to the virtual address were answered, and how many were not."""
        found = self.of(where, node, "vip").get("")
        answers = found.get("answers") if isinstance(found, dict) else None
        counts = {
            str(key): _whole(count, 0)
            for key, count in (answers.items() if isinstance(answers, dict) else ())
        }
        good = sum(count for key, count in counts.items() if key.isdigit())
        return good, sum(counts.values()) - good

    def of(self, where: str, node: int, kind: str) -> dict[str, Any]:
        """The facts of one kind that a prober has found."""
        found = self.facts.get(where, {}).get(node, {}).get(kind)
        return found if isinstance(found, dict) else {}


def unpacked(text: str) -> Seen | None:
    """What `packed` has made a text of; None for an empty text. Raises bad_option."""
    if not text:
        return None
    try:
        data = json.loads(zlib.decompressobj().decompress(base64.b64decode(text), _MOST))
        data["places"] = [Place(**each) for each in data["places"]]
        data["overlays"] = [Overlay(**each) for each in data["overlays"]]
        data["facts"] = {
            where: {int(node): facts for node, facts in nodes.items()}
            for where, nodes in data["facts"].items()
        }
        return Seen(**data)
    except (ValueError, KeyError, TypeError, AttributeError, zlib.error) as error:
        raise SwarmError(
            "bad_option",
            "Could not read what the probe has seen: collected is not what swarm_probe returns with state=started. Pass it"
            " unchanged.",
        ) from error
