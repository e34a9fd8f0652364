# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The plan of a stack is the same as the result of its deploy, for Compose files of every kind.

Each file of ../corpus is planned, deployed, and planned again. What the first plan was made of is compared, field by
field, with what the engine then has, asked with curl. What differs between the two is only what the engine fills in, all of
which is listed here.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from in_one_call import Manager

CORPUS = Path(__file__).resolve().parents[1] / "corpus"
STACK_LABEL = "com.docker.stack.namespace"
ENVIRONMENT = {
    "REGISTRY": "registry.lab:5000",
    "TAG": "1",
    "NONE": "0",
    "EMPTY": "",
    "PORT": "8080",
    "PASSED_ON": "passed",
}
FILES = {
    f"files/{path.name}": base64.b64encode(path.read_bytes()).decode()
    for path in sorted((CORPUS / "files").iterdir())
}
NAMES = sorted(p.stem for p in CORPUS.glob("*.yml") if not p.stem.endswith(".more"))

# The defaults that the engine adds.
FILLED_IN: dict[str, Any] = {
    "TaskTemplate.Runtime": "container",
    "TaskTemplate.ContainerSpec.Isolation": "default",
    "EndpointSpec.Mode": "vip",
    "EndpointSpec.Ports[].Protocol": "tcp",
    "EndpointSpec.Ports[].PublishMode": "ingress",
    "Driver": "overlay",
    "Scope": "swarm",
    "IPAM.Driver": "default",
    "IPAM.Config[].Gateway": "10.201.7.1",
    "Mode.Replicated.Replicas": 1,
    "TaskTemplate.RestartPolicy.Condition": "any",
    "TaskTemplate.RestartPolicy.MaxAttempts": 0,
    "UpdateConfig.FailureAction": "pause",
    "UpdateConfig.Order": "stop-first",
    "RollbackConfig.FailureAction": "pause",
    "RollbackConfig.Order": "stop-first",
}
# Values that are sent and not stored, because they are defaults.
LEFT_OUT: dict[str, Any] = {
    # Of docker compose on a Mac; the swarm has no field for it.
    "TaskTemplate.ContainerSpec.Mounts[].Consistency": "cached",
}
# Values of a network that only the engine sets.
OF_THE_NETWORK = ("Id", "Created", "Options.com.docker.network.driver.overlay.vxlanid_list")


def stack_of(name: str) -> str:
    return f"corpus_{name}"


def texts(name: str) -> list[str]:
    paths = [CORPUS / f"{name}.yml", CORPUS / f"{name}.more.yml"]
    return [path.read_text() for path in paths if path.exists()]


def given(name: str, *edits: tuple[str, str], **options: Any) -> dict[str, Any]:
    definition = texts(name)
    for old, new in edits:
        assert sum(text.count(old) for text in definition) == 1, f"{name}: {old}"
        definition = [text.replace(old, new) for text in definition]
    return {
        "name": stack_of(name),
        "definition": definition,
        "files": FILES,
        "environment": ENVIRONMENT,
        "options": options,
    }


@pytest.fixture(scope="module")
def manager(request: pytest.FixtureRequest) -> Manager:
    return Manager(request.config.getoption("--ansible-inventory"))


# What the external things of the files stand for.
OUTSIDE = """
docker network create -d overlay corpus_external > /dev/null
for name in corpus_external_secret corpus_external_secret_2; do echo x | docker secret create $name - > /dev/null; done
echo x | docker config create corpus_external_config - > /dev/null
"""
# This test is not about removal, so the docker command removes all of them at once.
CLEAN = r"""
docker service ls --format '{{.Name}}' | grep ^corpus_ | xargs -r docker service rm
docker secret ls --format '{{.Name}}' | grep ^corpus_ | xargs -r docker secret rm
docker config ls --format '{{.Name}}' | grep ^corpus_ | xargs -r docker config rm
left() { docker network ls -f scope=swarm --format '{{.Name}}' | grep ^corpus_; }
for attempt in $(seq 60); do left | xargs -r docker network rm; left || break; sleep 1; done
"""


@pytest.fixture(scope="module")
def names(manager: Manager) -> list[str]:
    """The files that this host's CLI understands."""
    version = manager.sh("docker version -f '{{.Client.Version}}'")
    has = tuple(int(part) for part in re.findall(r"\d+", version)[:2])
    understood = []
    for name in NAMES:
        needs = re.search(r"^# cli: (\d+)\.(\d+)$", texts(name)[0], re.MULTILINE)
        if needs and has < (int(needs.group(1)), int(needs.group(2))):
            print(
                f"corpus: {name} needs a CLI {needs.group(1)}.{needs.group(2)}, this is {version}"
            )
        else:
            understood.append(name)
    return understood


@pytest.fixture(scope="module")
def deployed(manager: Manager, names: list[str]) -> Iterator[dict[str, Any]]:
    """Plan and then deploy the corpus. Returns the results of the plans and of the runs."""
    stacks = [given(name) for name in names]
    manager.sh(CLEAN + OUTSIDE)
    try:
        yield {
            "plans": manager.stacks(stacks, check=True),
            "before": manager.versions(),
            "runs": manager.stacks(stacks),
        }
    finally:
        manager.sh(CLEAN)


@pytest.fixture(scope="module")
def live(manager: Manager, deployed: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """What the engine has, by kind and name."""
    found = {
        kind: {
            (one if kind == "network" else one["Spec"])["Name"]: one
            for one in manager.engine(f"/{kind}s")
        }
        for kind in ("network", "secret", "config", "service")
    }
    on_host = found["service"]["corpus_network_host_agent"]["Spec"]["TaskTemplate"]["Networks"]
    found["network"]["host"] = manager.engine(f"/networks/{on_host[0]['Target']}")
    assert found["network"]["host"]["Name"] == "host"
    return found


# --- Comparing ---------------------------------------------------------------------------------------


def nothing(value: Any) -> bool:
    return value is None or value in ("", [], {}) or value is False


def differences(sent: Any, kept: Any, path: str = "") -> Iterator[str]:
    """The differences between the sent and the stored spec."""
    if isinstance(sent, dict) and isinstance(kept, dict):
        for key in sorted({*sent, *kept}):
            inner = f"{path}.{key}" if path else key
            yield from differences(sent.get(key), kept.get(key), inner)
    elif isinstance(sent, list) and isinstance(kept, list) and len(sent) == len(kept):
        for old, new in zip(sent, kept):
            yield from differences(old, new, f"{path}[]")
    elif sent == kept or (nothing(sent) and nothing(kept)) or path in OF_THE_NETWORK:
        return
    elif nothing(sent) and isinstance(kept, dict):
        yield from differences({}, kept, path)
    elif (nothing(sent) and path in FILLED_IN and kept == FILLED_IN[path]) or (
        nothing(kept) and path in LEFT_OUT and sent == LEFT_OUT[path]
    ):
        return
    else:
        yield f"{path}: planned {sent!r}, is {kept!r}"


def with_ids(spec: dict[str, Any], live: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """The planned spec of a service, with the IDs that its objects have now."""
    spec = json.loads(json.dumps(spec))
    template = spec["TaskTemplate"]
    credential = (template["ContainerSpec"].get("Privileges") or {}).get("CredentialSpec") or {}
    if credential.get("Config"):
        names = {one["ConfigID"]: one["ConfigName"] for one in template["ContainerSpec"]["Configs"]}
        credential["Config"] = live["config"][names[credential["Config"]]]["ID"]
    for kind in ("secret", "config"):
        title = kind.title()
        for reference in template["ContainerSpec"].get(f"{title}s") or []:
            reference[f"{title}ID"] = live[kind][reference[f"{title}Name"]]["ID"]
    for network in template.get("Networks") or []:
        # The network of the host has another ID in the swarm.
        known = live["network"].get(network["Target"]) or live["network"]["host"]
        network["Target"] = known["Id"]
    return dict(spec)


# --- Tests -------------------------------------------------------------------------------------------


def test_there_are_many(names: list[str]) -> None:
    assert len(NAMES) >= 40
    assert len(names) >= 40


@pytest.mark.parametrize("name", NAMES)
def test_the_plan_is_what_the_run_left(
    name: str, names: list[str], deployed: dict[str, Any], live: dict[str, dict[str, Any]]
) -> None:
    if name not in names:
        pytest.skip("this CLI is too old for it")
    plan, run = (deployed[which][stack_of(name)] for which in ("plans", "runs"))
    assert "error" not in plan, plan["error"]
    assert "error" not in run, run["error"]
    wrong = []
    for write in plan["writes"]:
        found = live[write["kind"]].get(write["name"])
        if found is None:
            wrong.append(f"{write['kind']} {write['name']} is missing")
            continue
        if write["kind"] == "service":
            pairs = differences(with_ids(write["spec"], live), found["Spec"])
        elif write["kind"] == "network":
            if not (write["spec"].get("IPAM") or {}).get("Config"):
                # The file names no subnet, so the engine chose one.
                assert len(found["IPAM"].pop("Config")) == 1
            pairs = differences(write["spec"], found)
        else:
            found["Spec"].pop("Data", None)
            pairs = differences(write["spec"], found["Spec"])
        wrong += [f"{write['name']}: {text}" for text in pairs]
    assert not wrong, "\n".join(wrong)


@pytest.fixture(scope="module")
def again(manager: Manager, names: list[str], live: dict[str, Any]) -> dict[str, Any]:
    before = manager.versions()
    return {
        "plans": manager.stacks([given(name) for name in names], check=True),
        "runs": manager.stacks([given(name) for name in names]),
        "moved": sorted({*before.items()} ^ {*manager.versions().items()}),
    }


def test_a_second_run_writes_nothing(again: dict[str, Any]) -> None:
    for runs in (again["plans"], again["runs"]):
        assert not {name: run for name, run in runs.items() if run["changed"] or "error" in run}
    assert not [name for name, run in again["runs"].items() if run["applied"]]
    assert again["moved"] == []


# One change of a file and its full plan: the object, the field, and the values before and after.
EDITS: list[tuple[str, tuple[str, str], list[tuple[str, str, str, str]]]] = [
    (
        "minimal",
        ("hello:1", "hello:2"),
        [("minimal_web", "image", "hello:1", "hello:2")],
    ),
    (
        "deploy_labels",
        ('of.service: "yes"', 'of.service: "no"'),
        [("deploy_labels_map", "labels.of.service", "yes", "no")],
    ),
    (
        "update_config",
        ("delay: 1m30s", "delay: 2m"),
        [("update_config_all", "update_config.delay", "90s", "120s")],
    ),
    (
        "rollback_config",
        ("{order: stop-first}", "{order: start-first}"),
        [("rollback_config_little", "rollback_config.order", "(none)", "start-first")],
    ),
    (
        "restart_policy",
        ("max_attempts: 3", "max_attempts: 4"),
        [("restart_policy_all", "restart_policy.max_attempts", "3", "4")],
    ),
    (
        "placement",
        ("node.labels.rack", "node.labels.row"),
        [
            (
                "placement_all",
                "placement.preferences",
                "node.labels.zone, node.labels.rack",
                "node.labels.zone, node.labels.row",
            )
        ],
    ),
    (
        "resources",
        ("memory: 50M", "memory: 60M"),
        [("resources_both", "resources.limits.memory", "50M", "60M")],
    ),
    (
        "healthcheck",
        ("retries: 5", "retries: 6"),
        [("healthcheck_all", "healthcheck.retries", "5", "6")],
    ),
    (
        "ports_short",
        ('"18010:80"', '"18019:80"'),
        [("ports_short_web", "ports", "18010:80/tcp ingress", "18019:80/tcp ingress")],
    ),
    (
        "volumes_named",
        ("fast:/fast:nocopy", "fast:/fastest:nocopy"),
        [
            ("volumes_named_web", "mounts./fast", "volume corpus_volumes_named_fast", "(none)"),
            ("volumes_named_web", "mounts./fastest", "(none)", "volume corpus_volumes_named_fast"),
        ],
    ),
    (
        "secrets",
        ("mode: 0440", "mode: 0400"),
        [("secrets_long", "secrets.renamed.mode", "0440", "0400")],
    ),
    (
        "configs",
        ('uid: "103"', 'uid: "105"'),
        [("configs_long", "configs./etc/app.conf.uid", "103", "105")],
    ),
    (
        "networks",
        ("[www, shop]", "[www, store]"),
        [
            (
                "networks_web",
                "networks",
                "corpus_networks_front as shop,web,www",
                "corpus_networks_front as store,web,www",
            )
        ],
    ),
    ("environment", ('{A: "1"', '{A: "2"'), [("environment_map", "env.A", "1", "2")]),
    (
        "env_file",
        ("OVER: environment", "OVER: other"),
        [("env_file_two", "env.OVER", "environment", "other")],
    ),
    (
        "commands",
        ("sleep 1", "sleep 2"),
        [("commands_list", "command", "sh, -c, echo a; sleep 1", "sh, -c, echo a; sleep 2")],
    ),
    ("process", ("SIGQUIT", "SIGINT"), [("process_all", "stop_signal", "SIGQUIT", "SIGINT")]),
    (
        "process",
        ("read_only: false", "read_only: true"),
        [("process_opposite", "read_only", "(none)", "yes")],
    ),
    (
        "logging",
        ('max-file: "3"', 'max-file: "5"'),
        [("logging_file", "log_driver.options.max-file", "3", "5")],
    ),
    (
        "limits",
        ("hard: 40000", "hard: 50000"),
        [("limits_web", "ulimits.nofile", "20000:40000", "20000:50000")],
    ),
    (
        "capabilities",
        ("cap_drop: [mknod]", "cap_drop: [kill]"),
        [("capabilities_all", "capability_drop", "CAP_MKNOD", "CAP_KILL")],
    ),
    (
        "names",
        ("[example.com, example.org]", "[example.com]"),
        [("names_lists", "dns_config.search", "example.com, example.org", "example.com")],
    ),
    ("many", ("s8: *s}", "s8: *s, s9: *s}"), [("many_s9", "", "", "")]),
    *(
        ("zeros", edit, [(f"zeros_{service}", field, before, after)])
        for edit, service, field, before, after in (
            (
                (
                    "update: {<<: *s, deploy: {replicas: 0}}",
                    "update: {<<: *s, deploy: {replicas: 0, update_config: {parallelism: 0}}}",
                ),
                *("update", "update_config.parallelism", "(none)", "0"),
            ),
            (
                (
                    "labels: {of: rollback}",
                    "labels: {of: rollback}, rollback_config: {parallelism: 0, order: stop-first}",
                ),
                *("rollback", "rollback_config.parallelism", "(none)", "0"),
            ),
            (
                (
                    "labels: {of: restart}",
                    "labels: {of: restart}, restart_policy: {condition: any}",
                ),
                *("restart", "restart_policy", "(none)", "(defaults)"),
            ),
            (
                ("labels: {of: limits}", "labels: {of: limits}, resources: {limits: {}}"),
                *("limits", "resources.limits", "(none)", "(defaults)"),
            ),
            (
                ("labels: {of: health}", "labels: {of: health}, healthcheck: {}"),
                *("health", "healthcheck", "(none)", "(defaults)"),
            ),
            (
                ("labels: {of: logging}", "labels: {of: logging}, logging: {}"),
                *("logging", "log_driver", "(none)", "(defaults)"),
            ),
            (
                ("labels: {of: dns}", "labels: {of: dns}, dns: []"),
                *("dns", "dns_config", "(none)", "(defaults)"),
            ),
            (
                ("labels: {of: init}", "labels: {of: init}, init: false, stop_signal: ''"),
                *("init", "init", "(none)", "no"),
            ),
            (
                ("target: /t}", "target: /t, tmpfs: {size: 0}}"),
                *("tmpfs", "mounts./t.tmpfs_options", "(none)", "(defaults)"),
            ),
            (("mode: 0440}", "mode: 0000}"), *("mode", "configs./c.mode", "0440", "0000")),
            (
                (", update_config: {order: stop-first}", ""),
                *("no_update", "update_config.parallelism", "1", "(none)"),
            ),
            (
                (", rollback_config: {parallelism: 0}}", "}"),
                *("no_rollback", "rollback_config.parallelism", "0", "(none)"),
            ),
        )
    ),
]


@pytest.fixture(scope="module")
def edited(manager: Manager, again: dict[str, Any]) -> dict[str, Any]:
    edits: dict[str, list[tuple[str, str]]] = {}
    for name, edit, _changes in EDITS:
        edits.setdefault(name, []).append(edit)
    stacks = [given(name, *changes) for name, changes in edits.items()]
    before = manager.versions()
    plans = manager.stacks(stacks, check=True)
    assert manager.versions() == before
    runs = manager.stacks(stacks)
    after = manager.versions()
    return {
        "plans": plans,
        "runs": runs,
        "moved": {name for name, version in after.items() if before.get(name) != version},
        "second": manager.stacks(stacks, check=True),
    }


def planned(plan: dict[str, Any]) -> set[tuple[str, str, str, str]]:
    assert "error" not in plan, plan["error"]
    found = set()
    for step in plan["steps"]:
        if step["action"] == "create":
            found.add((step["name"], "", "", ""))
        for change in step["changes"]:
            # An image without the registry and the digest that it gave.
            values = (_ADDRESS.sub("", change[side]) for side in ("before", "after"))
            found.add((step["name"], change["field"], *values))
    return found


_ADDRESS = re.compile(r"^registry\.lab:5000/|@sha256:\w{64}$")


def test_of_an_edit_the_plan_shows_just_that(edited: dict[str, Any]) -> None:
    wanted: dict[str, set[tuple[str, str, str, str]]] = {}
    for name, _edit, changes in EDITS:
        wanted.setdefault(stack_of(name), set()).update(
            (stack_of(changed), field, before, after) for changed, field, before, after in changes
        )
    for name, plan in edited["plans"].items():
        assert planned(plan) == wanted[name]


def test_of_an_edit_the_run_writes_just_that(edited: dict[str, Any]) -> None:
    wanted = {
        f"services {stack_of(changed[0])}" for _name, _edit, changes in EDITS for changed in changes
    }
    assert edited["moved"] == wanted
    assert {
        a.replace("service ", "services ")
        for run in edited["runs"].values()
        for a in run["applied"]
    } == wanted
    assert not [name for name, run in edited["second"].items() if run["changed"] or "error" in run]


def test_after_an_edit_the_cli_itself_writes_the_same(
    manager: Manager, edited: dict[str, Any]
) -> None:
    """Docker's CLI deploys the same file to the same result as our run, except for the platforms, which it drops."""
    edits = [edit for name, edit, _changes in EDITS if name == "zeros"]
    text = given("zeros", *edits)["definition"][0]
    label = f'{{"label":["{STACK_LABEL}={stack_of("zeros")}"]}}'

    def specs() -> dict[str, Any]:
        services = manager.engine(f"/services?filters={label}")
        return {service["Spec"]["Name"]: service["Spec"] for service in services}

    ours = specs()
    for spec in ours.values():
        assert spec["TaskTemplate"]["Placement"].pop("Platforms")
    files = "".join(f"echo {content} | base64 -d > {path}; " for path, content in FILES.items())
    packed = base64.b64encode(text.encode()).decode()
    manager.sh(
        f"set -e; cd $(mktemp -d); mkdir files; {files} echo {packed} | base64 -d > zeros.yml;"
        f" docker stack deploy -c zeros.yml --resolve-image changed {stack_of('zeros')}"
    )
    assert len(ours) == 13
    assert specs() == ours


# Settings that no engine changes on an existing network, and the plan for them.
DRIFTS: dict[str, tuple[list[tuple[str, str]], list[str]]] = {
    "networks": (
        [("tier: front", "tier: other"), ("internal: true", "internal: false")],
        [
            "corpus_networks_front (labels.tier front -> other)",
            "corpus_networks_back (internal yes -> (none))",
        ],
    ),
    "networks_ipam": (
        [("10.201.7.0", "10.201.8.0"), ('mtu: "1400"', 'mtu: "1300"')],
        [
            "corpus_networks_ipam_fixed (subnets 10.201.7.0/24 -> 10.201.8.0/24)",
            "corpus_networks_ipam_encrypted (options.com.docker.network.driver.mtu 1400 -> 1300)",
        ],
    ),
    "network_default": (
        [("attachable: true, ", "")],
        ["corpus_network_default_default (attachable yes -> (none))"],
    ),
}


@pytest.mark.parametrize("check", [True, False])
def test_a_network_that_should_be_another_is_refused(
    manager: Manager, deployed: dict[str, Any], check: bool
) -> None:
    before = sorted(network["Id"] for network in manager.engine("/networks"))
    stacks = [given(name, *edits) for name, (edits, _words) in DRIFTS.items()]
    runs = manager.stacks(stacks, check)
    for name, (_edits, words) in DRIFTS.items():
        error = runs[stack_of(name)]["error"]
        assert [text for text in (*words, "replace_networks=true") if text not in error] == []
        assert runs[stack_of(name)]["applied"] == []
    assert sorted(network["Id"] for network in manager.engine("/networks")) == before


def test_what_the_cli_would_find_taken_is_refused(
    manager: Manager, deployed: dict[str, Any]
) -> None:
    """The CLI checks only the services and networks of the stack, but names are unique in the engine."""
    one = given("minimal", ("  web:\n", "  web:\n    networks: [net]\n"))
    one["definition"].append("{version: '3.8', networks: {net: {name: corpus_external}}}")
    run = manager.stacks([one], check=True)[stack_of("minimal")]
    assert (
        "network corpus_external already exists and does not belong to this stack" in run["error"]
    )


def test_a_folder_beside_an_inline_file_is_no_place_to_mount(manager: Manager) -> None:
    one = given("volumes_bind", ("/srv:/srv", "./srv:/srv"))
    run = manager.stacks([one], check=True)[stack_of("volumes_bind")]
    assert "corpus_volumes_bind_web mounts srv at /srv" in run["error"]
