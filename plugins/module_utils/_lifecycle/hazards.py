# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""What is known to go wrong between two versions of the engine, as a table with sources. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from .._engine.versions import compare, upstream


@dataclass(frozen=True)
class UpgradeFacts:
    """What the conditions of the hazards ask for: of one host, and of its swarm."""

    host: str
    before: str  # version of the engine; empty if it is not known
    after: str
    daemon: Mapping[str, Any] = field(default_factory=dict)  # daemon.json
    live_restore: bool = False
    storage_driver: str = ""
    iptables: str = ""  # the flavour of the iptables command: nf_tables or legacy
    chains: tuple[str, ...] = ()  # the flavours in which the host has chains of Docker
    encrypted: tuple[str, ...] = ()  # overlay networks of the swarm that are encrypted


@dataclass(frozen=True)
class Hazard:
    """A row of the table."""

    name: str  # what swarm_upgrade_accepted_risks calls it, if it stops
    text: str
    source: str
    # The hazard concerns upgrades from a version before `version` to this one or a later one. Empty: every upgrade.
    version: str = ""
    stops: bool = False
    # What of a host makes it apply: words that complete the text, or nothing.
    applies: Callable[[UpgradeFacts], str] = lambda facts: "yes"

    def meets(self, facts: UpgradeFacts) -> str:
        """The words of `applies` if the upgrade of this host crosses the version; otherwise empty."""
        if self.version and not (
            compare(upstream(facts.before or "0"), self.version)
            < 0
            <= compare(upstream(facts.after), self.version)
        ):
            return ""
        return self.applies(facts)


def _encrypted(facts: UpgradeFacts) -> str:
    return ", ".join(facts.encrypted)


def _live_restore(facts: UpgradeFacts) -> str:
    return "yes" if facts.daemon.get("live-restore") or facts.live_restore else ""


def _nftables(facts: UpgradeFacts) -> str:
    return "yes" if facts.daemon.get("firewall-backend") == "nftables" else ""


def _two_flavours(facts: UpgradeFacts) -> str:
    used = {*facts.chains, facts.iptables} - {""}
    return " and ".join(sorted(used)) if len(used) > 1 else ""


def _driver(*names: str) -> Callable[[UpgradeFacts], str]:
    def applies(facts: UpgradeFacts) -> str:
        used = str(facts.daemon.get("storage-driver") or facts.storage_driver)
        return used if used in names else ""

    return applies


def _keys(*names: str) -> Callable[[UpgradeFacts], str]:
    return lambda facts: ", ".join(name for name in names if name in facts.daemon)


DEPRECATED = "https://docs.docker.com/engine/deprecated/"
# {0} is what `applies` returns.
HAZARDS = (
    Hazard(
        "encrypted_overlays",
        "encrypted overlay networks ({0}) carry no traffic between engines before 29 and from 29 on, so services lose each"
        " other until all hosts are upgraded",
        "https://github.com/moby/moby/issues/51798",
        version="29",
        stops=True,
        applies=_encrypted,
    ),
    Hazard(
        "dns_after_partition",
        "from engine 29 on, a node that loses the network for 10 to 30 s can leave names of services without an address until"
        " 'docker service update --force'",
        "https://github.com/moby/moby/issues/53141",
        version="29",
    ),
    Hazard(
        "api_1_44",
        "engine 29 refuses clients whose API version is below 1.44 (Docker 24 and older, and programs with a fixed version)",
        "https://docs.docker.com/engine/release-notes/29/",
        version="29",
    ),
    Hazard(
        "api_1_24",
        "engine 25 refuses clients whose API version is below 1.24 (Docker 1.11 and older)",
        "https://docs.docker.com/engine/release-notes/25.0/",
        version="25",
    ),
    Hazard(
        "live_restore",
        "the engine has live-restore, with which it does not start as a node of a swarm",
        "https://docs.docker.com/engine/daemon/live-restore/",
        stops=True,
        applies=_live_restore,
    ),
    Hazard(
        "nftables_backend",
        "the engine has the firewall backend nftables, with which it does not start as a node of a swarm",
        "https://github.com/moby/moby/pull/50467",
        version="29",
        stops=True,
        applies=_nftables,
    ),
    Hazard(
        "two_iptables",
        "two flavours of iptables are in use ({0}): after its restart, the engine writes rules in one, and the old ones in the"
        " other can block published ports",
        "https://github.com/moby/moby/issues/46636",
        applies=_two_flavours,
    ),
    Hazard(
        "storage_driver",
        "the storage driver {0} does not exist in the new engine, which starts without it or not at all: images and containers"
        " are lost",
        DEPRECATED,
        version="24",
        stops=True,
        applies=_driver("aufs", "overlay"),
    ),
    Hazard(
        "storage_driver",
        "the storage driver {0} does not exist in the new engine, which starts without it or not at all: images and containers"
        " are lost",
        DEPRECATED,
        version="25",
        stops=True,
        applies=_driver("devicemapper"),
    ),
    Hazard(
        "daemon_json",
        "daemon.json has {0}, which the new engine does not know, so it does not start",
        DEPRECATED,
        version="23",
        stops=True,
        applies=_keys("cluster-store", "cluster-advertise", "cluster-store-opts", "graph"),
    ),
)
HAZARD_RISKS = tuple(sorted({hazard.name for hazard in HAZARDS if hazard.stops}))


@dataclass(frozen=True)
class Finding:
    """A hazard that applies, with the hosts that meet it in the same way."""

    hazard: Hazard
    hosts: tuple[str, ...]
    words: str

    @property
    def text(self) -> str:
        return f"{self.hazard.text.format(self.words)} ({self.hazard.source})"


def hazards_of(facts: Iterable[UpgradeFacts]) -> Iterator[Finding]:
    """The hazards that apply to upgrades with these facts, in the order of the table."""
    upgrades = list(facts)
    for hazard in HAZARDS:
        met: dict[str, list[str]] = {}
        for each in upgrades:
            words = hazard.meets(each)
            if words:
                met.setdefault(words, []).append(each.host)
        for words, hosts in met.items():
            yield Finding(hazard, tuple(hosts), words)
