# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The check `network`: what a probe has found becomes a status and a sentence, and what is no result of a probe a refusal."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.flotilla.swarm.plugins.module_utils._common.errors import SwarmError
from ansible_collections.flotilla.swarm.plugins.module_utils._health import network_checks
from ansible_collections.flotilla.swarm.plugins.module_utils._health.check import (
    WELL,
    Check,
    HostContext,
)
from ansible_collections.flotilla.swarm.plugins.module_utils._health.checks import (
    evaluate,
    health_result,
)
from ansible_collections.flotilla.swarm.plugins.module_utils._health.probed import (
    MOST,
    needed_of,
    parse_probe,
)
from ansible_collections.flotilla.swarm.plugins.module_utils._health.report import finish, render
from ansible_collections.flotilla.swarm.plugins.module_utils._health.snapshot import SwarmSnapshot
from ansible_collections.flotilla.swarm.plugins.module_utils._model.documents import (
    Member,
    parse_node,
)
from ansible_collections.flotilla.swarm.plugins.module_utils._probe.evaluate import ADVICE
from ansible_collections.flotilla.swarm.plugins.module_utils._probe.report import empty_result
from ansible_collections.flotilla.swarm.plugins.module_utils._report.language import say
from ansible_collections.flotilla.swarm.plugins.plugin_utils._health import (
    unreachable,
    with_what_is_needed,
)


def finding(cause: Any = "blocked_port", *nodes: str, **more: Any) -> dict[str, Any]:
    port = {"port": "4789/udp"} if cause == "blocked_port" else {}
    base = {
        "cause": cause,
        "nodes": list(nodes or ("m3",)),
        "direction": "to m3 from all others",
        "network": "",
        "what": "4789/udp does not pass to m3 from all others",
        "advice": "open 4789/udp in this direction",
        "data": {**port, "pairs": [["m1", "m3"]]},
    }
    return {**base, **more}


def result(*findings: dict[str, Any], **more: Any) -> dict[str, Any]:
    """As swarm_probe returns it at the end of a run."""
    base = {**empty_result(), "probed": ["m1", "m2", "m3"], "matrix": ["PROBE  3 nodes"]}
    return {**base, "findings": list(findings), **more}


def swarm(*names: str) -> SwarmSnapshot:
    nodes = [
        parse_node(
            {
                "ID": name,
                "Spec": {"Role": "manager", "Availability": "active", "Labels": {}},
                "Description": {"Hostname": name},
                "Status": {"State": "ready"},
            }
        )
        for name in names
    ]
    return SwarmSnapshot(member=Member("active", "m1", "manager", "c1"), nodes=nodes)


def check(given_result: Any, snapshot: SwarmSnapshot | None = None) -> Check:
    context = HostContext(network=parse_probe(given_result))
    found = evaluate(snapshot or swarm("m1", "m2", "m3"), context, only=["network"])
    (check,) = [each for each in found if each.name == "network"]
    # The module gets less, and says the same.
    small = HostContext(network=parse_probe(needed_of(given_result)))
    assert check in evaluate(snapshot or swarm("m1", "m2", "m3"), small, only=["network"])
    json.dumps(check.as_dict())
    return check


@pytest.mark.parametrize("nothing", [None, {}])
def test_without_a_probe_the_check_is_skipped(nothing: Any) -> None:
    found = check(nothing)
    assert found.status == "skipped"
    assert found.message == "not checked: no result of swarm_probe was given"


def test_a_sound_network_is_ok() -> None:
    found = check(result())
    assert (found.status, found.message) == ("ok", "the probe of 3 nodes has found nothing")


def test_a_finding_is_named_with_its_nodes_and_fails_the_gate() -> None:
    given_result = result(finding(), finding("mtu", "m1", "m2"), finding("loss", "m1"))
    found = check(given_result)
    assert found.status == "failed"
    assert found.message == (
        "blocked: 4789/udp (m3); larger packets are lost (m1, m2); packets are lost (m1)"
    )
    assert found.data["findings"][0]["what"] == "4789/udp does not pass to m3 from all others"
    context = HostContext(network=parse_probe(given_result))
    seen = health_result(swarm("m1", "m2", "m3"), context, only=["network"])
    done = finish(seen, ["healthy", "degraded"], "brief", 1)
    assert done["failure"]["code"] == "not_accepted"
    assert "network: blocked: 4789/udp (m3)" in done["msg"]
    assert "  failed    network   blocked: 4789/udp (m3);" in done["report"]
    assert len(done["report"].splitlines()) < 10


@pytest.mark.parametrize("cause", [*ADVICE, "of a later version"])
def test_every_cause_has_a_status_and_words(cause: str) -> None:
    found = check(result(finding(cause, "m2")))
    assert found.status not in WELL
    assert "(m2)" in found.message
    degraded = {"kernel_without", "overlapping_subnets", "loss"}
    unsure = {"no_report"}
    wanted = "degraded" if cause in degraded else "unknown" if cause in unsure else "failed"
    assert found.status == wanted
    assert set(network_checks._CAUSES) == set(ADVICE)
    if cause in ADVICE:
        assert cause not in found.message
        assert say(found.message, "ko") != found.message
    else:
        assert cause in found.message


def test_the_worst_finding_decides_and_comes_first() -> None:
    found = check(result(finding("loss", "m1"), finding("no_report", "m2"), finding("vip", "m3")))
    assert found.status == "failed"
    assert found.message == (
        "virtual IPs do not answer (m3); a prober has not reported (m2); packets are lost (m1)"
    )
    assert check(result(finding("loss", "m1"), finding("no_report", "m2"))).status == "unknown"


def test_findings_without_nodes_or_port_have_a_sentence_too() -> None:
    overlap = finding("overlapping_subnets", nodes=[])
    assert check(result(overlap)).message == "subnets overlap"
    assert "a port is blocked (m3)" in check(result(finding(data={}))).message


def test_nodes_that_were_not_probed_are_named_whether_the_probe_knew_them_or_not() -> None:
    given_result = result(not_probed={"w1": "its availability is drain"})
    found = check(given_result, swarm("m1", "m2", "m3", "w1", "w2"))
    assert found.status == "ok"
    assert found.message == "the probe of 3 nodes has found nothing; not probed: w1, w2"
    assert found.data["not_probed"] == {"w1": "its availability is drain", "w2": ""}
    assert "not probed: w1" in check(result(finding(), not_probed={"w1": ""})).message


def test_a_probe_that_has_probed_nobody_is_not_ok() -> None:
    found = check(result(probed=[], not_probed={"m1": "no python3"}))
    assert found.status == "unknown"
    assert found.message == "the probe has probed no node; not probed: m1, m2, m3"


def test_one_node_alone_is_probed() -> None:
    assert check(result(probed=["m1"]), swarm("m1")).message == (
        "the probe of 1 node has found nothing"
    )


def test_the_words_for_300_nodes_are_short() -> None:
    names = [f"w{n}" for n in range(300)]
    causes = [finding(cause, *names) for cause in ADVICE for _again in range(20)]
    found = check(result(*causes, probed=names), swarm(*names))
    assert found.status == "failed"
    assert "and 294 more" in found.message
    assert found.message.endswith("; and 12 more")
    assert len(found.message) < 1000
    assert len(found.data["findings"]) == 50
    small = needed_of(result(*causes, probed=names, pairs=[{}] * 2500, collected="x" * 10**6))
    assert "pairs" not in small
    assert len(small["collected"]) == 1


@pytest.mark.parametrize(
    ("given_result", "status", "message"),
    [
        (
            {"skipped": True, "changed": False, "skip_reason": "Conditional result was False"},
            "skipped",
            "not checked: the probe was skipped",
        ),
        (
            {**empty_result(), "plan": ["PLAN  probe 3 nodes, acting on m1"]},
            "skipped",
            "not checked: the probe ran in check mode",
        ),
        (
            {**empty_result(), "collected": "eJy..."},
            "unknown",
            "the probe has started and not ended",
        ),
        (
            {
                **empty_result(),
                "failed": True,
                "msg": "Could not probe nowhere: there is no such overlay network.",
                "failure": {"code": "not_found", "details": {}},
            },
            "unknown",
            "the probe has failed: Could not probe nowhere: there is no such overlay network",
        ),
        (
            {"failed": True, "msg": "MODULE FAILURE"},
            "unknown",
            "the probe has failed: MODULE FAILURE",
        ),
        ({"unreachable": True, "msg": ""}, "unknown", "the probe has failed: it gave no reason"),
    ],
)
def test_a_probe_without_a_result(given_result: Any, status: str, message: str) -> None:
    found = check(given_result)
    assert (found.status, found.message) == (status, message)
    assert bool(found.advice) == (status == "unknown")


@pytest.mark.parametrize(
    ("given_result", "words"),
    [
        ([], "network is a list"),
        ("probe", "network is a string"),
        ({"verdict": "healthy", "checks": []}, "network.probed is missing"),
        (result(findings=None), "network.findings is missing"),
        (result(probed="m1"), "network.probed is a string"),
        (result(probed=[1]), "network.probed has 1"),
        (result(not_probed=[]), "network.not_probed is a list"),
        (result(findings=["mtu"]), "network.findings[0] is a string"),
        (result(finding(cause="")), "network.findings[0].cause is empty"),
        (result(finding(cause=7)), "network.findings[0].cause is a number"),
        (result(finding(nodes="m1")), "network.findings[0].nodes is a string"),
        (result(finding(nodes=[["m1"]])), "network.findings[0].nodes has a list"),
        (result(probed=["x"] * (MOST + 1)), "network.probed is too long, with 10001 entries"),
        (result(*[finding()] * (MOST + 1)), "network.findings is too long, with 10001 entries"),
    ],
)
def test_what_is_no_result_of_a_probe_is_refused_in_a_sentence(
    given_result: Any, words: str
) -> None:
    for shape in (given_result, needed_of(given_result)):
        with pytest.raises(SwarmError) as caught:
            parse_probe(shape)
        assert caught.value.code == "bad_option"
        assert f"{words}, and network must be the result of" in caught.value.message
        assert len(caught.value.message) < 300


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inside: (
        st.lists(inside, max_size=4)
        | st.dictionaries(
            st.sampled_from(
                ["findings", "probed", "not_probed", "cause", "nodes", "data", "port", "msg"]
            ),
            inside,
            max_size=6,
        )
    ),
    max_leaves=20,
)


@given(anything, st.booleans())
def test_any_value_gives_a_check_or_a_refusal(value: Any, complete: bool) -> None:
    if complete and isinstance(value, dict):
        value = {**result(), **value}
    try:
        probe = parse_probe(value)
    except SwarmError:
        return
    seen = health_result(swarm("m1"), HostContext(network=probe), only=["network"], picture=True)
    json.dumps(seen)
    assert render(seen, True)


def test_the_check_needs_no_manager() -> None:
    args = {"network": result(finding()), "format": "table"}
    seen = unreachable(with_what_is_needed(args), "no route to host")
    (found,) = [each for each in seen["checks"] if each["name"] == "network"]
    assert found["status"] == "failed"
    refused = unreachable(with_what_is_needed({"network": [1]}), "no route to host")
    assert refused["failure"]["code"] == "bad_option"
