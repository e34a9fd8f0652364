# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""The lock in the swarm: one manager works at a time, and another one takes over when it is lost.

A lease ends by itself, so that a dead manager keeps nobody waiting for long. While a manager works, a thread renews its lease. Before
each write, the manager checks that it still has it: its process could have been frozen meanwhile.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from dataclasses import replace

from .._api.client import EngineClient, local_client
from .._common.errors import SwarmError
from .._model.labels import GITOPS_LEASE_LABEL
from .kept import LOCK, Kept, Lease, parse_lease, read_kept, write_kept

# Seconds: how long a lease is good for, how often it is renewed, and how far the clocks of managers can differ.
LEASE, RENEW, SKEW = 45.0, 10.0, 15.0
_ATTEMPTS = 5
_ANSWER = 15


class HeldLease:
    """The lease of this process. `check` raises lease_lost when it may no longer write."""

    def __init__(self, docker_host: str, lease: Lease) -> None:
        self._docker_host = docker_host
        self._lease = lease
        self._good_until = time.monotonic() + LEASE
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._keep, daemon=True)

    def check(self) -> None:
        """Raise lease_lost unless this manager still has the lock."""
        if time.monotonic() >= self._good_until:
            raise SwarmError(
                "lease_lost",
                "Could not continue: this manager has lost the lock of GitOps, because it could not renew it in time. Another manager"
                " continues.",
            )

    @contextlib.contextmanager
    def renewed(self) -> Iterator[HeldLease]:
        """Renew it in this context, and give it back at the end."""
        self._thread.start()
        try:
            yield self
        finally:
            self._end.set()
            self._thread.join(_ANSWER)
            with contextlib.suppress(SwarmError):
                self._write(replace(self._lease, until=0.0))

    def _keep(self) -> None:
        while not self._end.wait(RENEW):
            # A manager that cannot renew it learns so from `check`.
            with contextlib.suppress(SwarmError):
                begun = time.monotonic()
                if self._write(replace(self._lease, until=time.time() + LEASE)):
                    self._good_until = begun + LEASE
                else:
                    self._good_until = 0.0

    def _write(self, lease: Lease) -> bool:
        """Whether this is still the holder, and the lease is written."""
        client = local_client(self._docker_host, _ANSWER)
        kept = read_kept(client).lock
        found = parse_lease(kept.text)
        if (found.node_id, found.turn) != (self._lease.node_id, self._lease.turn):
            return False
        return write_kept(client, LOCK, GITOPS_LEASE_LABEL, kept, lease.as_text())


def is_free(lease: Lease, node_id: str, now: float) -> bool:
    """Whether this node can take the lock. A lock on each host keeps two processes apart, so its own lease is of a lost run."""
    return lease.node_id in ("", node_id) or lease.until + SKEW <= now or lease.until == 0.0


def take(client: EngineClient, docker_host: str, node_id: str, name: str) -> HeldLease:
    """Take the lock; raises in_progress. Of two who try together, one succeeds."""
    for _attempt in range(_ATTEMPTS):
        kept: Kept = read_kept(client).lock
        before = parse_lease(kept.text)
        if not is_free(before, node_id, time.time()):
            raise SwarmError(
                "in_progress",
                f"Could not take the lock of GitOps: {before.name} is at work. Wait until it has ended, and run again.",
                node_id=before.node_id,
                name=before.name,
            )
        lease = Lease(node_id, name, time.time() + LEASE, before.turn + 1)
        if write_kept(client, LOCK, GITOPS_LEASE_LABEL, kept, lease.as_text()):
            return HeldLease(docker_host, lease)
    raise SwarmError(
        "in_progress",
        "Could not take the lock of GitOps: other managers take it at the same time. Run again.",
    )
