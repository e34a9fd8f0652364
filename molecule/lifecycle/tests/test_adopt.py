# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Adopts a swarm that plain docker commands have made. The steps are those of docs/runbooks/adopt.md.

The swarm has an address pool, settings and labels of its own, hosts with the same hostname, stacks of the corpus and services
outside stacks. With the adopted inventory site.yml plans nothing, and no object of the swarm has another version.
"""

from __future__ import annotations

import json
import re
import shlex
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import drills
import drive
import pytest
import yaml

CORPUS = drive.TOP / "molecule" / "stack" / "corpus"
FEW = ("configs", "environment", "networks", "shop")
ALL = sorted(path.stem for path in CORPUS.glob("*.yml") if not path.stem.endswith(".more"))
SETTINGS = {"REGISTRY": "registry.lab:5000", "TAG": "1", "NONE": "0", "EMPTY": ""}
SETTINGS.update({"PORT": "8080", "PASSED_ON": "passed"})
# A value that no output may have: the files have it, with the rights of the user alone.
CREDENTIAL = "a-credential-of-nobody"

OUTSIDE = f"""set -e
docker network create -d overlay --attachable corpus_external > /dev/null
for name in corpus_external_secret corpus_external_secret_2; do echo x | docker secret create $name - > /dev/null; done
echo x | docker config create corpus_external_config - > /dev/null
docker service create -d --name 'loose-web' --replicas 1 --network corpus_external --endpoint-mode dnsrr \
    --mount type=volume,source=loose,target=/data,volume-driver=local --secret corpus_external_secret \
    --env 'PRICE=$5 or ${{MORE}}' --env 'PASSWORD={CREDENTIAL}' --label 'of.jinja={{{{ secret }}}}' \
    registry.lab:5000/hello:1 > /dev/null
docker service create -d --name grouped --replicas 0 --group 1000 --network corpus_external registry.lab:5000/hello:1 > /dev/null
"""
# The stack of another tool, with a label that only it understands, and a service that was renamed by hand.
ODD = """set -e
docker service create -d --name odd --label com.docker.stack.namespace=elsewhere --replicas 0 registry.lab:5000/hello:1 > /dev/null
docker service update -d --image registry.lab:5000/hello:2 --no-resolve-image corpus_shop_app > /dev/null
"""
CLEAN = r"""
docker service ls -q | xargs -r docker service rm
docker secret ls -q | xargs -r docker secret rm
docker config ls -q | xargs -r docker config rm
left() { docker network ls -f scope=swarm -f driver=overlay --format '{{.Name}}' | grep -v ^ingress$; }
for attempt in $(seq 60); do left | xargs -r docker network rm; left || break; sleep 1; done
"""
LABELS = {
    "m1": {"zone": "a", "tier": "with space"},
    "m2": {"zone": "b"},
    "m3": {"zone": "c", "grüße": "schön: [x] {{ none }}"},
    "w1": {"zone": "a", "disk": "true"},
    "w2": {"zone": "b", "topology.example.com/rack": "1"},
}


def addresses() -> dict[str, str]:
    inventory = yaml.safe_load((drive.INVENTORY / "hosts.yml").read_text(encoding="utf-8"))["all"]
    groups = inventory["children"].values()
    return {name: host["ansible_host"] for group in groups for name, host in group["hosts"].items()}


def by_hand() -> None:
    """The swarm as a person makes it, with plain docker commands."""
    where = addresses()
    drive.leave_all()
    # The hosts w1 and w2 have the same hostname, as clones of one image do.
    drive.ssh("w2", "hostname w1 && systemctl restart docker")
    drive.ssh(
        "m1",
        f"docker swarm init --advertise-addr {where['m1']} --data-path-port 4790 --default-addr-pool 10.30.0.0/16"
        " --default-addr-pool-mask-length 25 --task-history-limit 3 --dispatcher-heartbeat 4s > /dev/null",
    )
    tokens = drive.ssh(
        "m1", "docker swarm join-token -q manager; docker swarm join-token -q worker"
    ).split()

    def join(host: str) -> None:
        token = tokens[host in drive.WORKERS]
        drive.ssh(host, f"docker swarm join --token {token} {where['m1']}:2377")

    for host in ("m2", "m3"):
        join(host)
    drive.on_each(drive.WORKERS, join)
    ids = node_ids()
    script = f"set -e; docker node update --availability drain {ids['m3']}\n"
    for host, labels in LABELS.items():
        words = " ".join(f"--label-add {shlex.quote(f'{k}={v}')}" for k, v in labels.items())
        script += f"docker node update {words} {ids[host]}\n"
    drive.ssh("m1", script)


def node_ids() -> dict[str, str]:
    ask = "docker info --format '{{.Swarm.NodeID}}'"
    return {
        host: text.strip()
        for host, text in drive.on_each(drive.HOSTS, lambda h: drive.ssh(h, ask)).items()
    }


def names() -> list[str]:
    """The files of the corpus that the CLI of the lab understands."""
    version = tuple(
        map(int, re.findall(r"\d+", drive.ssh("m1", "docker version -f '{{.Client.Version}}'"))[:2])
    )
    found = []
    for name in ALL if drive.SOAK else FEW:
        needs = re.search(
            r"^# cli: (\d+)\.(\d+)$", (CORPUS / f"{name}.yml").read_text(), re.MULTILINE
        )
        if not needs or version >= (int(needs[1]), int(needs[2])):
            found.append(name)
    return found


def deploy(stacks: list[str]) -> None:
    """Deploy files of the corpus with Docker's own command."""
    subprocess.run(
        ["docker", "cp", str(CORPUS), f"{drive.PREFIX}-m1:/root/"], check=True, capture_output=True
    )
    exports = " ".join(f"{key}={shlex.quote(value)}" for key, value in SETTINGS.items())
    begin = f"set -e; cd /root/corpus; export {exports}\n"
    commands = []
    for name in stacks:
        files = [f"-c {name}.yml"]
        if (CORPUS / f"{name}.more.yml").exists():
            files.append(f"-c {name}.more.yml")
        words = " ".join(files)
        commands.append(f"docker stack deploy {words} corpus_{name} 2>&1 > /dev/null\n")
    for number in range(0, len(commands), 4):
        drive.ssh("m1", begin + "".join(commands[number : number + 4]))


def objects() -> dict[str, list[dict[str, Any]]]:
    """All objects of the swarm by kind, in the engine's own words."""
    kinds = ("nodes", "services", "secrets", "configs", "networks", "swarm")
    ask = "curl -sf --unix-socket /run/docker.sock http://docker"
    lines = drive.ssh("m1", "; echo; ".join(f"{ask}/{kind}" for kind in kinds)).splitlines()
    found = [json.loads(line) for line in lines if line]
    assert len(found) == len(kinds)
    return {kind: one if isinstance(one, list) else [one] for kind, one in zip(kinds, found)}


def versions() -> dict[str, Any]:
    """The version of every object. That of a node also changes with its state, so a node has its spec here."""
    return {
        f"{kind} {one.get('ID') or one['Id']}": one["Spec"]
        if kind == "nodes"
        else one.get("Version", {}).get("Index")
        for kind, listed in objects().items()
        for one in listed
        if kind != "networks" or one["Scope"] == "swarm"
    }


def settled() -> dict[str, Any]:
    """The versions once the engine itself writes none any more: it notes how each update of a service ends."""

    def at_rest() -> bool:
        states = [one.get("UpdateStatus", {}).get("State") for one in objects()["services"]]
        return "updating" not in states

    drive.wait_until(at_rest, 180, 3.0)
    return versions()


class Adopted:
    """A folder that the playbook has written."""

    def __init__(self, place: Path) -> None:
        self.place = place / "production"
        self.given = place / "one.yml"
        # One manager, under a name that is nowhere in the swarm, with the connection variables of the lab.
        lab = yaml.safe_load((drive.INVENTORY / "hosts.yml").read_text(encoding="utf-8"))["all"]
        host = {"ansible_host": addresses()["m2"], "ansible_become_password": CREDENTIAL}
        given = {"all": {"vars": lab["vars"], "hosts": {"that-one": host}}}
        self.given.write_text(yaml.safe_dump(given), encoding="utf-8")

    def adopt(self, *flags: str, **extra: Any) -> drive.Run:
        run = drive.play(
            *flags,
            playbook=drive.TOP / "playbooks" / "adopt.yml",
            inventory=self.given,
            **{"swarm_adopt_to": str(self.place), **extra},
        )
        for secret in (drills.SECRET, CREDENTIAL, "SWMKEY-1-", "SWMTKN-1-"):
            assert secret not in run.text
        return run

    def check(self, *flags: str) -> drive.Run:
        """The first step of NOTES.md."""
        return drive.play("--check", "--diff", *flags, inventory=self.place / "hosts.yml")

    @property
    def inventory(self) -> dict[str, Any]:
        text = (self.place / "hosts.yml").read_text(encoding="utf-8").replace("!unsafe ", "")
        return dict(yaml.safe_load(text)["all"])

    @property
    def notes(self) -> str:
        return (self.place / "NOTES.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module", autouse=True)
def swarm() -> Iterator[list[str]]:
    drive.on_each(drive.HOSTS, lambda host: drive.ssh(host, "systemctl start docker"))
    by_hand()
    stacks = names()
    drive.ssh("m1", OUTSIDE)
    deploy(stacks)
    drive.ssh("m1", ODD)
    try:
        yield stacks
    finally:
        active = "docker node ls -q | xargs -n 1 docker node update --availability active"
        drive.ssh("m1", f"{CLEAN}\n{active}", check=False)
        drive.ssh("w2", "hostname w2 && systemctl restart docker", check=False)


@pytest.fixture(scope="module")
def adopted(tmp_path_factory: pytest.TempPathFactory) -> Adopted:
    return Adopted(tmp_path_factory.mktemp("adopted"))


def test_adopt_writes_an_inventory_with_which_site_plans_nothing(
    swarm: list[str], adopted: Adopted
) -> None:
    before = settled()
    planned = adopted.adopt("--check")
    assert planned.code == 0, planned.text[-4000:]
    assert not adopted.place.exists()
    run = adopted.adopt("-vvv")
    assert run.code == 0, run.text[-4000:]
    assert run.plan == planned.plan
    print("\n".join(line for line in run.text.splitlines() if re.match(r"PLAN|  [+!] ", line)))
    checked = adopted.check()
    assert checked.code == 0, checked.text[-4000:]
    assert checked.plan == [], checked.plan
    assert checked.changed == 0
    assert len(re.findall(r"ok: \[\S+\] => \(item=corpus_", checked.text)) == len(swarm)
    assert versions() == before
    print(
        f"{len(swarm)} stacks, {len(before)} objects: site.yml --check changed={checked.changed}, all versions as before"
    )


def test_the_inventory_says_what_was_made_by_hand(swarm: list[str], adopted: Adopted) -> None:
    where, found = addresses(), adopted.inventory
    managers = found["children"]["swarm_managers"]["hosts"]
    workers = found["children"]["swarm_workers"]["hosts"]
    assert sorted(managers) == ["m1", "m2", "m3"]
    assert sorted(workers) == ["w1", "w1-2"]
    hosts = {**managers, **workers}
    by_address = {host["ansible_host"]: host for host in hosts.values()}
    for name, labels in LABELS.items():
        host = by_address[where[name]]
        assert host["swarm_zone"] == labels["zone"]
        assert host.get("swarm_labels", {}) == {k: v for k, v in labels.items() if k != "zone"}
        assert host["swarm_advertise_addr"] == where[name]
        assert host.get("swarm_availability") == ("drain" if name == "m3" else None)
    variables = found["vars"]
    assert variables["swarm_settings"] == {
        "dispatcher_heartbeat_period": "4s",
        "task_history_retention_limit": 3,
    }
    assert variables["swarm_default_addr_pool"] == ["10.30.0.0/16"]
    assert (variables["swarm_subnet_size"], variables["swarm_data_path_port"]) == (25, 4790)
    assert variables["ansible_user"] == "root"
    assert {stack["name"] for stack in variables["swarm_stack_stacks"]} == {
        f"corpus_{name}" for name in swarm
    }
    # No secret, and no right for anybody else.
    text = "".join(
        path.read_text(encoding="utf-8")
        for path in adopted.place.rglob("*")
        if path.is_file() and "stacks" not in str(path.parent.name)
    )
    assert "password" not in variables
    assert "ansible_become_password" not in variables
    assert "ansible_become_password" in adopted.notes
    assert "SWMTKN" not in text
    for path in [adopted.place, *adopted.place.rglob("*")]:
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600), path


def test_services_outside_stacks_have_files_and_remarks(adopted: Adopted) -> None:
    loose = yaml.safe_load(
        (adopted.place / "services" / "loose-web.yml").read_text(encoding="utf-8")
    )
    service = loose["services"]["loose-web"]
    assert service["environment"] == {"PRICE": "$$5 or $${MORE}", "PASSWORD": CREDENTIAL}
    assert service["deploy"]["labels"] == {"of.jinja": "{{ secret }}"}
    assert loose["networks"] == {"corpus_external": {"external": True}}
    assert loose["secrets"] == {"corpus_external_secret": {"external": True}}
    notes = adopted.notes
    assert "Service loose-web is in no stack" in notes
    assert re.search(r"Service grouped is in no stack.*group_add", notes)
    assert "Service odd has the label of stack elsewhere" in notes
    assert "service corpus_shop_app runs registry.lab:5000/hello:2" in notes.replace(
        "Service", "service"
    )


@drills.soak
def test_a_folder_that_somebody_has_edited_is_refused(adopted: Adopted) -> None:
    again = adopted.adopt()
    assert (again.code, again.changed) == (0, 0)
    hosts = adopted.place / "hosts.yml"
    text = hosts.read_text(encoding="utf-8")
    hosts.write_text(text + "# mine\n", encoding="utf-8")
    refused = adopted.adopt()
    assert refused.failures == {"not_empty"}
    assert (
        "these files were added, changed or removed since an earlier adoption: hosts.yml"
        in refused.text
    )
    assert hosts.read_text(encoding="utf-8").endswith("# mine\n")
    hosts.write_text(text, encoding="utf-8")


@drills.soak
def test_a_killed_adoption_leaves_the_old_folder_or_the_new_one(adopted: Adopted) -> None:
    def kill(after: float) -> str:
        return drive.killed(
            after,
            drive.TOP / "playbooks" / "adopt.yml",
            swarm_adopt_from="m1",
            swarm_adopt_to=str(adopted.place),
        )

    for hit in drive.hits(2, 30.0, kill, earliest=5):
        assert (adopted.place / "hosts.yml").exists(), hit
        run = adopted.adopt()
        assert run.code == 0, f"{hit}: {run.text[-3000:]}"
    assert [path.name for path in adopted.place.parent.iterdir() if path.name.startswith(".")] == []


@drills.soak
def test_without_swarm_adopted_the_nodes_get_labels_and_nothing_restarts(adopted: Adopted) -> None:
    """The second step of NOTES.md."""
    before = {key: value for key, value in settled().items() if not key.startswith("nodes ")}
    hosts = adopted.place / "hosts.yml"
    hosts.write_text(
        hosts.read_text(encoding="utf-8").replace("    swarm_adopted: true\n", ""), encoding="utf-8"
    )
    some = adopted.inventory["vars"]["swarm_stack_stacks"][:4]
    # The corpus has services that no node can run.
    verdicts = ["healthy", "degraded", "failed"]
    run = drive.play(
        inventory=hosts,
        swarm_stack_stacks=some,
        swarm_health_accept=verdicts,
        swarm_health_timeout=0,
    )
    assert run.code == 0, run.text[-4000:]
    assert len(run.plan) == 5
    assert all("labels" in line for line in run.plan), run.plan
    assert {
        key: value for key, value in versions().items() if not key.startswith("nodes ")
    } == before
    again = drive.play("--check", inventory=hosts, swarm_stack_stacks=some)
    assert (again.code, again.changed, again.plan) == (0, 0, [])
