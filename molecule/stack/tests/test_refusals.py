# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The plan refuses what the engine refuses, and accepts what it accepts. What a plan cannot know is rolled back.

The oracle is Docker's own command on a real engine: each case is deployed with it as well.
"""

from __future__ import annotations

import base64
import time
from collections.abc import Iterator
from typing import Any

import pytest
from in_one_call import Manager

LIMIT = 1536 * 1024


def stack(name: str, more: dict[str, Any] | None = None, **service: Any) -> dict[str, Any]:
    """A stack with one service that runs nothing."""
    deploy = {"replicas": 0, **service.pop("deploy", {})}
    web = {"image": "registry.lab:5000/hello:1", "deploy": deploy, **service}
    return {"name": name, "definition": {"services": {"web": web}, **(more or {})}}


def named(name: str, service: str) -> dict[str, Any]:
    found = stack(name)
    found["definition"]["services"] = {service: found["definition"]["services"]["web"]}
    return found


def data(title: str, content: bytes, kind: str = "configs", **entry: Any) -> dict[str, Any]:
    found = stack(title, {kind: {"c": {"file": "./c", **entry}}}, **{kind: ["c"]})
    return {**found, "files": {"c": base64.b64encode(content).decode()}}


def subnet(name: str, address: str) -> dict[str, Any]:
    return stack(name, {"networks": {"default": {"ipam": {"config": [{"subnet": address}]}}}})


def port(published: int, mode: str = "ingress") -> dict[str, Any]:
    return {"target": 80, "published": published, "protocol": "tcp", "mode": mode}


def two_with(name: str, *ports: dict[str, Any]) -> dict[str, Any]:
    """Two services, each with one of these ports."""
    found = stack(name)
    web = found["definition"]["services"]["web"]
    found["definition"]["services"] = {
        f"s{number}": {**web, "ports": [one]} for number, one in enumerate(ports)
    }
    return found


def environment(length: int) -> dict[str, str]:
    return {"LONG": "x" * length}


TAKEN = two_with("taken", port(8095), port(8096, "host"))
TAKEN["definition"]["networks"] = {"default": {"ipam": {"config": [{"subnet": "10.77.0.0/24"}]}}}

DNSRR = {"endpoint_mode": "dnsrr"}
BAD = [
    (stack("bad.name"), "name must be valid as a DNS name component"),
    (stack("bad name"), "name must be valid as a DNS name component"),
    (stack("bad\u00fc"), "name must be valid as a DNS name component"),
    (stack("bad/name"), "name must be valid as a DNS name component"),
    (stack("_bad"), "name must be valid as a DNS name component"),
    # With _default one character too many; its services are fine.
    (stack("b" * 56), f"network {'b' * 56}_default: name must be 63 characters or fewer"),
    (named("bad-service", "a.b"), "name must be valid as a DNS name component"),
    (named("bad-long", "s" * 55), "name must be 63 characters or fewer"),
    (data("bad-config", b"1", name="c" * 65), "invalid name, only 64"),
    (data("bad-secret", b"1", "secrets", name="c!"), "invalid name, only 64"),
    (data("bad-size", b"1" * 1024000), "config data must be larger than 0 and less than 1024000"),
    (
        stack("bad-twice", ports=[port(8100), {**port(8100), "target": 81}]),
        "duplicate published ports provided",
    ),
    (stack("bad-taken", ports=[port(8095)]), "port '8095' is already in use by service 'taken_s0'"),
    (stack("bad-host", ports=[port(8096)]), "as a host-published port"),
    (two_with("bad-shared", port(8101), port(8101)), "port '8101' is already in use by service"),
    (two_with("bad-mixed", port(8101), port(8101, "host")), "port '8101' is already in use by"),
    (stack("bad-dnsrr", ports=[port(8102)], deploy=DNSRR), "ingress mode can't be used with dnsrr"),
    (
        stack("bad-constraint", deploy={"placement": {"constraints": ["node.role=manager"]}}),
        "constraint expected one operator from ==, !=",
    ),
    (
        stack("bad-key", deploy={"placement": {"constraints": ["a b==c"]}}),
        "key 'a b' is invalid",
    ),
    (
        stack("bad-memory", deploy={"resources": {"limits": {"memory": "4194303b"}}}),
        "Must be at least 4MiB",
    ),
    (
        stack("bad-cpu", deploy={"resources": {"reservations": {"cpus": "0.0001"}}}),
        "invalid cpu value 0.0001",
    ),
    (
        stack("bad-mount", volumes=["one:/x", "two:/x"], more={"volumes": {"one": {}, "two": {}}}),
        "duplicate mount point: /x",
    ),
    (stack("bad-image", image="Upper/Case"), "is not a valid repository/tag"),
    (
        stack("bad-restart", deploy={"restart_policy": {"condition": "unless-stopped"}}),
        "invalid RestartCondition",
    ),
    (
        stack("bad-bridge", {"networks": {"default": {"driver": "bridge"}}}),
        "cannot be used with services. Only networks scoped to the swarm can be used",
    ),
    (stack("bad-template", environment={"A": "{{.Nothing}}"}), "Nothing"),
    (stack("bad-ratio", deploy={"update_config": {"max_failure_ratio": 2}}), "maxfailureratio"),
    (
        stack("bad-delay", deploy={"restart_policy": {"delay": "-1s"}}),
        "restart-delay cannot be neg",
    ),
    (
        stack("bad-health", healthcheck={"test": ["CMD", "a"], "interval": "1us"}),
        "Interval in Heal",
    ),
    (
        stack("bad-driver", {"secrets": {"c": {"driver": "nobody"}}}, secrets=["c"]),
        'plugin "nobody" not found',
    ),
    (stack("bad-env", environment=environment(LIMIT)), "raft message is too large"),
    (stack("bad-env2", environment=environment(2 * 1024 * 1024)), "raft message is too large"),
    (subnet("bad-subnet", "10.1.2.0/33"), "nvalid subnet 10.1.2.0/33"),
]
# The engine accepts it and never allocates it, so its tasks never start.
OVERLAPPING = subnet("overlapping", "10.77.0.128/25")

GOOD = [
    stack("A-good_1"),
    stack("g" * 55),
    named("good-long", "s" * 53),
    data("good-config", b"1" * 1023999, name="c" * 64),
    data("good-secret", b"1", "secrets", name="a.b"),
    stack("good-twice", ports=[port(8110), {**port(8110), "protocol": "udp"}]),
    stack("good-host", ports=[port(8096, "host")]),
    two_with("good-shared", port(8111, "host"), port(8111, "host")),
    stack("good-dnsrr", ports=[port(8112, "host")], deploy=DNSRR),
    stack("good-constraint", deploy={"placement": {"constraints": ["node.role != none"]}}),
    stack("good-memory", deploy={"resources": {"limits": {"memory": "4194304b"}}}),
    stack("good-cpu", deploy={"resources": {"reservations": {"cpus": "0.001"}}}),
    stack("good-mount", volumes=["one:/x", "one:/y"], more={"volumes": {"one": {}}}),
    stack("good-restart", restart="on-failure"),
    stack("good-template", environment={"A": "{{.Node.Hostname}}"}),
    stack("good-health", healthcheck={"test": ["CMD", "a"], "interval": "1ms"}),
    stack("good-env", environment=environment(LIMIT - 1024)),
    stack("good-driver", {"secrets": {"c": {"driver": "lab"}}}, secrets=["c"]),
    subnet("good-subnet", "10.77.1.0/24"),
]

# A secret plugin of the old kind, as far as the engine asks it before it stores a secret.
PLUGIN = """
import http.server, os, socketserver
class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = b'{"Implements": ["secretprovider"]}'
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def address_string(self):
        return "engine"
os.makedirs("/run/docker/plugins", exist_ok=True)
socketserver.UnixStreamServer("/run/docker/plugins/lab.sock", Handler).serve_forever()
"""


def found(manager: Manager, name: str) -> list[str]:
    """All objects of a stack in the engine."""
    label = f"label=com.docker.stack.namespace={name}"
    kinds = "service config secret network"
    return manager.sh(
        f'for k in {kinds}; do docker $k ls --filter {label} --format "$k {{{{.Name}}}}"; done'
    ).splitlines()


@pytest.fixture(scope="module")
def manager(request: pytest.FixtureRequest) -> Iterator[Manager]:
    lab = Manager(request.config.getoption("--ansible-inventory"))
    plugin = base64.b64encode(PLUGIN.encode()).decode()
    lab.sh(
        f"echo {plugin} | base64 -d > /run/plugin.py; systemd-run -q --unit lab-plugin python3 /run/plugin.py"
    )
    deployed = lab.stacks([TAKEN])["taken"]
    assert "error" not in deployed, deployed
    yield lab
    lab.stacks([{"name": "taken", "options": {"state": "absent"}}])
    lab.sh("systemctl stop lab-plugin; rm -f /run/docker/plugins/lab.sock")


@pytest.fixture(scope="module")
def plans(manager: Manager) -> dict[str, Any]:
    """Plan all of them. Nothing is left behind."""
    before = [manager.versions(), {n["Id"] for n in manager.engine("/networks")}]
    cases = [case for case, _words in BAD] + GOOD + [OVERLAPPING]
    made = manager.stacks([{**c, "options": {"resolve_image": "never"}} for c in cases], check=True)
    assert [manager.versions(), {n["Id"] for n in manager.engine("/networks")}] == before
    return made


@pytest.fixture(scope="module")
def refused(manager: Manager, plans: dict[str, Any]) -> dict[str, str]:
    return manager.by_the_cli([case for case, _words in BAD] + GOOD)


@pytest.mark.parametrize(("case", "words"), BAD, ids=[case["name"] for case, _words in BAD])
def test_what_the_engine_refuses_is_refused_in_the_plan_in_its_words(
    plans: dict[str, Any], refused: dict[str, str], case: dict[str, Any], words: str
) -> None:
    name = case["name"]
    assert name in refused, "the engine takes it"
    assert words in plans[name].get("error", ""), (plans[name].get("error"), refused[name])
    # The words are the engine's, which names one object at a time.
    said = words.partition(": ")[2] if words.startswith("network ") else words
    assert said in refused[name]


def test_what_the_engine_takes_the_plan_takes(
    plans: dict[str, Any], refused: dict[str, str]
) -> None:
    names = {case["name"] for case in GOOD}
    assert {name: words for name, words in refused.items() if name in names} == {}
    assert {name: plans[name]["error"] for name in names if "error" in plans[name]} == {}


def test_all_that_is_wrong_is_named_and_always_in_the_same_order(manager: Manager) -> None:
    both = stack("both", environment={"A": "{{.Nothing}}"})
    services = both["definition"]["services"]
    services["api"] = {**services["web"], "image": "Upper/Case", "environment": {}}
    said = [manager.stacks([both], check=True)["both"]["error"] for _again in range(2)]
    assert said[0] == said[1]
    assert said[0].index("service both_api: ") < said[0].index("service both_web: ")


def test_all_that_docker_itself_finds_wrong_is_named_with_its_file(manager: Manager) -> None:
    names = ("one", "three", "two")
    right = {"services": {name: {"image": "a"} for name in names}}
    wrong = {"services": {name: {name: 1} for name in names}}
    said = manager.stacks([{"name": "wrong", "definition": [right, wrong]}], check=True)["wrong"]
    assert said["error"] == "Could not plan stack wrong: docker stack deploy says: " + "; ".join(
        f"Compose file 2: services.{name} Additional property {name} is not allowed"
        for name in names
    )


def test_an_address_range_that_is_taken_is_named_before_and_after(
    manager: Manager, plans: dict[str, Any]
) -> None:
    words = "10.77.0.128/25 and 10.77.0.0/24 of network taken_default"
    assert words in plans["overlapping"]["error"]
    # Like a stack that was deployed by hand: the engine accepts the network and never allocates it.
    text = OVERLAPPING["definition"]["networks"]["default"]["ipam"]["config"][0]["subnet"]
    label = "com.docker.stack.namespace=overlapping"
    manager.sh(
        f"docker network create -d overlay --label {label} --subnet {text} overlapping_default"
    )
    try:
        again = manager.stacks([OVERLAPPING])["overlapping"]["error"]
        assert words in again
        assert "replace_networks" not in again
    finally:
        manager.sh("docker network rm overlapping_default")


# Only the engine limits the names of labels, so a plan does not find this one.
UNFORESEEN = {f"{'long-' * 40}{number}": "" for number in range(9000)}


def half(name: str, command: str, **more: Any) -> dict[str, Any]:
    """A stack whose second service the engine refuses in the middle of the deploy."""
    built = stack(name, {"configs": {"c": {"file": "./c"}}, "secrets": {"s": {"file": "./c"}}})
    web = built["definition"]["services"]["web"]
    web.update(command=["sleep", command], configs=["c"], secrets=["s"])
    built["definition"]["services"]["zz"] = {**web, "deploy": {**web["deploy"], **more}}
    return {**built, "files": {"c": base64.b64encode(b"1").decode()}}


def test_a_first_deploy_that_is_refused_half_way_leaves_nothing(manager: Manager) -> None:
    bad = half("half", "1", labels=UNFORESEEN)
    plan = manager.stacks([bad], check=True)["half"]
    assert "error" not in plan, "the plan knows it: this proves nothing"
    run = manager.stacks([half("half", "1", labels=UNFORESEEN)])["half"]
    assert "service half_zz: rpc error" in run["error"]
    assert "was rolled back: " in run["error"]
    assert {"network half_default", "config half_c", "secret half_s"} <= set(run["put_back"])
    assert found(manager, "half") == []


def test_an_update_that_is_refused_half_way_is_as_before(manager: Manager) -> None:
    first = stack("half", command=["sleep", "0"])
    try:
        assert "error" not in manager.stacks([first])["half"]
        run = manager.stacks([half("half", "2", labels=UNFORESEEN)])["half"]
        assert "service half_zz: rpc error" in run["error"]
        assert found(manager, "half") == ["service half_web", "network half_default"]
        (service,) = manager.engine('/services?filters={"name":["half_web"]}')
        assert service["Spec"]["TaskTemplate"]["ContainerSpec"]["Args"] == ["sleep", "0"]
        assert "error" not in manager.stacks([first])["half"]
    finally:
        manager.stacks([{"name": "half", "options": {"state": "absent"}}])


def many(command: str) -> dict[str, Any]:
    built = half("rivals", command)
    web = built["definition"]["services"]["web"]
    built["definition"]["services"] = {f"s{number}": web for number in range(6)}
    return built


@pytest.mark.parametrize("attempt", range(3))
def test_two_first_deploys_of_one_stack_at_once_both_end_well(
    manager: Manager, attempt: int
) -> None:
    try:
        runs = manager.at_once([many("1"), many("1")])
        assert ["error" in run for run in runs] == [False, False], [r.get("error") for r in runs]
        # Both have created something. Otherwise it was no race.
        assert all(run["applied"] for run in runs), "they were not at once"
        assert len(found(manager, "rivals")) == 9
    finally:
        manager.stacks([{"name": "rivals", "options": {"state": "absent"}}])


def test_a_deploy_against_a_removal_at_once_says_what_happens(manager: Manager) -> None:
    gone = {"name": "rivals", "options": {"state": "absent"}}
    try:
        assert "error" not in manager.at_once([many("1")])[0]
        deployed, removed = manager.at_once([many("2"), gone])
        assert "error" not in removed
        said = deployed.get("error", "")
        assert "does not belong to this stack" not in said
        assert not said or "at the same time" in said or "something else removed it" in said
    finally:
        deadline = time.monotonic() + 60
        while found(manager, "rivals"):
            assert time.monotonic() < deadline
            manager.stacks([gone])
