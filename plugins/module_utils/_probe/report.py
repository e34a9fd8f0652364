# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""The result of a probe as data, and as text that a person reads. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from statistics import median
from typing import Any

from .._common.words import abbreviate, count_of
from .evaluate import Finding, Reach
from .observations import Seen
from .request import GOSSIP_PORT, HOST, Overlay

# A larger matrix has only the nodes that a finding names.
_MOST = 16
# The data of one pair is about 300 bytes.
_MOST_PAIRS = 2500


def empty_result() -> dict[str, Any]:
    """All keys of the result of swarm_probe, before anything is known."""
    return {
        "changed": False,
        "plan": [],
        "matrix": [],
        "findings": [],
        "pairs": [],
        "probed": [],
        "not_probed": {},
        "networks": {},
        "collected": "",
        "seconds": 0.0,
    }


def result_of(reach: Reach, findings: Sequence[Finding]) -> dict[str, Any]:
    """The keys of the result that a run fills."""
    seen = reach.seen
    networks = {overlay.where: overlay.name for overlay in seen.overlays}
    pairs = [
        {
            "from": seen.places[a].name,
            "to": seen.places[b].name,
            "ports": _ports(reach, a, b),
            "networks": {name: _measured(reach, where, a, b) for where, name in networks.items()},
        }
        for a, b in _pairs(reach)
    ]
    return {
        "findings": [each.as_dict() for each in findings],
        "pairs": pairs,
        "probed": [seen.places[n].name for n in reach.probed],
        "not_probed": {place.name: place.reason for place in seen.places if place.reason},
        "matrix": render(reach, findings).splitlines(),
        "seconds": seen.seconds,
    }


def _pairs(reach: Reach) -> list[tuple[int, int]]:
    """The pairs of the result: of many, only those with something that does not work."""
    if len(reach.pairs) <= _MOST_PAIRS:
        return reach.pairs
    wheres = [overlay.where for overlay in reach.seen.overlays]
    return [
        pair
        for pair in reach.pairs
        if not all(_ports(reach, *pair).values())
        or not all(reach.works(where, pair) for where in wheres)
    ][:_MOST_PAIRS]


def _ports(reach: Reach, a: int, b: int) -> dict[str, bool]:
    """Which ports of a host another one reaches."""
    seen, manager = reach.seen, reach.seen.places[b].manager
    found = {
        f"{GOSSIP_PORT}/tcp": reach.tcp("gossip", (a, b)) == "ok",
        f"{GOSSIP_PORT}/udp": reach.heard("gossip", (a, b)),
        f"{seen.data_port}/udp": reach.heard("data", (a, b)),
    }
    if manager:
        found[f"{manager.rpartition(':')[2]}/tcp"] = reach.tcp("manager", (a, b)) == "ok"
    if reach.esp:
        found["esp"] = reach.heard("esp", (a, b))
    if seen.port:
        published = seen.of(HOST, a, "published")
        found[f"{seen.port}/tcp"] = published.get(str(b)) == "ok"
    return found


def _measured(reach: Reach, where: str, a: int, b: int) -> dict[str, Any]:
    peer = reach.peer(where, (a, b))
    return {
        "works": reach.works(where, (a, b)),
        "udp": peer is not None and peer.udp,
        "tcp": peer is not None and peer.tcp,
        "mtu": peer.mtu if peer else 0,
        "lost": peer.lost if peer else 0,
        "milliseconds": peer.milliseconds if peer else None,
    }


def render(reach: Reach, findings: Sequence[Finding]) -> str:
    """The matrix, what was not probed, and the findings, as aligned text."""
    seen = reach.seen
    probed = reach.probed
    named = {name for finding in findings for name in finding.nodes}
    shown = probed if len(probed) <= _MOST else [n for n in probed if seen.places[n].name in named]
    nodes = count_of(len(probed), "node")
    head = f"PROBE  {nodes}, {count_of(len(reach.pairs), 'pair')}, {seen.seconds:g} s"
    blocks = [head]
    if len(shown) > 1:
        rows = shown[:_MOST]
        blocks.append(_table(seen, "hosts", rows, lambda a, b: _host_cell(reach, a, b)))
        for overlay in seen.overlays:
            blocks.append(_table(seen, overlay.name, rows, _cells(reach, overlay)))
        left = len(probed) - len(rows)
        if left:
            blocks.append(f"  and {count_of(left, 'more node')}, not shown")
    if probed and seen.overlays:
        blocks.append("\n".join(_summary(reach, overlay) for overlay in seen.overlays))
    lacking = [place for place in seen.places if place.reason]
    if lacking:
        lines = [f"  {place.name}: {place.reason}" for place in lacking[:40]]
        more = [f"  and {len(lacking) - 40} more"] if len(lacking) > 40 else []
        blocks.append("\n".join(["NOT PROBED", *lines, *more]))
    blocks.append(
        _findings(findings) if probed or findings else "FINDINGS  none: no node was probed"
    )
    return "\n\n".join(blocks)


def _cells(reach: Reach, overlay: Overlay) -> Callable[[int, int], str]:
    return lambda a, b: _overlay_cell(reach, overlay, a, b)


def _table(seen: Seen, title: str, nodes: Sequence[int], cell: Callable[[int, int], str]) -> str:
    names = [seen.places[n].name for n in nodes]
    lines = [[f"from \\ to, {title}", *names]]
    for a in nodes:
        lines.append([seen.places[a].name, *("-" if a == b else cell(a, b) for b in nodes)])
    widths = [max(len(line[n]) for line in lines) for n in range(len(names) + 1)]
    return "\n".join(
        "  " + "   ".join(f"{word:<{width}}" for word, width in zip(line, widths)).rstrip()
        for line in lines
    )


def _host_cell(reach: Reach, a: int, b: int) -> str:
    closed = [port for port, is_open in _ports(reach, a, b).items() if not is_open]
    return "ok" if not closed else "no " + ",".join(closed)


def _overlay_cell(reach: Reach, overlay: Overlay, a: int, b: int) -> str:
    peer = reach.peer(overlay.where, (a, b))
    if not peer:
        return "not found"
    if not reach.works(overlay.where, (a, b)):
        return "udp only" if peer.udp else "no"
    words = ["ok" if peer.milliseconds is None else f"{peer.milliseconds:.1f} ms"]
    if 0 < peer.mtu < reach.seen.mtu(overlay.where, a):
        words.append(f"{peer.mtu} B")
    if peer.lost:
        words.append(f"{peer.lost}/20 lost")
    return " ".join(words)


def _summary(reach: Reach, overlay: Overlay) -> str:
    """One line on a network: what works, the largest packet, the round trip."""
    seen = reach.seen
    works = [pair for pair in reach.pairs if reach.works(overlay.where, pair)]
    peers = list(filter(None, (reach.peer(overlay.where, pair) for pair in works)))
    trips = [peer.milliseconds for peer in peers if peer.milliseconds is not None]
    sizes = [peer.mtu for peer in peers if peer.mtu]
    words = [f"  {overlay.name}: {len(works)} of {len(reach.pairs)} pairs work"]
    if sizes:
        words.append(f"packets of up to {min(sizes)} bytes")
    if trips:
        words.append(f"round trip {median(trips):.1f} ms, at most {max(trips):.1f} ms")
    if seen.mesh:
        good = [n for n in reach.probed if seen.vip(overlay.where, n)[0]]
        words.append(f"virtual IP answers on {len(good)} of {count_of(len(reach.probed), 'node')}")
    return ", ".join(words)


def _findings(findings: Sequence[Finding]) -> str:
    if not findings:
        return "FINDINGS  none"
    lines = [f"FINDINGS  {len(findings)}"]
    width = max(len(each.cause) for each in findings)
    names = [abbreviate(each.nodes) or "-" for each in findings]
    wide = max(map(len, names))
    for each, nodes in zip(findings, names):
        lines.append(f"  {each.cause:<{width}}  {nodes:<{wide}}  {each.what}: {each.advice}")
    return "\n".join(lines)
