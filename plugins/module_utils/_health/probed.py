# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""The result of swarm_probe, as far as a verdict needs it. Pure.

It comes through a playbook, which can skip the probe, run it in check mode, or pass something else.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .._common.errors import SwarmError, shorten, shown, sort_of
from .._model.documents import dig

# More nodes, or faults, than a swarm can have.
MOST = 10000
# The longest word that a probe uses for a cause or a node.
_LONGEST = 300
# What says how the probe went, besides what it found.
_OUTCOME = ("skipped", "failed", "unreachable", "msg", "failure", "probed", "not_probed")


@dataclass(frozen=True)
class ProbeFinding:
    """One fault that a probe has found."""

    cause: str
    nodes: tuple[str, ...] = ()
    what: str = ""
    advice: str = ""
    port: str = ""

    def as_data(self) -> dict[str, Any]:
        """The finding in the data of a check."""
        return {**vars(self), "nodes": list(self.nodes)}


@dataclass(frozen=True)
class ProbeResult:
    """What a probe has found between which nodes, or why it has not. `ended` is false for a probe that only started."""

    probed: tuple[str, ...] = ()
    not_probed: Mapping[str, str] = field(default_factory=dict)
    findings: tuple[ProbeFinding, ...] = ()
    failure: str = ""
    skipped: bool = False
    check_mode: bool = False
    ended: bool = True


def needed_of(result: Any) -> Any:
    """A result of swarm_probe without what a verdict does not need. It can be megabytes, which would travel to the host."""
    if not isinstance(result, Mapping) or not result:
        return result
    small = {key: result[key] for key in _OUTCOME if key in result}
    for key in ("matrix", "collected"):
        value = result.get(key)
        small[key] = value[:1] if isinstance(value, (list, str)) else value
    findings = result.get("findings")
    if isinstance(findings, list):
        findings = [_needed_finding(each) for each in findings[: MOST + 1]]
    return {**small, "findings": findings} if "findings" in result else small


def _needed_finding(finding: Any) -> Any:
    if not isinstance(finding, Mapping):
        return finding
    small = {key: finding.get(key) for key in ("cause", "nodes", "what", "advice")}
    return {**small, "data": {"port": dig(finding, "data", "port")}}


def parse_probe(result: Any) -> ProbeResult | None:
    """What the option `network` has; None if it has nothing. Raises bad_option."""
    if result is None or result == {}:
        return None
    if not isinstance(result, Mapping):
        raise _wrong(f"network is {sort_of(result)}")
    if result.get("skipped") and "findings" not in result:
        return ProbeResult(skipped=True)
    if any(result.get(key) for key in ("failure", "failed", "unreachable", "msg")):
        why = str(result.get("msg") or "it gave no reason").strip().rstrip(".")
        return ProbeResult(failure=shorten(why), ended=False)
    probed = _names("network.probed", _list_of(result, "probed"))
    findings = tuple(
        _finding(number, each) for number, each in enumerate(_list_of(result, "findings"))
    )
    reasons = result.get("not_probed")
    if not isinstance(reasons, Mapping) or len(reasons) > MOST:
        raise _wrong(f"network.not_probed is {_shape(reasons)}")
    not_probed = {str(name)[:_LONGEST]: str(why)[:_LONGEST] for name, why in reasons.items()}
    # A probe that ran to its end has a matrix, also if no node was probed.
    ended = bool(probed or findings or result.get("matrix"))
    started = bool(result.get("collected"))
    return ProbeResult(
        probed, not_probed, findings, check_mode=not ended and not started, ended=ended
    )


def _finding(number: int, finding: Any) -> ProbeFinding:
    where = f"network.findings[{number}]"
    if not isinstance(finding, Mapping):
        raise _wrong(f"{where} is {sort_of(finding)}")
    cause = finding.get("cause")
    if not isinstance(cause, str) or not cause.strip():
        raise _wrong(f"{where}.cause is {_shape(cause)}")
    nodes = finding.get("nodes")
    if not isinstance(nodes, list) or len(nodes) > MOST:
        raise _wrong(f"{where}.nodes is {_shape(nodes)}")
    return ProbeFinding(
        cause=cause[:_LONGEST],
        nodes=_names(f"{where}.nodes", nodes),
        what=shorten(str(finding.get("what") or "")),
        advice=shorten(str(finding.get("advice") or "")),
        port=str(dig(finding, "data", "port") or "")[:_LONGEST],
    )


def _list_of(result: Mapping[str, Any], key: str) -> list[Any]:
    value = result.get(key)
    if not isinstance(value, list) or len(value) > MOST:
        raise _wrong(f"network.{key} is {_shape(value)}")
    return value


def _names(where: str, names: list[Any]) -> tuple[str, ...]:
    for name in names:
        if not isinstance(name, str):
            raise _wrong(f"{where} has {shown(name)}")
    return tuple(dict.fromkeys(name[:_LONGEST] for name in names))


def _shape(value: Any) -> str:
    """A value that cannot be what it should be, in words."""
    if value is None:
        return "missing"
    if isinstance(value, (list, Mapping)) and len(value) > MOST:
        return f"too long, with {len(value)} entries"
    return "empty" if value == "" else sort_of(value)


def _wrong(what: str) -> SwarmError:
    return SwarmError(
        "bad_option",
        f"Could not check the network: {what}, and network must be the result of flotilla.swarm.swarm_probe. Register that task, pass"
        " its variable, and run again.",
    )
