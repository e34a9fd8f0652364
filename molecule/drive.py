# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Drives playbooks and modules on the lab as a user does, for the tests of the scenarios."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

TOP = Path(__file__).resolve().parents[1]
STATE = Path(os.environ["LAB_STATE"])
PREFIX = os.environ["LAB_PREFIX"]
INVENTORY = STATE / "inventory"
SITE = TOP / "playbooks" / "site.yml"
HEALTH = TOP / "playbooks" / "check_health.yml"
MANAGERS = ("m1", "m2", "m3")
WORKERS = ("w1", "w2")
HOSTS = MANAGERS + WORKERS
ZONES = {"m1": "a", "m2": "b", "m3": "c", "w1": "a", "w2": "b"}

ENVIRONMENT = {
    **os.environ,
    "ANSIBLE_CONFIG": str(TOP / "ansible.cfg"),
    "ANSIBLE_COLLECTIONS_PATH": str(TOP / ".cache" / "collections"),
    "ANSIBLE_FORCE_COLOR": "0",
    "ANSIBLE_NOCOLOR": "1",
    "ANSIBLE_CALLBACK_RESULT_FORMAT": "json",
    "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
}


@dataclass
class Run:
    """What a run of ansible-playbook said."""

    code: int
    text: str

    @property
    def plan(self) -> list[str]:
        """The lines of the plan, in order, without the line that counts what stays."""
        found = re.search(r"^PLAN .*\n((?:  .*\n)*)", self.text, re.MULTILINE)
        assert found, self.text[-3000:]
        return [line.strip() for line in found.group(1).splitlines() if " = " not in line[:5]]

    @property
    def recap(self) -> dict[str, dict[str, int]]:
        rows = re.findall(r"^(\S+)\s+: (ok=.*)$", self.text, re.MULTILINE)
        return {
            host: {key: int(value) for key, value in (item.split("=") for item in counts.split())}
            for host, counts in rows
        }

    @property
    def changed(self) -> int:
        return sum(counts["changed"] for counts in self.recap.values())

    @property
    def verdict(self) -> str:
        return re.findall(r"^VERDICT  (\S+)", self.text, re.MULTILINE)[-1]


def command(playbook: Path, *args: str, inventory: Path = INVENTORY, **extra: Any) -> list[str]:
    words = ["ansible-playbook", "-i", str(inventory), str(playbook), *args]
    return [*words, "-e", json.dumps(extra)] if extra else words


def play(*args: str, playbook: Path = SITE, inventory: Path = INVENTORY, **extra: Any) -> Run:
    """One run to its end; no traceback is ever shown to a user."""
    done = subprocess.run(
        command(playbook, *args, inventory=inventory, **extra),
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=900,
        check=False,
    )
    assert "Traceback (most recent call last)" not in done.stdout, done.stdout[-4000:]
    return Run(done.returncode, done.stdout)


def site(*args: str, **extra: Any) -> Run:
    """A run of site.yml that must succeed."""
    run = play(*args, **extra)
    assert run.code == 0, run.text[-6000:]
    return run


def killed(after: float, **extra: Any) -> str:
    """A run of site.yml that gets kill -9, with all its processes; in which task, or nothing if it had ended well."""
    # A file and no pipe: connections to the hosts outlive the run, and would hold that open.
    with tempfile.TemporaryFile("w+", encoding="utf-8") as output:
        process = subprocess.Popen(
            command(SITE, **extra),
            env=ENVIRONMENT,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            process.wait(after)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        output.seek(0)
        text = output.read()
    if process.returncode == -signal.SIGKILL:
        return ["start", *re.findall(r"^TASK \[(?:.* : )?(.*)\] \*", text, re.MULTILINE)][-1]
    assert process.returncode == 0, text[-6000:]
    return ""


def module(host: str, which: str, *flags: str, **args: Any) -> dict[str, Any]:
    """One call of one of our modules on one host; its result."""
    done = subprocess.run(
        ["ansible", host, "-i", str(INVENTORY), "-m", f"flotilla.swarm.{which}", *flags]
        + (["-a", json.dumps(args)] if args else []),
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=300,
        check=False,
    )
    found = re.search(rf"^{host} \| [A-Z!]+.*?=> (.*)\Z", done.stdout, re.MULTILINE | re.DOTALL)
    assert found, done.stdout
    result, _end = json.JSONDecoder().raw_decode(found.group(1))
    return dict(result)


def ssh(host: str, script: str, check: bool = True) -> str:
    """A shell command on a host, by the inventory's own way there."""
    inventory = yaml.safe_load((INVENTORY / "hosts.yml").read_text(encoding="utf-8"))
    address = next(
        group["hosts"][host]["ansible_host"]
        for group in inventory["all"]["children"].values()
        if host in group["hosts"]
    )
    done = subprocess.run(
        [
            "ssh",
            "-i",
            str(STATE / "ssh_key"),
            "-o",
            "StrictHostKeyChecking=no",
            "-o",
            "UserKnownHostsFile=/dev/null",
            "-o",
            "LogLevel=ERROR",
            f"root@{address}",
            script,
        ],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert not check or done.returncode == 0, f"{host}: {script}: {done.stdout}{done.stderr}"
    return done.stdout


def nodes(host: str = "m1") -> dict[str, dict[str, Any]]:
    """The nodes by host name, as the docker command on a host lists them; a ghost gives way to its successor."""
    ids = ssh(host, "docker node ls -q").split()
    found = json.loads(ssh(host, f"docker node inspect {' '.join(ids)}"))
    found.sort(key=lambda node: node["Status"]["State"] == "ready")
    return {
        node["Description"]["Hostname"]: node for node in found if node["Status"]["State"] != "down"
    }


def leader_on(host: str) -> str:
    """Who leads, as a manager sees it."""
    names = ssh(host, "docker node ls --format '{{.Hostname}} {{.ManagerStatus}}'").splitlines()
    return next(line.split()[0] for line in names if line.endswith("Leader"))


def cluster_ids() -> set[str]:
    """The swarms that the lab's managers are in: one, if all is well."""
    found = {
        ssh(
            host, "docker info --format '{{if .Swarm.Cluster}}{{.Swarm.Cluster.ID}}{{end}}'"
        ).strip()
        for host in MANAGERS
    }
    return found - {""}


def leave_all() -> None:
    """Every host out of its swarm, as fresh hosts are; an engine that a failed test has stopped is started."""
    for host in reversed(HOSTS):
        ssh(host, "systemctl start docker; docker swarm leave --force 2>/dev/null || true")


def is_whole() -> bool:
    """Whether `assert_whole` would pass."""
    try:
        assert_whole()
    except AssertionError:
        return False
    return True


def assert_whole(labels: bool = True) -> None:
    """The lab is one swarm of five ready nodes, three of them reachable managers."""
    # Also nodes that are down: what a host has left behind goes when it joins anew.
    listed = ssh("m1", "docker node ls --format '{{.Hostname}}'").split()
    assert sorted(listed) == sorted(HOSTS)
    found = nodes()
    for name, node in found.items():
        assert node["Status"]["State"] == "ready", name
        assert node["Spec"]["Role"] == ("manager" if name in MANAGERS else "worker")
        if name in MANAGERS:
            assert node["ManagerStatus"]["Reachability"] == "reachable", name
        if labels:
            assert node["Spec"]["Labels"].get("zone") in ("a", "b", "c"), name
    assert len(cluster_ids()) == 1


def lab(*words: str) -> None:
    """A command of lab/lab.py, for this scenario's lab."""
    subprocess.run(
        [sys.executable, str(TOP / "lab" / "lab.py"), *words],
        env=ENVIRONMENT,
        check=True,
        timeout=300,
    )


def reimage(*hosts: str) -> None:
    """The hosts gone with their disks, and fresh ones in their places."""
    subprocess.run(
        ["docker", "rm", "--force", "--volumes", *(f"{PREFIX}-{host}" for host in hosts)],
        check=True,
        capture_output=True,
    )
    lab("up")


@contextmanager
def stopped(host: str) -> Iterator[None]:
    """The host without an answer on any port while the block runs."""
    subprocess.run(["docker", "pause", f"{PREFIX}-{host}"], check=True, capture_output=True)
    try:
        yield
    finally:
        subprocess.run(["docker", "unpause", f"{PREFIX}-{host}"], check=True, capture_output=True)


@contextmanager
def changed_inventory(edit: Any, place: Path) -> Iterator[Path]:
    """A copy of the lab's inventory with an edit in it."""
    hosts = yaml.safe_load((INVENTORY / "hosts.yml").read_text(encoding="utf-8"))
    edit(hosts["all"]["children"])
    place.mkdir(parents=True, exist_ok=True)
    (place / "hosts.yml").write_text(yaml.safe_dump(hosts), encoding="utf-8")
    groups = place / "group_vars"
    if not groups.exists():
        groups.symlink_to((INVENTORY / "group_vars").resolve())
    yield place
