# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""Carries out a probe: takes the lock, removes what an interrupted run has left, creates networks and services, waits for the probers,
collects what they print, and removes everything.

The lock is a config with a fixed name. A run renews its lease while it works. So a lease that is over, or that nobody renews, is that
of a run that was killed.
"""

from __future__ import annotations

import base64
import contextlib
import inspect
import json
import time
import uuid
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from .._common.errors import SwarmError
from .._common.waiting import Clock, poll
from .._common.words import abbreviate
from .._model.documents import dig, id_of, parse_node
from .._model.labels import PROBE_LABEL, PROBE_LEASE_LABEL
from .._model.tasks import has_ended, is_abandoned, reason_of, state_of
from . import prober
from .observations import Collected, Seen
from .request import (
    HOST,
    LOCK,
    PREFIX,
    PROGRAM,
    Wanted,
    labels_of,
    located,
    network_spec,
    overlays_of,
    places_of,
    program_of,
    publish,
    request_of,
    service_spec,
)

# Seconds: between two renewals of the lease; how long it lasts while a module works; how long until the next module has begun.
_RENEWAL, _LEASE, _PAUSE = 4.0, 16.0, 120.0
# Seconds until the tasks run: for all, and for each node.
_START, _START_NODE = 60.0, 0.5
_INTERVAL, _LOG = 1.0, 8.0
# Seconds until everything has gone: on slow hosts, the tasks of a service need more than 60.
_REMOVAL = 180.0
_ENDED = 60.0
_OBJECTS = ("service", "network", "config")


class Probe:
    """One run of the probe, through one manager."""

    def __init__(self, client: Any, run: str = "", clock: Clock | None = None) -> None:
        self._client = client
        self._clock = clock or Clock()
        self.run = run or uuid.uuid4().hex[:8]
        self._renewed = 0.0

    # What is there

    def observe(self, wanted: Wanted) -> Seen:
        """The nodes and networks of a run. Raises not_found for a network that does not exist or cannot be probed."""
        info = self._client.info()
        listed = [each for each in self._client.networks() if each.get("Driver") == "overlay"]
        usable = {str(each.get("Name")) for each in listed if not each.get("Ingress")}
        missing = sorted({name for name in wanted.networks if name not in usable})
        if missing:
            raise SwarmError(
                "not_found",
                f"Could not probe {abbreviate(missing)}: there is no such overlay network. List them with 'docker network ls', and set"
                " networks.",
            )
        nodes = [parse_node(each) for each in self._client.nodes()]
        return Seen(
            run=self.run,
            seconds=0.0,
            places=places_of(nodes, wanted.images),
            overlays=overlays_of(wanted, listed),
            mesh=wanted.mesh,
            port=wanted.port,
            data_port=int(dig(info, "Swarm", "Cluster", "DataPathPort") or 0) or 4789,
            subnets={
                str(each.get("Name")): [
                    str(dig(config, "Subnet")) for config in dig(each, "IPAM", "Config") or []
                ]
                for each in listed
                if not str(each.get("Name")).startswith(PREFIX)
            },
        )

    def leftovers(self) -> dict[str, list[tuple[str, str]]]:
        """The IDs and names of what probes have created, by kind."""
        filters = {"label": [PROBE_LABEL]}
        found = {}
        for kind in _OBJECTS:
            listed = self._client.get(f"/{kind}s", f"list the {kind}s", filters=filters) or []
            found[kind] = [
                (id_of(each), str(dig(each, "Spec", "Name") or each.get("Name"))) for each in listed
            ]
        return found

    # The lock

    def take_lock(self, by: str) -> None:
        """Take the lock, unless this run has it; raises busy if another run works. A run that was killed does not renew its lease, and
        it ends."""
        if self.own_lock() is not None:
            self.renew()
            return
        deadline = self._clock.now() + _PAUSE + 2 * _LEASE
        first = None
        while not self._create_lock(by):
            document = self._lock()
            if document is None:
                continue
            version = dig(document, "Version", "Index")
            first = version if first is None else first
            lease = _lease_of(document)
            if version != first or self._clock.now() > deadline:
                began = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(lease.get("began") or 0))
                raise SwarmError(
                    "busy",
                    f"Could not probe the network: another run of the probe, through {lease.get('by') or 'another manager'}, works since"
                    f" {began}. Wait until it has ended, and run again.",
                )
            if time.time() > float(lease.get("until") or 0):
                with contextlib.suppress(SwarmError):
                    self._client.remove("config", id_of(document), LOCK)
                continue
            self._clock.sleep(_INTERVAL)

    def _create_lock(self, by: str) -> bool:
        lease = {"by": by, "began": round(time.time()), "until": time.time() + _LEASE}
        labels = {**labels_of(self.run), PROBE_LEASE_LABEL: json.dumps(lease)}
        try:
            self._client.create("config", {"Name": LOCK, "Labels": labels, "Data": "e30="})
        except SwarmError as error:
            if error.code != "conflict":
                raise
            return False
        return True

    def _lock(self) -> dict[str, Any] | None:
        filters = {"name": [LOCK]}
        listed = self._client.get("/configs", "list the configs", filters=filters) or []
        return next((each for each in listed if dig(each, "Spec", "Name") == LOCK), None)

    def own_lock(self) -> dict[str, Any] | None:
        """The lock, if it is that of this run."""
        document = self._lock()
        own = dig(document, "Spec", "Labels", PROBE_LABEL) == self.run
        return document if own else None

    def renew(self, seconds: float = _LEASE, always: bool = True) -> None:
        """Renew the lease; raises busy if another run has taken the lock meanwhile."""
        if not always and self._clock.now() - self._renewed < _RENEWAL:
            return
        document = self.own_lock()
        if document is None:
            raise SwarmError(
                "busy",
                "Could not probe the network: another run of the probe has begun, because this one did not answer for too long. Run again.",
            )
        lease = {**_lease_of(document), "until": time.time() + seconds}
        labels = {**labels_of(self.run), PROBE_LEASE_LABEL: json.dumps(lease)}
        with contextlib.suppress(SwarmError):
            self._client.relabel("config", document, labels)
        self._renewed = self._clock.now()

    # The run

    def begin(self, by: str) -> None:
        """Take the lock for as long as nodes may need to be prepared."""
        self.take_lock(by)
        self.renew(_PAUSE)

    def start(self, wanted: Wanted, by: str) -> Seen:
        """Create everything, and wait until the probers have found out what they can. What was created stays, unless this fails."""
        began = self._clock.now()
        self.take_lock(by)
        try:
            self._remove(keep_lock=True)
            seen = self.observe(wanted)
            if any(not place.reason for place in seen.places):
                self._create_and_wait(seen, wanted)
            self.renew(_PAUSE)
        except BaseException:
            with contextlib.suppress(SwarmError):
                self.remove()
            raise
        seen.seconds = round(self._clock.now() - began, 1)
        return seen

    def _create_and_wait(self, seen: Seen, wanted: Wanted) -> None:
        overlays = []
        for overlay in seen.overlays:
            network_id = overlay.id
            if overlay.own:
                network_id = self._client.create("network", network_spec(overlay, self.run))
            attempt = f"read network {overlay.name}"
            network = self._client.get(f"/networks/{network_id}", attempt)
            overlays.append(located(overlay, network))
        seen.overlays = overlays
        request = request_of(self.run, wanted, seen.places, overlays, seen.data_port)
        source = inspect.getsource(prober)
        program = _as_data(program_of(source, request))
        config_id = self._client.create(
            "config", {"Name": PROGRAM, "Labels": labels_of(self.run), "Data": program}
        )
        services = {}
        published = 0
        for overlay in overlays:
            spec = service_spec(overlay.service, self.run, seen.places, config_id, overlay.id, 0)
            mesh = wanted.mesh and overlay is next((o for o in overlays if o.own), None)
            if mesh:
                publish(spec, wanted.port, prober.PORT)
            services[overlay.where] = self._client.create("service", spec)
            if mesh:
                published = self._port_of(services[overlay.where])
        seen.port = published
        spec = service_spec(f"{PREFIX}{HOST}", self.run, seen.places, config_id, "host", published)
        services[HOST] = self._client.create("service", spec)
        self._wait(seen, wanted, services)

    def _port_of(self, service_id: str) -> int:
        """The port that the swarm has chosen."""

        def read() -> int:
            found = self._client.get(f"/services/{service_id}", "read the service of the probe")
            ports = dig(found, "Endpoint", "Ports") or []
            return int(dig(ports[0], "PublishedPort") or 0) if ports else 0

        port, _found = poll(read, bool, 10.0, 0.3, self._clock)
        return port

    def _wait(self, seen: Seen, wanted: Wanted, services: Mapping[str, str]) -> None:
        """Wait until all probers are settled, or until the window has passed since the last of them has started."""
        collected = Collected(self.run)
        begun = self._clock.now()
        start_limit = _START + _START_NODE * len(seen.places)
        everyone = [n for n, place in enumerate(seen.places) if not place.reason]
        ready_since: float | None = None
        while True:
            self.renew(always=False)
            tasks = self._tasks(services)
            ended = all(
                any(
                    state_of(task) == "running" or has_ended(task)
                    for task in tasks[where, seen.places[n].id]
                )
                for where in services
                for n in everyone
            )
            now = self._clock.now()
            if ready_since is None and (ended or now - begun > start_limit):
                ready_since = now
            for service_id in services.values():
                collected.add(self._client.service_log(service_id, _LOG))
                self.renew(always=False)
            settled = all(collected.settled(where, n) for where in services for n in everyone)
            over = ready_since is not None and now - ready_since >= wanted.window
            if settled or over or now - begun > wanted.limit:
                break
            self._clock.sleep(_INTERVAL)
        seen.facts = collected.facts
        self._note_tasks(seen, services, collected)

    def _tasks(self, services: Mapping[str, str]) -> dict[tuple[str, str], list[dict[str, Any]]]:
        """The tasks of the probe, by where they are and their NodeID."""
        wheres = {service_id: where for where, service_id in services.items()}
        found = defaultdict(list)
        for task in self._client.tasks(service=list(wheres)):
            where = wheres.get(str(task.get("ServiceID")))
            if where:
                found[where, str(task.get("NodeID"))].append(task)
        return found

    def _note_tasks(self, seen: Seen, services: Mapping[str, str], collected: Collected) -> None:
        """The addresses of all tasks in the networks, and why nodes have not reported. The nodes are looked at again."""
        states = {
            str(each.get("ID")): dig(each, "Status", "State") for each in self._client.nodes()
        }
        tasks = self._tasks(services)
        places = []
        for n, place in enumerate(seen.places):
            reason = place.reason
            silent = [where for where in services if n not in collected.facts.get(where, {})]
            if not reason and states.get(place.id) != "ready":
                reason = f"its state became {states.get(place.id) or 'unknown'} during the run"
            elif not reason and silent:
                where = silent[0]
                last = next(
                    iter(
                        sorted(tasks[where, place.id], key=lambda t: str(t.get("CreatedAt")))[-1:]
                    ),
                    None,
                )
                why = collected.errors.get(f"{where}/{n}") or (
                    f"{state_of(last)}: {reason_of(last)}" if last else "it was not started"
                )
                reason = f"its prober in {where} has not reported ({why.rstrip('.')})"
                place = replace(place, silent=True)
            places.append(replace(place, reason=reason))
        seen.places = places
        for overlay in seen.overlays:
            mine, ended = {}, []
            for (where, node_id), listed in tasks.items():
                for task in listed if where == overlay.where else ():
                    found = list(_addresses_in(task, overlay.id))
                    if state_of(task) == "running" and not is_abandoned(task):
                        mine.update(dict.fromkeys(found, node_id))
                    else:
                        ended += found
            seen.tasks[overlay.where], seen.ended[overlay.where] = mine, sorted(set(ended))
            seen.neighbours[overlay.where] = dict(mine)
        existing = [overlay for overlay in seen.overlays if not overlay.own]
        for task in self._client.tasks() if existing else ():
            if state_of(task) == "running" and not is_abandoned(task):
                for overlay in existing:
                    for address in _addresses_in(task, overlay.id):
                        seen.neighbours[overlay.where][address] = str(task.get("NodeID"))

    # The end

    def remove(self, keep_lock: bool = False) -> None:
        """Remove everything that probes have created, the lock last. With `keep_lock`, this run keeps its lock for a while. Raises
        not_removed. Nothing is done if the lock is another run's."""
        document = self._lock()
        own = dig(document, "Spec", "Labels", PROBE_LABEL) == self.run
        if document is not None and not own:
            return
        self._remove(keep_lock=keep_lock and own)
        if keep_lock and own:
            self.renew(_PAUSE)

    def _remove(self, keep_lock: bool) -> None:
        """Services first, then their tasks go, and then networks can go."""
        services = self.leftovers()["service"]
        for service_id, name in services:
            with _unless_gone():
                self._client.remove("service", service_id, name)
        ids = {service_id for service_id, _name in services}
        if ids:
            poll(lambda: self._alive(ids), lambda n: not n, _ENDED, _INTERVAL, self._clock)
        problem = ""

        def left() -> list[str]:
            nonlocal problem
            if keep_lock:
                self.renew(always=False)
            found = self.leftovers()
            names: list[str] = []
            for kind in _OBJECTS:
                for object_id, name in found[kind]:
                    if name == LOCK and (keep_lock or names):
                        continue
                    try:
                        with _unless_gone():
                            self._client.remove(kind, object_id, name)
                    except SwarmError as error:
                        problem = error.message
                        names.append(f"{kind} {name}")
            return names

        names, gone = poll(left, lambda found: not found, _REMOVAL, 2.0, self._clock)
        if not gone:
            raise SwarmError(
                "not_removed",
                f"Could not remove {abbreviate(names)} of the probe: {problem.rstrip('.')}. Run the playbook probe_network.yml again: it"
                " removes what is left.",
            )

    def _alive(self, service_ids: set[str]) -> int:
        """How many tasks of removed services are still there, on nodes that answer."""
        ready = {
            str(each.get("ID"))
            for each in self._client.nodes()
            if dig(each, "Status", "State") == "ready"
        }
        return sum(
            str(task.get("ServiceID")) in service_ids
            and str(task.get("NodeID")) in ready
            and not has_ended(task)
            for task in self._client.tasks()
        )


def _as_data(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def _lease_of(document: Mapping[str, Any]) -> dict[str, Any]:
    try:
        lease = json.loads(str(dig(dict(document), "Spec", "Labels", PROBE_LEASE_LABEL)))
    except ValueError:
        return {}
    return lease if isinstance(lease, dict) else {}


@contextlib.contextmanager
def _unless_gone() -> Iterator[None]:
    try:
        yield
    except SwarmError as error:
        if error.code != "not_found":
            raise


def _addresses_in(task: Mapping[str, Any], network_id: str) -> Iterator[str]:
    for each in task.get("NetworksAttachments") or []:
        if str(dig(each, "Network", "ID")) == network_id:
            for address in each.get("Addresses") or []:
                yield str(address).partition("/")[0]
