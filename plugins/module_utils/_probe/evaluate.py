# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""From what a run has seen to its findings: one for each fault. Pure.

A fault of a lower layer shows in all layers above it: a blocked port also makes names fail, and virtual addresses. So the layers are
judged from the bottom up, and what a lower one explains is not reported again. What nothing explains is reported as such.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, TypeVar

from .._common.words import abbreviate, count_of
from .._host.network import parse_network
from .._model.mtu import LARGEST_MTU, container_mtu, hosts_mtu
from .observations import PeerFacts, Seen
from .prober import MOST_LOST
from .request import GOSSIP_PORT, HOST, Overlay

Pair = tuple[int, int]  # from, to
Key = TypeVar("Key", int, str)

# What to do about each cause.
ADVICE = {
    "unreachable": "check the addresses, the routes and the firewalls between these hosts",
    "one_way": "check the routes and the firewalls in this direction: packets pass in the other one",
    "blocked_port": "open {port} in this direction, in the firewalls of the hosts and in those between them",
    "esp_dropped": "open IP protocol 50 (ESP) in this direction, in the firewalls of the hosts and in those between them",
    "kernel_without": "install or load the module {module} in the kernel of these hosts (modprobe {module})",
    "checksum_offload": "turn off checksum offload for {interfaces} on these hosts: swarm_fix_offload does it, see docs/howto/set_mtu.md",
    "mtu": "set swarm_network_mtu to {mtu}, and com.docker.network.driver.mtu in driver_opts of the networks of stacks; or give the network"
    " between the hosts a larger MTU",
    "stale_entry": "run the playbook repair_network.yml (moby, issue 52661)",
    "dns_no_answer": "run repair_network.yml with swarm_repair_up_to=engines: the resolver for containers of the node does not answer",
    "dns_stale": "run repair_network.yml with swarm_repair_up_to=engines: the node has not heard of all tasks from the others",
    "nxdomain": "run repair_network.yml with swarm_repair_up_to=engines: the node has lost the names of the network (moby, issue 53141)",
    "mixed_versions": "upgrade all engines to one version (upgrade_engine.yml): these cannot decrypt each other (moby, issue 51798)",
    "overlapping_subnets": "recreate one of the networks with another subnet",
    "loss": "check the load of these hosts, and the network between them",
    "mesh": "check the ingress network of these nodes: docker network inspect ingress, journalctl -u docker",
    "vip": "check that the module ip_vs is loaded on these nodes, and restart their engines after a drain",
    "no_report": "look at docker service ps of a service of that name while a probe runs, and at the log of the engine",
    "unexplained": "look at the log of the engine on both nodes: journalctl -u docker",
}
_MODULES = {"ip_vs": "ip_vs", "esp": "esp4", "vxlan": "vxlan"}
_FEATURE_WORDS = {
    "ip_vs": "IPVS: virtual IPs and the published ports of the mesh do not answer there",
    "esp": "ESP: encrypted networks carry nothing there",
    "vxlan": "VXLAN: overlay networks carry nothing there",
}


@dataclass(frozen=True)
class HostFacts:
    """What is known of a host besides the probe. `entries` has, by ID of the network, the host that each address leads to."""

    features: Mapping[str, bool | None] = field(default_factory=dict)
    routes: Collection[str] = ()
    entries: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    interface: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Finding:
    """One fault."""

    cause: str
    nodes: list[str]
    what: str
    advice: str
    direction: str = ""
    network: str = ""
    data: dict[str, Any] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """The finding as data, for a module's result."""
        return asdict(self)


def most_seen(advertised: Mapping[Key, str], seen: Iterable[tuple[Key, str]]) -> dict[Key, str]:
    """The address that most entries have for each host: its address for data can differ from the one that it advertises. A host that
    only one other knows of has the advertised one."""
    votes = {key: Counter([address]) for key, address in advertised.items()}
    for key, host in seen:
        if host and key in votes:
            votes[key][host] += 1
    return {
        key: max(sorted(counts), key=lambda host: (counts[host], host == advertised[key]))
        for key, counts in votes.items()
    }


def evaluate(reach: Reach, hosts: Mapping[str, HostFacts]) -> list[Finding]:
    """The findings of a run; `hosts` are the facts by NodeID."""
    return _Judge(reach, hosts).findings()


class Reach:
    """What passes between the hosts and in the networks, pair by pair."""

    def __init__(self, seen: Seen) -> None:
        self.seen = seen
        self.probed = [n for n, place in enumerate(seen.places) if not place.reason]
        self.pairs = [(a, b) for a in self.probed for b in self.probed if a != b]
        self.esp = any(overlay.encrypted for overlay in seen.overlays)
        self._addresses: dict[str, dict[int, list[str]]] = {}
        # Of 300 nodes, there are 90,000 pairs, and each is looked at several times.
        self._peers: dict[tuple[str, Pair], PeerFacts | None] = {}
        numbers = {place.id: n for n, place in enumerate(seen.places)}
        for where, tasks in seen.tasks.items():
            by_node: dict[int, list[str]] = defaultdict(list)
            for address, node_id in sorted(tasks.items()):
                by_node[numbers.get(node_id, -1)].append(address)
            self._addresses[where] = by_node

    def addresses(self, where: str, node: int) -> list[str]:
        """The addresses of the tasks of the probe on a node."""
        return self._addresses.get(where, {}).get(node, [])

    def tcp(self, kind: str, pair: Pair) -> str:
        """How connections to a port of a host went: `ok`, why not, or empty if there was none."""
        return str(self.seen.of(HOST, pair[0], f"tcp/{kind}").get(str(pair[1]), ""))

    def heard(self, kind: str, pair: Pair) -> bool:
        """Whether marked packets have arrived."""
        return str(pair[0]) in self.seen.of(HOST, pair[1], f"heard/{kind}")

    def peer(self, where: str, pair: Pair) -> PeerFacts | None:
        """What the prober on one node knows of that on another one, in a network; None if it has not found it."""
        key = (where, pair)
        if key not in self._peers:
            found = (
                self.seen.peer(where, pair[0], each) for each in self.addresses(where, pair[1])
            )
            self._peers[key] = next(filter(None, found), None)
        return self._peers[key]

    def works(self, where: str, pair: Pair) -> bool:
        """Whether tasks on one node reach those on another one in a network."""
        peer = self.peer(where, pair)
        return peer is not None and peer.node == pair[1] and peer.tcp

    def lost(self, where: str, pair: Pair) -> int:
        """How many of 20 packets had no answer."""
        peer = self.peer(where, pair)
        return peer.lost if peer else 0


class _Judge:
    def __init__(self, reach: Reach, hosts: Mapping[str, HostFacts]) -> None:
        self.seen, self.reach = reach.seen, reach
        self.hosts = {
            n: hosts.get(place.id, HostFacts()) for n, place in enumerate(reach.seen.places)
        }
        self.found: list[Finding] = []
        # By what blocks it: a port, or everything.
        self.blocked: dict[str, set[Pair]] = defaultdict(set)
        self.lacking: dict[str, set[int]] = defaultdict(set)

    def findings(self) -> list[Finding]:
        self._hosts()
        failed: dict[str, set[Pair]] = defaultdict(set)
        for overlay in self.seen.overlays:
            self._overlay(overlay, failed)
        self._sizes()
        for overlay in self.seen.overlays:
            self._names(overlay)
            self._virtual(overlay)
        self._published()
        self._kernels()
        self._subnets()
        self._silent()
        return self.found

    # Words

    def name(self, n: int) -> str:
        return self.seen.places[n].name

    def add(
        self,
        cause: str,
        nodes: Iterable[int],
        what: str,
        pairs: Collection[Pair] = (),
        direction: str = "",
        network: str = "",
        data: dict[str, Any] | None = None,
        **values: Any,
    ) -> None:
        listed = [[self.name(a), self.name(b)] for a, b in sorted(pairs)]
        found = {**(data or {}), **({"pairs": listed} if listed else {})}
        self.found.append(
            Finding(
                cause=cause,
                nodes=[self.name(n) for n in sorted(set(nodes))],
                what=what,
                advice=ADVICE[cause].format(**values),
                direction=direction,
                network=network,
                data=found,
            )
        )

    def grouped(self, pairs: Collection[Pair]) -> Iterator[tuple[list[int], str, set[Pair]]]:
        """Pairs by the node that they have in common: the nodes, the direction in words, the pairs."""
        left = set(pairs)
        others = len(self.reach.probed) - 1
        for ends, words in (
            ((0, 1), "to and from {0}"),
            ((1,), "to {0} from all others"),
            ((0,), "from {0} to all others"),
        ):
            counts = {end: Counter(pair[end] for pair in left) for end in ends}
            full = [
                n for n in self.reach.probed if all(counts[end][n] == others > 1 for end in ends)
            ]
            # A network that carries nothing anywhere has no such node.
            if full and len(full) < len(self.reach.probed):
                chosen = set(full)
                mine = {pair for pair in left if any(pair[end] in chosen for end in ends)}
                yield full, words.format(abbreviate([self.name(n) for n in full])), mine
                left -= mine
        if not left:
            return
        nodes = sorted({n for pair in left for n in pair})
        common = [n for n in nodes if all(n in pair for pair in left)]
        if len(common) == 1 and len(left) > 1:
            other = [self.name(n) for n in nodes if n != common[0]]
            yield common, f"between {self.name(common[0])} and {abbreviate(other)}", left
        elif len(left) == len(self.reach.pairs) and len(nodes) > 2:
            yield nodes, "between all nodes", left
        else:
            arrows = [f"{self.name(a)} -> {self.name(b)}" for a, b in sorted(left)]
            yield (common or nodes), abbreviate(arrows), left

    # Between the hosts

    def _hosts(self) -> None:
        reach, data = self.reach, f"{self.seen.data_port}/udp"
        kinds = {
            f"{GOSSIP_PORT}/udp": "gossip",
            data: "data",
            **({"esp": "esp"} if reach.esp else {}),
        }
        for pair in reach.pairs:
            for port, kind in kinds.items():
                if not reach.heard(kind, pair):
                    self.blocked[port].add(pair)
            for kind in ("manager", "gossip"):
                if reach.tcp(kind, pair) not in ("ok", ""):
                    port = (
                        self._manager_port(pair[1]) if kind == "manager" else f"{GOSSIP_PORT}/tcp"
                    )
                    self.blocked[port].add(pair)
        # What a network carries passes, whatever became of the single packets that were sent to try it.
        for overlay in self.seen.overlays:
            carried = {pair for pair in reach.pairs if reach.works(overlay.where, pair)}
            carried &= {(b, a) for a, b in carried}
            self.blocked["esp" if overlay.encrypted else data] -= carried
        self._whole_hosts(kinds)
        for port in sorted(self.blocked):
            if port in ("unreachable", "one_way"):
                continue
            self.blocked[port] -= self._unreachable()
            for nodes, direction, pairs in self.grouped(self.blocked[port]):
                cause = "esp_dropped" if port == "esp" else "blocked_port"
                label = "ESP (IP protocol 50)" if port == "esp" else port
                what = f"{label} does not pass {direction}"
                self.add(cause, nodes, what, pairs, direction, port=port, data={"port": port})

    def _manager_port(self, n: int) -> str:
        return f"{self.seen.places[n].manager.rpartition(':')[2]}/tcp"

    def _unreachable(self) -> set[Pair]:
        return self.blocked["unreachable"] | self.blocked["one_way"]

    def _whole_hosts(self, kinds: Collection[str]) -> None:
        """Pairs between which nothing passes, in both directions or in one. TCP needs both."""
        silent = {p for p in self.reach.pairs if all(p in self.blocked[port] for port in kinds)}
        for a, b in sorted(silent):
            no_tcp = all(
                self.reach.tcp("gossip", pair) not in ("ok", "") for pair in ((a, b), (b, a))
            )
            if no_tcp and (b, a) in silent:
                self.blocked["unreachable"].add((a, b))
            elif no_tcp and not any((b, a) in self.blocked[port] for port in kinds):
                self.blocked["one_way"].add((a, b))
        one_way = set(self.blocked["one_way"])
        for cause, words in (("unreachable", "no packet passes"), ("one_way", "no packet passes")):
            for nodes, direction, pairs in self.grouped(self.blocked[cause]):
                self.add(cause, nodes, f"{words} {direction}", pairs, direction)
        self.blocked["one_way"] |= {(b, a) for a, b in one_way}

    def _is_blocked(self, pair: Pair, *ports: str) -> bool:
        """Whether one of these ports is blocked between two nodes, in any direction."""
        both = (pair, pair[::-1])
        return any(
            each in self.blocked[port]
            for port in ("unreachable", "one_way", *ports)
            for each in both
        )

    # In the networks

    def _lacks(self, feature: str, nodes: Iterable[int]) -> bool:
        """Whether the kernel of one of these nodes is known to lack a feature that was needed."""
        lacking = {n for n in nodes if self.hosts[n].features.get(feature) is False}
        self.lacking[feature] |= lacking
        return bool(lacking)

    def _overlay(self, overlay: Overlay, failed: dict[str, set[Pair]]) -> None:
        reach, where = self.reach, overlay.where
        causes: dict[str, set[Pair]] = defaultdict(set)
        stale = self._stale(overlay)
        for pair in reach.pairs:
            if not reach.addresses(where, pair[1]) or not self.seen.mtu(where, pair[0]):
                continue
            if not reach.works(where, pair):
                failed[where].add(pair)
                causes[self._cause(overlay, pair, stale, failed)].add(pair)
            elif reach.lost(where, pair) > MOST_LOST:
                causes["loss"].add(pair)
        self._report_stale(overlay, stale)
        causes.pop("", None)
        for cause, pairs in sorted(causes.items()):
            for nodes, direction, those in self.grouped(pairs):
                what, values = self._words(cause, overlay, direction, nodes, those)
                self.add(cause, nodes, what, those, direction, overlay.name, **values)

    def _cause(
        self,
        overlay: Overlay,
        pair: Pair,
        stale: Mapping[Pair, list[str]],
        failed: Mapping[str, set[Pair]],
    ) -> str:
        """Why a pair fails in a network; empty if that is reported elsewhere."""
        reach, where = self.reach, overlay.where
        if self._lacks("vxlan", pair) or (overlay.encrypted and self._lacks("esp", pair)):
            return ""
        ports = [f"{self.seen.data_port}/udp", *(["esp"] if overlay.encrypted else [])]
        gossip = (f"{GOSSIP_PORT}/tcp", f"{GOSSIP_PORT}/udp")
        if self._is_blocked(pair, *ports, *gossip):
            return ""
        peer, back = reach.peer(where, pair), reach.peer(where, pair[::-1])
        if not peer:
            return ""  # DNS does not name it
        if stale.get(pair) or stale.get(pair[::-1]):
            return ""
        unchecked = peer.unchecked or (back is not None and back.unchecked)
        if unchecked and not overlay.encrypted:
            return "checksum_offload"
        there = str(pair[0]) in self.seen.of(where, pair[1], "heard")
        here = str(pair[1]) in self.seen.of(where, pair[0], "heard")
        if there != here:
            return "one_way"
        if overlay.encrypted:
            plain = [o.where for o in self.seen.overlays if not o.encrypted]
            carried = any(pair not in failed[each] for each in plain)
            versions = {self.seen.places[n].version for n in pair}
            if carried and len(versions) > 1:
                return "mixed_versions"
        return "unexplained"

    def _words(
        self, cause: str, overlay: Overlay, direction: str, nodes: list[int], pairs: set[Pair]
    ) -> tuple[str, dict[str, Any]]:
        """What a finding in a network says, and the values for its advice."""
        if cause == "checksum_offload":
            found = {self._interface(n) for pair in pairs for n in pair}
            names = abbreviate(sorted(found - {""})) or "the interface of the data path"
            what = f"packets in {overlay.name} arrive only without checksums {direction}"
            return what, {"interfaces": names}
        if cause == "loss":
            worst = max(self.reach.lost(overlay.where, pair) for pair in pairs)
            return f"up to {worst} of 20 packets in {overlay.name} are lost {direction}", {}
        if cause == "one_way":
            return f"packets in {overlay.name} pass one way only {direction}", {}
        if cause == "mixed_versions":
            versions = sorted({self.seen.places[n].version for pair in pairs for n in pair})
            return (
                f"{overlay.name} carries nothing {direction}, between engines {abbreviate(versions)}",
                {},
            )
        return (
            f"tasks in {overlay.name} do not reach each other {direction}, and nothing explains it",
            {},
        )

    def _interface(self, n: int) -> str:
        facts = self.hosts[n].interface
        name, driver = facts.get("name"), facts.get("driver")
        return f"{name} ({driver})" if name and driver else str(name or "")

    # Entries

    def _stale(self, overlay: Overlay) -> dict[Pair, list[str]]:
        """What is wrong with the entries of a node for the tasks of another one, by the pair."""
        numbers = {place.id: n for n, place in enumerate(self.seen.places)}
        at = self._hosts_of(overlay, numbers)
        found: dict[Pair, list[str]] = defaultdict(list)
        mine = self.seen.tasks.get(overlay.where, {})
        for a in self.reach.probed:
            entries = self.hosts[a].entries.get(overlay.id)
            for address, node_id in self.seen.neighbours.get(overlay.where, {}).items():
                b = numbers.get(node_id, -1)
                if entries is None or b in (-1, a) or b not in at:
                    continue
                pair = (a, b)
                leads = entries.get(address)
                if leads and leads != at[b]:
                    other = next((n for n, host in at.items() if host == leads), None)
                    where = self.name(other) if other is not None else leads
                    found[pair].append(f"{address} of {self.name(b)} leads to {where}")
                # A missing entry counts where nothing arrives. Where nobody has tried, it counts as well.
                elif not leads and not (address in mine and self.reach.works(overlay.where, pair)):
                    found[pair].append(f"{address} of {self.name(b)} has no entry")
        return found

    def _hosts_of(self, overlay: Overlay, numbers: Mapping[str, int]) -> dict[int, str]:
        """The address of each host for data, by the entries of the others."""
        neighbours = self.seen.neighbours.get(overlay.where, {})
        return most_seen(
            {n: place.address for n, place in enumerate(self.seen.places)},
            (
                (numbers[neighbours[address]], host)
                for facts in self.hosts.values()
                for address, host in facts.entries.get(overlay.id, {}).items()
                if neighbours.get(address) in numbers
            ),
        )

    def _report_stale(self, overlay: Overlay, stale: Mapping[Pair, list[str]]) -> None:
        ports = (f"{GOSSIP_PORT}/tcp", f"{GOSSIP_PORT}/udp")
        for a in sorted({pair[0] for pair in stale}):
            words = [
                each
                for pair, listed in sorted(stale.items())
                if pair[0] == a and not self._is_blocked(pair, *ports)
                for each in listed
            ]
            if words:
                pairs = [pair for pair in stale if pair[0] == a]
                what = f"the kernel of {self.name(a)} has wrong entries for {overlay.name}: {abbreviate(words)}"
                direction = f"from {self.name(a)}"
                data = {"entries": words}
                self.add("stale_entry", [a], what, pairs, direction, overlay.name, data)

    # Sizes

    def _sizes(self) -> None:
        """One finding for all networks: they share the path."""
        pairs: set[Pair] = set()
        numbers: dict[str, int] = {}
        between = LARGEST_MTU
        for overlay in self.seen.overlays:
            for pair in self.reach.pairs:
                peer, wanted = (
                    self.reach.peer(overlay.where, pair),
                    self.seen.mtu(overlay.where, pair[0]),
                )
                # Where packets of all sizes are lost, the search finds anything.
                works = self.reach.works(overlay.where, pair) and peer and peer.lost <= MOST_LOST
                carried = peer.mtu if peer and works else 0
                if 0 < carried < wanted:
                    pairs.add(pair)
                    own = self._carries(pair, overlay.encrypted)
                    numbers[overlay.name] = min(carried, own, numbers.get(overlay.name, carried))
                    between = min(between, hosts_mtu(numbers[overlay.name], overlay.encrypted))
        if not pairs:
            return
        words = abbreviate([f"{name} {number}" for name, number in sorted(numbers.items())])
        both = pairs | {pair[::-1] for pair in pairs}
        groups = list(self.grouped(both))
        nodes = [n for listed, _words, _pairs in groups for n in listed]
        direction = abbreviate([words for _nodes, words, _pairs in self.grouped(pairs)])
        what = f"larger packets do not arrive {direction}; the largest that do, in bytes: {words}"
        data = {"mtu": numbers, "between_hosts": between}
        self.add("mtu", nodes, what, pairs, direction, "", data, mtu=between)

    def _carries(self, pair: Pair, encrypted: bool) -> int:
        """What the interfaces of two hosts leave for a packet of an overlay network. Receivers can be generous by some bytes, and what
        is too large for a sender is cut in pieces there, which only costs time."""
        sizes = [int(self.hosts[n].interface.get("mtu") or LARGEST_MTU) for n in pair]
        return container_mtu(min(sizes), encrypted)

    # Names and virtual addresses

    def _names(self, overlay: Overlay) -> None:
        where = overlay.where
        own = {each: n for n in self.reach.probed for each in self.reach.addresses(where, n)}
        # A prober that was started again had another address before.
        known = {*self.seen.tasks.get(where, {}), *self.seen.ended.get(where, ())}
        causes: dict[str, dict[int, str]] = defaultdict(dict)
        ports = (f"{GOSSIP_PORT}/tcp", f"{GOSSIP_PORT}/udp")
        for a in self.reach.probed:
            for key, (code, found) in sorted(self.seen.names(where, a).items(), reverse=True):
                cause, words = "", ""
                missing = {n for address, n in own.items() if address not in found and n != a}
                missing = {n for n in missing if not self._is_blocked((a, n), *ports)}
                cut_off = all(self._is_blocked((a, n), *ports) for n in self.reach.probed if n != a)
                alone = len(self.reach.probed) == 1
                name = f"tasks.{overlay.service}" if key == "tasks" else overlay.service
                if cut_off and not alone:
                    continue
                if code == "nxdomain":
                    cause, words = "nxdomain", f"{name} does not exist there (NXDOMAIN)"
                elif code != "ok":
                    cause, words = "dns_no_answer", f"{name} has no answer there ({code})"
                elif key == "tasks" and missing:
                    names = abbreviate([self.name(n) for n in sorted(missing)])
                    cause, words = "dns_stale", f"{name} lacks the tasks on {names}"
                elif key == "tasks" and found - known:
                    extra = abbreviate(sorted(found - known))
                    cause, words = "dns_stale", f"{name} has addresses that no task has: {extra}"
                if cause and a not in causes[cause]:
                    causes[cause][a] = words
        for cause, nodes in sorted(causes.items()):
            words = abbreviate([f"{self.name(n)}: {each}" for n, each in sorted(nodes.items())])
            self.add(cause, nodes, f"in {overlay.name}, {words}", network=overlay.name)

    def _virtual(self, overlay: Overlay) -> None:
        if not self.seen.mesh:
            return
        dead = []
        for a in self.reach.probed:
            good, bad = self.seen.vip(overlay.where, a)
            if bad and not good and not self._lacks("ip_vs", [a]):
                dead.append(a)
        if dead:
            names = abbreviate([self.name(n) for n in dead])
            what = f"the virtual IP of {overlay.service} does not answer on {names}"
            self.add("vip", dead, what, network=overlay.name)

    def _published(self) -> None:
        if not self.seen.port:
            return
        pairs: set[Pair] = set()
        dead = set()
        for b in self.reach.probed:
            failing = {
                a
                for a in self.reach.probed
                if self.seen.of(HOST, a, "published").get(str(b), "ok") != "ok"
                and not (a != b and self._is_blocked((a, b)))
            }
            if failing and self._lacks("ip_vs", [b]):
                continue
            if b in failing:
                dead.add(b)
            else:
                pairs |= {(a, b) for a in failing}
        port = f"{self.seen.port}/tcp"
        if dead:
            names = abbreviate([self.name(n) for n in sorted(dead)])
            self.add("mesh", dead, f"the published port {port} does not answer on {names}")
        for nodes, direction, those in self.grouped(pairs):
            what = f"the published port {port} does not answer {direction}"
            self.add("blocked_port", nodes, what, those, direction, port=port, data={"port": port})

    # Kernels and subnets

    def _kernels(self) -> None:
        for feature, nodes in sorted(self.lacking.items()):
            if nodes:
                names = abbreviate([self.name(n) for n in sorted(nodes)])
                what = f"the kernel of {names} has no {_FEATURE_WORDS[feature]}"
                data = {"feature": feature}
                self.add("kernel_without", nodes, what, data=data, module=_MODULES[feature])

    def _subnets(self) -> None:
        found: list[str] = []
        nodes: set[int] = set()
        listed = [
            (name, subnet)
            for name, texts in sorted(self.seen.subnets.items())
            for subnet in filter(None, map(parse_network, texts))
        ]
        for at, (name, subnet) in enumerate(listed):
            for other, second in listed[at + 1 :]:
                if subnet.version == second.version and subnet.overlaps(second):
                    found.append(f"{name} {subnet} and {other} {second}")
            for n, facts in self.hosts.items():
                for route in filter(None, map(parse_network, facts.routes)):
                    if subnet.version == route.version and subnet.overlaps(route):
                        found.append(f"{name} {subnet} and the route {route} of {self.name(n)}")
                        nodes.add(n)
        if found:
            what = f"{count_of(len(found), 'pair')} of subnets overlap: {abbreviate(found)}"
            self.add("overlapping_subnets", nodes, what, data={"overlaps": found})

    def _silent(self) -> None:
        for n, place in enumerate(self.seen.places):
            if place.silent:
                self.add("no_report", [n], f"{place.name} was not probed: {place.reason}")
