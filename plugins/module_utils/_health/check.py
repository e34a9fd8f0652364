# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""What a check of a swarm looks at, and what it returns. Pure."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import asdict, dataclass, field
from typing import Any

from .._common.words import Text
from .probed import ProbeResult
from .snapshot import SwarmSnapshot

# From good to bad; a verdict is the worst of its checks. `unknown` is worse than `degraded`, because what cannot be seen
# does not count as healthy. `skipped` does not count, and `noted` is a choice that an operator may want to change, not a fault.
STATUSES = ("skipped", "ok", "noted", "degraded", "unknown", "failed")
WELL = ("skipped", "ok", "noted")


VERDICTS = {
    "ok": "healthy",
    "noted": "healthy",
    "degraded": "degraded",
    "unknown": "unknown",
    "failed": "failed",
}


@dataclass(frozen=True)
class Check:
    """What one check found."""

    name: str
    status: str  # one of STATUSES
    message: Text
    advice: Text | None = None
    data: dict[str, Any] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """The check as data, for a module's result."""
        plain = {"message": str(self.message), "advice": self.advice and str(self.advice)}
        return {**asdict(self), **plain}


@dataclass(frozen=True)
class Thresholds:
    """From where on something is degraded. The options of swarm_health have these names and defaults."""

    ca_days: int = 30  # days until the CA expires
    certificate_days: int = 7  # days until this manager's certificate expires
    clock_skew: float = 5.0  # seconds
    disk_free_percent: int = 10
    network_percent: int = 80  # of the addresses of a network
    pending_seconds: int = 30
    restarts: int = 3  # failures of one replica within restart_window
    restart_window: int = 600  # seconds


@dataclass(frozen=True)
class HostContext:
    """What is known of the hosts, apart from what the engine says.

    `hosts` has what swarm_host_info returned, by inventory name, `certificate` is the PEM of the node's own certificate,
    `unreachable` are hosts that the controller could not reach, and `network` is what a probe has found.
    """

    hosts: dict[str, dict[str, Any]] = field(default_factory=dict)
    certificate: str = ""
    unreachable: Collection[str] = ()
    network: ProbeResult | None = None


@dataclass(frozen=True)
class CheckInput:
    """What a check looks at."""

    snapshot: SwarmSnapshot
    context: HostContext
    thresholds: Thresholds

    @property
    def service_states(self) -> list[dict[str, Any]]:
        """The services as in the result of swarm_health."""
        return self.snapshot.service_states

    @property
    def now(self) -> float:
        """Seconds since 1970, by the clock of the engine."""
        return self.snapshot.now or 0.0


Checks = dict[str, Callable[[CheckInput], Check]]
