# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""Rotates the keys and tokens of a swarm, one stage for each call of the module, and puts what must not be lost into the escrow.

The controller copies the escrow between two calls. The engine itself makes join tokens and unlock keys, so the present unlock key
goes into the escrow before, and the new one in the call that rotates it. The key of a new CA comes from the controller, so it is
in the escrow before the swarm gets it.
"""

from __future__ import annotations

import base64
import contextlib
import os
import re
import time
from collections.abc import Iterable, Mapping
from typing import IO, Any, Callable

from .._api.client import EngineClient
from .._common.errors import SwarmError, failure_of
from .._common.waiting import Clock, poll, retry
from .._common.words import abbreviate
from .._model.documents import dig
from .._model.labels import ROTATING_LABEL
from . import age
from .rotate_plan import (
    CA,
    UNLOCK_KEY,
    RotatePlan,
    RotationFacts,
    behind,
    parse_facts,
    plan_rotation,
)

# The query of POST /swarm/update that makes the engine rotate something.
_FLAGS = {
    UNLOCK_KEY: "rotateManagerUnlockKey",
    "worker-token": "rotateWorkerToken",
    "manager-token": "rotateManagerToken",
}
_TOKENS = {"worker-token": "Worker", "manager-token": "Manager"}
# Seconds: for a write that collides with others or meets an election; and of waiting, in one call.
PATIENCE, PART = 60, 5
# Seconds in which a node that is not ready can be heard again.
HEARTBEATS = 20
# Seconds after which an incomplete file is that of a run that was killed.
_ABANDONED = 3600


class Rotation:
    """One call of the module on a manager; `params` are its options."""

    def __init__(self, params: dict[str, Any], clock: Clock | None = None) -> None:
        self._params = params
        self._clock = clock or Clock()
        self._client = EngineClient(params)
        # Each file of the escrow, with its content for the controller. The content is encrypted.
        self.escrowed: list[dict[str, Any]] = []

    def facts(self) -> RotationFacts:
        """The swarm as this manager sees it."""
        found: list[RotationFacts] = []
        retry(
            lambda: found.append(parse_facts(self._client.swarm(), self._client.nodes())),
            PATIENCE,
            clock=self._clock,
        )
        return found[-1]

    def plan(self) -> tuple[RotatePlan, str, RotationFacts]:
        """The plan, the name of the manager that acts, and what the plan is made of."""
        # On a busy host, a node misses a heartbeat and is down for a moment.
        facts, _done = poll(
            self.facts,
            lambda seen: all(each.node.ready for each in seen.nodes),
            HEARTBEATS,
            clock=self._clock,
        )
        given = self._params
        plan = plan_rotation(
            facts,
            given["rotate"],
            [each.strip() for each in given["recipients"]],
            given["without_escrow"],
            given["accepted_risks"],
            bool(given["escrow_dir"]),
        )
        own = self._client.info()["Swarm"]["NodeID"]
        acting = next((each.name for each in facts.nodes if each.node.id == own), own)
        return plan, acting, facts

    def secure(self, kinds: Iterable[str], ca: Mapping[str, str], name: str) -> None:
        """Put into the escrow what must be there before anything is rotated. Raises what `age` raises."""
        if not self._params["recipients"]:
            return
        kinds = list(kinds)
        if UNLOCK_KEY in kinds:
            self._escrow(UNLOCK_KEY, "old", self._unlock_key(), name)
        if CA in kinds:
            self._escrow(CA, "new", ca["cert"] + ca["key"], name)

    def rotate(self, kind: str, ca: Mapping[str, str], name: str) -> None:
        """Rotate one of KINDS, and put the new unlock key or token into the escrow. A new CA is only begun."""
        if kind == CA:
            retry(lambda: self._begin_ca(ca), PATIENCE, clock=self._clock)
            return
        before = self._value(kind)
        problem = SwarmError(
            "engine_error", f"Could not rotate the {kind}: the engine keeps the present one."
        )
        try:
            retry(lambda: self._flag(kind), PATIENCE, clock=self._clock)
        except SwarmError as error:
            # The engine may have rotated it all the same.
            problem = error
        after = self._value(kind)
        if after == before:
            raise problem
        if self._params["recipients"]:
            self._escrow(kind, "new", after, name)

    def settle(self, limit: float) -> None:
        """Wait until every manager that was not down is reachable. Raises timeout."""
        facts, done = poll(
            self.facts,
            lambda seen: all(
                each.node.answers or each.node.state == "down" for each in seen.managers
            ),
            limit,
            clock=self._clock,
        )
        if not done:
            lost = [each.name for each in facts.managers if not each.node.answers]
            raise SwarmError(
                "timeout",
                f"Could not hand the new unlock key to every manager within {limit:g} s: {', '.join(lost)} is not reachable. Keep"
                " the key from before, which unlocks it after a restart, and bring it back.",
                managers=lost,
            )

    def wait(self, limit: float) -> RotationFacts:
        """Wait for the new CA, for a part of the time: the caller shows the progress and calls again."""
        facts, _done = poll(
            self.facts,
            lambda seen: not seen.rotating and not behind(seen),
            min(PART, limit),
            clock=self._clock,
        )
        if facts.begun and not facts.rotating and not behind(facts):
            retry(self._end_ca, PATIENCE, clock=self._clock)
        return facts

    # The swarm

    def _unlock_key(self) -> str:
        answer = self._client.get("/swarm/unlockkey", "read the unlock key of the swarm")
        return str((answer or {}).get("UnlockKey") or "")

    def _value(self, kind: str) -> str:
        found: list[str] = []

        def read() -> None:
            tokens = kind in _TOKENS
            found.append(
                str(dig(self._client.swarm(), "JoinTokens", _TOKENS[kind]) or "")
                if tokens
                else self._unlock_key()
            )

        retry(read, PATIENCE, clock=self._clock)
        return found[-1]

    def _flag(self, kind: str) -> None:
        swarm = self._client.swarm()
        self._client.update_swarm(swarm["Version"]["Index"], swarm["Spec"], **{_FLAGS[kind]: True})

    def _begin_ca(self, ca: Mapping[str, str]) -> None:
        """Give the swarm the new CA, or let it make one whose key nobody sees. A rotation in progress is left alone."""
        swarm = self._client.swarm()
        # A write whose answer was lost has worked.
        if swarm.get("RootRotationInProgress") or (ca and _is_root(swarm.get("TLSInfo") or {}, ca)):
            return
        spec = swarm["Spec"]
        config = dict(spec.get("CAConfig") or {})
        if ca:
            config.update(SigningCACert=ca["cert"], SigningCAKey=ca["key"])
        else:
            config["ForceRotate"] = int(config.get("ForceRotate") or 0) + 1
        # With the label, the next run knows that it need not begin, even if the rotation has ended meanwhile.
        labels = {**(spec.get("Labels") or {}), ROTATING_LABEL: "true"}
        spec = {**spec, "CAConfig": config, "Labels": labels}
        self._client.update_swarm(swarm["Version"]["Index"], spec)

    def _end_ca(self) -> None:
        """Remove the label of a rotation that has ended."""
        swarm = self._client.swarm()
        labels = dict(swarm["Spec"].get("Labels") or {})
        if labels.pop(ROTATING_LABEL, None) is not None:
            spec = {**swarm["Spec"], "Labels": labels}
            self._client.update_swarm(swarm["Version"]["Index"], spec)

    # The escrow

    def _escrow(self, kind: str, which: str, secret: str, name: str) -> None:
        """Encrypt a secret into a file of this host. It is read back before it counts."""
        if not secret:
            raise SwarmError("engine_error", f"Could not escrow the {kind}: the engine has none.")
        try:
            path = self._store(kind, which, secret, name)
        except OSError as error:
            raise failure_of(f"escrow the {kind}", error) from error
        with open(path, "rb") as stored:
            content = base64.b64encode(stored.read()).decode()
        self.escrowed.append({"kind": kind, "which": which, "path": path, "content": content})

    def _store(self, kind: str, which: str, secret: str, name: str) -> str:
        cluster = self.facts().cluster_id
        folder = os.path.join(self._params["escrow_path"], cluster)
        os.makedirs(self._params["escrow_path"], mode=0o700, exist_ok=True)
        os.makedirs(folder, mode=0o700, exist_ok=True)
        _clean_up(folder)
        identity, own = age.new_identity()
        stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
        final = os.path.join(folder, f"{kind}-{stamp}-{as_file_name(name)}-{which}.age")
        part = os.path.join(folder, f".{os.path.basename(final)}.{os.getpid()}.part")
        try:
            recipients = [each.strip() for each in self._params["recipients"]]
            age.encrypt(part, [*recipients, own], _writer(secret))
            if age.decrypt(part, identity).decode() != secret:
                raise SwarmError(
                    "age_failed",
                    f"Could not escrow the {kind}: what was encrypted does not decrypt to the same. Reinstall age.",
                )
            os.replace(part, final)
        finally:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(part)
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
        return final


def _writer(secret: str) -> Callable[[IO[bytes]], None]:
    def write(stream: IO[bytes]) -> None:
        stream.write(secret.encode())

    return write


def _is_root(tls: Mapping[str, Any], ca: Mapping[str, str]) -> bool:
    return str(tls.get("TrustRoot") or "").strip() == ca["cert"].strip()


def follows(facts: RotationFacts, ca: Mapping[str, str]) -> bool:
    """Whether the swarm has this CA, if one is given: two runs can begin a rotation at the same time. Pure."""
    return not ca or _is_root(facts.desired, ca)


def as_file_name(name: str) -> str:
    """The name of a host as a part of a file's name. Pure."""
    return re.sub(r"[^A-Za-z0-9._-]", "_", name) or "host"


def _clean_up(folder: str) -> None:
    """Remove the incomplete files of runs that were killed. They are encrypted."""
    for name in os.listdir(folder):
        path = os.path.join(folder, name)
        with contextlib.suppress(FileNotFoundError):
            if name.endswith(".part") and time.time() - os.stat(path).st_mtime > _ABANDONED:
                os.unlink(path)


def progress_lines(facts: RotationFacts) -> str:
    """How far the rotation of the CA is, as a person reads it. Pure."""
    late = behind(facts)
    done, total = len(facts.nodes) - len(late), len(facts.nodes)
    what = "have a certificate of the new CA" if facts.rotating else "trust the new CA alone"
    rest = f"; behind: {abbreviate(late)}" if late else ""
    return f"ca    {done} of {total} nodes {what}{rest}"


def progress_of(facts: RotationFacts) -> dict[str, Any]:
    """The result key `nodes`. Pure."""
    late = behind(facts)
    return {"total": len(facts.nodes), "done": len(facts.nodes) - len(late), "behind": late}
