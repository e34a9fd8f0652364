# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a rotation of keys and tokens does, refuses and waits for."""

from __future__ import annotations

import base64
import shutil
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.flotilla.swarm.plugins.module_utils._common.errors import SwarmError
from ansible_collections.flotilla.swarm.plugins.module_utils._lifecycle import rotate
from ansible_collections.flotilla.swarm.plugins.module_utils._lifecycle.rotate_plan import (
    KINDS,
    ROTATE_RISKS,
    behind,
    parse_facts,
    plan_rotation,
)

AGE = "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p"
NEW = {"TrustRoot": "new", "CertIssuerSubject": "s", "CertIssuerPublicKey": "new"}
OLD = {"TrustRoot": "old", "CertIssuerSubject": "s", "CertIssuerPublicKey": "old"}


def node(name: str, tls: dict[str, str] | None = None, state: str = "ready") -> dict[str, Any]:
    manager = name.startswith("m")
    return {
        "ID": f"id-{name}",
        "Spec": {
            "Role": "manager" if manager else "worker",
            "Labels": {"flotilla.swarm.host": name},
        },
        "Description": {"Hostname": f"host-{name}", "TLSInfo": tls or NEW},
        "Status": {"State": state},
        **(
            {"ManagerStatus": {"Reachability": "reachable" if state == "ready" else "unreachable"}}
            if manager
            else {}
        ),
    }


def swarm(autolock: bool = True, rotating: bool = False, **config: Any) -> dict[str, Any]:
    return {
        "ID": "9rneu7clusterone",
        "Version": {"Index": 7},
        "Spec": {"EncryptionConfig": {"AutoLockManagers": autolock}, "CAConfig": config},
        "RootRotationInProgress": rotating,
        "TLSInfo": NEW,
        "JoinTokens": {"Worker": "w-1", "Manager": "m-1"},
    }


FIVE = [node(name) for name in ("m1", "m2", "m3", "w1", "w2")]


def test_a_plan_in_the_order_of_the_run() -> None:
    plan = plan_rotation(
        parse_facts(swarm(), FIVE), ["manager-token", "ca", "unlock-key"], [AGE, AGE]
    )
    assert plan.lines("m1") == [
        "PLAN  rotate, swarm 9rneu7, acting on m1",
        "  ~ unlock-key     new key for 3 managers; the present and the new key: escrowed for 2 recipients",
        "  ~ ca             new CA: escrowed for 2 recipients; new certificates for 5 nodes; new join tokens",
        "  ~ manager-token  new token: escrowed for 2 recipients; the present one stops working",
    ]


def test_without_autolock_there_is_no_unlock_key_to_rotate() -> None:
    plan = plan_rotation(parse_facts(swarm(autolock=False), FIVE), ["unlock-key"])
    assert (plan.steps, plan.refusals) == ((), ())
    assert plan.lines("m1")[1] == "  = unlock-key     autolock is off: nothing to rotate"


def test_a_rotation_in_progress_is_waited_for_and_not_begun_again() -> None:
    nodes = [node("m1"), node("w1", OLD), node("w2", OLD, "down")]
    facts = parse_facts(swarm(rotating=True), nodes)
    plan = plan_rotation(facts, ["ca", "worker-token"])
    assert [(step.kind, step.action) for step in plan.steps] == [
        ("ca", "wait"),
        ("worker-token", "rotate"),
    ]
    assert plan.steps[0].text.endswith("behind: w1, w2 (down)")


def test_a_rotation_that_has_ended_after_its_run_is_not_begun_again() -> None:
    document = swarm()
    document["Spec"]["Labels"] = {"flotilla.swarm.rotating_ca": "true"}
    facts = parse_facts(document, FIVE)
    plan = plan_rotation(facts, ["ca"])
    assert plan.refusals == ()
    assert [(step.action, step.text) for step in plan.steps] == [
        ("wait", "the rotation of an interrupted run has ended")
    ]


def test_while_a_rotation_is_in_progress_nodes_may_trust_the_old_ca_too() -> None:
    both = {**NEW, "TrustRoot": "old and new"}
    assert behind(parse_facts(swarm(rotating=True), [node("m1", both), node("w1", OLD)])) == ["w1"]
    assert behind(parse_facts(swarm(), [node("m1", both), node("w1")])) == ["m1"]


@pytest.mark.parametrize(
    ("kinds", "more", "nodes", "config", "words"),
    [
        (["unlock-key", "ca"], {}, FIVE, {}, "the new unlock key and the new CA would be kept"),
        (["ca"], {"recipients": [AGE, "AGE-SECRET-KEY-1X"]}, FIVE, {}, "number 2 is no public key"),
        (["ca"], {}, [*FIVE, node("w3", OLD, "down")], {}, "w3: down, and the rotation of the CA"),
        (["ca"], {}, [*FIVE, node("w3", OLD, "down")], {}, "add down_nodes to swarm_rotate_acc"),
        (["unlock-key"], {}, [*FIVE, node("m4", NEW, "down")], {}, "m4: not reachable, so the"),
        (["ca"], {}, FIVE, {"ExternalCAs": [{"URL": "https://x"}]}, "uses an external CA"),
    ],
)
def test_refusals(
    kinds: list[str],
    more: dict[str, Any],
    nodes: list[dict[str, Any]],
    config: dict[str, Any],
    words: str,
) -> None:
    options = {"recipients": [] if "kept" in words else [AGE], **more}
    plan = plan_rotation(parse_facts(swarm(**config), nodes), kinds, **options)
    assert plan.steps == ()
    assert any(words in refusal for refusal in plan.refusals), plan.refusals
    # What was given may be the secret part of a key.
    assert "AGE-SECRET" not in str(plan)


def test_an_accepted_risk_is_a_warning() -> None:
    facts = parse_facts(swarm(), [*FIVE, node("m4", OLD, "down")])
    plan = plan_rotation(facts, ["unlock-key", "ca"], [AGE], False, ROTATE_RISKS)
    assert plan.refusals == ()
    assert len(plan.warnings) == 2


@given(
    kinds=st.sets(st.sampled_from(KINDS)),
    recipients=st.sampled_from([[], [AGE], ["x"]]),
    without=st.booleans(),
    accepted=st.sets(st.sampled_from(ROTATE_RISKS)),
    states=st.lists(st.sampled_from(["ready", "down", "unknown"]), min_size=1, max_size=5),
    autolock=st.booleans(),
    rotating=st.booleans(),
)
def test_what_cannot_be_read_again_is_never_rotated_without_an_escrow_or_leave(
    kinds: set[str],
    recipients: list[str],
    without: bool,
    accepted: set[str],
    states: list[str],
    autolock: bool,
    rotating: bool,
) -> None:
    nodes = [node(f"m{number}", OLD, state) for number, state in enumerate(states)]
    facts = parse_facts(swarm(autolock, rotating), nodes)
    plan = plan_rotation(facts, kinds, recipients, without, accepted)
    done = {step.kind for step in plan.steps if step.action == "rotate"}
    assert done <= kinds
    assert not (plan.refusals and plan.steps)
    assert not done or recipients != ["x"]
    assert not done & {"unlock-key", "ca"} or recipients == [AGE] or without
    assert "ca" not in done or not rotating
    assert "ca" not in done or "down" not in states or "down_nodes" in accepted
    assert "unlock-key" not in done or autolock
    # Every asked kind is a step, or is said to be left alone; or the plan is refused.
    assert plan.refusals or {*(step.kind for step in plan.steps), *dict(plan.same)} == kinds


class Engine:
    """A swarm that rotates what it is told to, unless it is told to lose its answer or to refuse."""

    def __init__(self, _params: dict[str, Any]) -> None:
        self.key, self.writes = "SWMKEY-1-old", 0
        self.document = swarm()
        self.fail: list[tuple[str, bool]] = []

    def swarm(self) -> dict[str, Any]:
        return {**self.document, "JoinTokens": dict(self.document["JoinTokens"])}

    def nodes(self) -> list[dict[str, Any]]:
        return FIVE

    def info(self) -> dict[str, Any]:
        return {"Swarm": {"NodeID": "id-m1"}}

    def get(self, _path: str, _attempt: str) -> dict[str, str]:
        return {"UnlockKey": self.key}

    def update_swarm(self, version: int, spec: dict[str, Any], **flags: bool) -> None:
        assert version == 7
        code, does = self.fail.pop(0) if self.fail else ("", True)
        if does:
            self.writes += 1
            if "rotateManagerUnlockKey" in flags:
                self.key = f"SWMKEY-1-new{self.writes}"
            if "rotateWorkerToken" in flags:
                self.document["JoinTokens"]["Worker"] = f"w-new{self.writes}"
            if spec["CAConfig"]:
                self.document["RootRotationInProgress"] = True
            self.document["Spec"]["Labels"] = spec.get("Labels")
        if code:
            raise SwarmError(code, "Could not change the swarm's settings: why.")


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, clock: Any) -> rotate.Rotation:
    monkeypatch.setattr(rotate, "EngineClient", Engine)
    params = {"recipients": [], "escrow_path": str(tmp_path / "escrow")}
    return rotate.Rotation(params, clock)


def engine(made: rotate.Rotation) -> Engine:
    found = made._client
    assert isinstance(found, Engine)
    return found


@pytest.mark.parametrize("kind", ["unlock-key", "worker-token"])
@pytest.mark.parametrize(
    "fail",
    [[], [("out_of_sequence", False)], [("no_quorum", False)] * 3, [("engine_unreachable", True)]],
)
def test_a_collision_an_election_and_a_lost_answer_do_not_matter(
    made: rotate.Rotation, kind: str, fail: list[tuple[str, bool]]
) -> None:
    engine(made).fail = list(fail)
    before = made._value(kind)
    made.rotate(kind, {}, "m1")
    assert made._value(kind) != before
    assert engine(made).writes == 1


def test_an_engine_that_refuses_is_heard(made: rotate.Rotation) -> None:
    engine(made).fail = [("engine_error", False)]
    with pytest.raises(SwarmError) as caught:
        made.rotate("unlock-key", {}, "m1")
    assert caught.value.code == "engine_error"


def test_a_ca_is_begun_once(made: rotate.Rotation) -> None:
    ca = {"cert": "a new one", "key": "k"}
    # The answer to the first write is lost.
    engine(made).fail = [("timeout", True)]
    made.rotate("ca", ca, "m1")
    assert engine(made).writes == 1
    made.rotate("ca", ca, "m1")
    assert engine(made).writes == 1
    assert made.facts().begun
    # Nobody has seen the end of it yet.
    assert made.wait(5).rotating
    assert made.facts().begun
    engine(made).document["RootRotationInProgress"] = False
    made.wait(5)
    assert not made.facts().begun


@pytest.mark.skipif(shutil.which("age") is None, reason="no age on this machine")
def test_the_escrow_is_encrypted_complete_and_of_the_owner_alone(
    made: rotate.Rotation, tmp_path: Path
) -> None:
    made._params["recipients"] = [AGE]
    made.secure(["unlock-key", "ca"], {"cert": "CERT\n", "key": "KEY\n"}, "m 1")
    made.rotate("unlock-key", {}, "m 1")
    assert [(each["kind"], each["which"]) for each in made.escrowed] == [
        ("unlock-key", "old"),
        ("ca", "new"),
        ("unlock-key", "new"),
    ]
    for each in made.escrowed:
        path = Path(each["path"])
        assert path.read_bytes() == base64.b64decode(each["content"])
        assert path.read_bytes().startswith(b"age-encryption.org/v1")
        assert (path.stat().st_mode & 0o777, path.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    names = sorted(path.name for path in (tmp_path / "escrow" / "9rneu7clusterone").iterdir())
    assert len(names) == 3
    assert all("m_1" in name and name.endswith(".age") for name in names)
