# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Edits of the inventory, and their result on the hosts and in `docker node ls`.

What the scenarios membership and guards share. A stack runs in both, and a node is seen as down after nine seconds and not
after fifteen: how long that takes by default is the business of scenario faults.
"""

from __future__ import annotations

import contextlib
import json
import re
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import yaml
from drive import INVENTORY, PREFIX, STATE, Run, play, ssh, wait_until, watched

ALL = ("m1", "m2", "m3", "w1", "w2", "w3", "w4")
BASE = {"m1": "manager", "m2": "manager", "m3": "manager", "w1": "worker", "w2": "worker"}
EVERYBODY = {**BASE, "w3": "worker", "w4": "worker"}
ZONES = {"m1": "a", "m2": "b", "m3": "c", "w1": "a", "w2": "b", "w3": "c", "w4": "a"}
SHOP = Path(__file__).resolve().parent / "membership" / "files" / "shop.yml"
# What `members` says of a node that is not ready, or whose manager status is not that of its role.
_WAITING = {"down", "unknown", "disconnected", "with"}
# What a row of a plan starts with.
ROW = re.compile(r"^[+~x-] ")


class Inventory:
    """An inventory of some of the lab's hosts; every test edits one."""

    def __init__(self, members: dict[str, str] | None = None) -> None:
        lab = yaml.safe_load((INVENTORY / "hosts.yml").read_text(encoding="utf-8"))["all"]
        self._vars = lab["vars"]
        self._known = {
            name: dict(values or {})
            for group in ("swarm_managers", "swarm_workers")
            for name, values in lab["children"][group]["hosts"].items()
        }
        self.roles = dict(members or BASE)
        self.hosts = {name: dict(self._known[name]) for name in self.roles}
        self.path = Path(tempfile.mkdtemp(dir=STATE)) / "inventory"

    def add(self, name: str, role: str) -> Inventory:
        self.roles[name] = role
        self.hosts[name] = dict(self._known[name])
        return self

    def drop(self, *names: str) -> Inventory:
        for name in names:
            del self.roles[name], self.hosts[name]
        return self

    def rename(self, old: str, new: str) -> Inventory:
        self.roles[new] = self.roles.pop(old)
        self.hosts[new] = self.hosts.pop(old)
        return self

    def set(self, name: str, **values: Any) -> Inventory:
        self.hosts[name].update(values)
        return self

    def write(self) -> Path:
        groups = {
            f"swarm_{role}s": {
                "hosts": {name: self.hosts[name] for name, its in self.roles.items() if its == role}
            }
            for role in ("manager", "worker")
        }
        document = {"all": {"vars": self._vars, "children": groups}}
        self.path.mkdir(parents=True, exist_ok=True)
        (self.path / "hosts.yml").write_text(yaml.safe_dump(document), encoding="utf-8")
        variables = self.path / "group_vars" / "all.yml"
        variables.parent.mkdir(exist_ok=True)
        lab = (INVENTORY / "group_vars").resolve() / "all" / "registry.yml"
        values = yaml.safe_load(lab.read_text(encoding="utf-8"))
        values["swarm_stack_stacks"] = [{"name": "shop", "compose": [str(SHOP)]}]
        values["swarm_remove_unlisted"] = True
        values["swarm_settings"] = {"dispatcher_heartbeat_period": "3s"}
        variables.write_text(yaml.safe_dump(values), encoding="utf-8")
        return self.path

    def run(self, *args: str, **extra: Any) -> Run:
        return play(*args, inventory=self.write(), **extra)


def rows(run: Run, title: str) -> list[str]:
    """The rows of a table, PLAN or DONE, as they are printed; other lines under it are left out."""
    found = re.search(rf"^{title}\b.*\n((?:  .*\n)*)", run.text, re.MULTILINE)
    lines = [line.strip() for line in found.group(1).splitlines()] if found else []
    # Durations differ between two runs.
    lines = [re.sub(r"down for \d+ \w+", "down for a time", line) for line in lines]
    return [re.sub(r"\s+", " ", line) for line in lines if ROW.match(line)]


def remarks(run: Run) -> str:
    return "\n".join(line for line in run.text.splitlines() if line.startswith("  ! "))


def tail(run: Run) -> str:
    """The end of what a run printed, of a failed task the message."""
    lines = []
    for line in run.text.splitlines()[-60:]:
        message = re.search(r'"msg": "(.*?[^\\])"', line) if line.startswith("fatal: ") else None
        lines.append(f"{line[:60]} ... {message[0]}" if message else line[:300])
    return "\n".join(lines)


def begin_with(roles: dict[str, str]) -> None:
    """Bring the swarm to these members, with a run only if they differ. A test usually finds them from the test before.
    Then it is `at_rest`."""
    there = members_anywhere() or {}
    on = next(name for name, role in roles.items() if role == "manager")
    for name in ALL:
        # A host that was down while its node was removed does not know it.
        if name not in there and state_of(name) != "inactive":
            leave(name)
    if there != roles or any(labels_of(name, on) != {"zone": ZONES[name]} for name in roles):
        inventory = Inventory(roles)
        for name in roles:
            inventory.set(name, swarm_availability="active")
        run = inventory.run(
            swarm_removal_limit=1,
            swarm_removal_down_after=0,
            swarm_accepted_risks=["lost_margin", "uneven_zones"],
        )
        assert run.code == 0, tail(run)
        assert ready_members(on) == roles
    at_rest(on)


def leave(name: str) -> None:
    """Run on this host alone, even if no inventory lists it."""
    subprocess.run(
        ["docker", "exec", f"{PREFIX}-{name}", "docker", "swarm", "leave", "--force"],
        capture_output=True,
        check=False,
    )


def carried_out(inventory: Inventory, **extra: Any) -> list[str]:
    """Run the edit in check mode, for real and again, and compare the three. Returns the rows of the plan."""
    promised = inventory.run("--check", **extra)
    assert promised.code == 0, tail(promised)
    done = inventory.run(**extra)
    assert done.code == 0, tail(done)
    plan = rows(promised, "PLAN")
    for title in ("PLAN", "DONE"):
        kept = rows(done, title)
        assert kept == plan, f"{title} has {kept}, promised was {plan}\n{tail(done)}"
    assert "NOT DONE" not in done.text, tail(done)
    settled(inventory, **extra)
    return plan


def settled(inventory: Inventory, **extra: Any) -> None:
    """Nothing is left to do."""
    again = inventory.run(**extra)
    assert again.code == 0, tail(again)
    assert rows(again, "PLAN") == [], tail(again)
    assert again.changed == 0, tail(again)


def refused(inventory: Inventory, *words: str, **extra: Any) -> None:
    """Refused in check mode and for real, in the same words, with nothing changed."""
    for args in (("--check",), ()):
        run = inventory.run(*args, **extra)
        assert run.code != 0, tail(run)
        assert run.changed == 0
        for word in words:
            assert word in run.refusal, f"{word!r} is not in: {run.refusal}"


def listed(on: str = "m2") -> list[dict[str, Any]]:
    """The nodes, as the docker command lists and inspects them."""
    ids = ssh(on, "docker node ls -q").split()
    found: list[dict[str, Any]] = json.loads(ssh(on, f"docker node inspect {' '.join(ids)}"))
    return found


def members(on: str = "m2") -> dict[str, str]:
    """Every node of `docker node ls` by its hostname, with its role and its problem, if it has one."""
    found = {}
    for node in listed(on):
        role = node["Spec"]["Role"]
        trouble = []
        if node["Status"]["State"] != "ready":
            trouble.append(node["Status"]["State"])
        if node["Spec"]["Availability"] != "active":
            trouble.append(node["Spec"]["Availability"])
        if (role == "manager") != (
            node.get("ManagerStatus", {}).get("Reachability") == "reachable"
        ):
            trouble.append(f"{role} with {node.get('ManagerStatus')}")
        name = node["Description"]["Hostname"]
        assert name not in found, f"two nodes are called {name}"
        found[name] = " ".join([role, *trouble])
    return found


def ready_members(on: str = "m2", but: str = "") -> dict[str, str]:
    """What `members` says once every node but this one is ready and has its role; after two minutes, what it says then.

    An agent loses its session if its manager is demoted or dies. It tries other managers with pauses of up to 8 s (swarmkit:
    agent/agent.go), and its node is down if that takes longer than three heartbeats.
    """

    def ready() -> bool:
        # Without a leader, no manager answers.
        with contextlib.suppress(AssertionError):
            found = members(on).items()
            return not any(_WAITING & {*state.split()} for name, state in found if name != but)
        return False

    with contextlib.suppress(AssertionError):
        wait_until(ready)
    return members(on)


def at_rest(on: str = "m2") -> None:
    """Wait until the six tasks of the shop run, and no node and no task has changed for longer than three heartbeats.

    A node whose agent has lost its session, see `ready_members`, seems ready for so long. Then it is down and its tasks start
    elsewhere, and a plan that says what moves is another one.
    """

    def rests() -> bool:
        # Without a leader, no manager answers.
        with contextlib.suppress(AssertionError):
            ids = "$(docker service ps -q shop_web shop_stock)"
            tasks = json.loads(ssh(on, f"docker inspect --type task {ids}"))
            states = [
                task["Status"]["State"] for task in tasks if task["DesiredState"] == "running"
            ]
            latest = max(document["UpdatedAt"] for document in (*tasks, *listed(on)))
            before = datetime.now(timezone.utc) - timedelta(seconds=10)
            return states == ["running"] * 6 and latest < f"{before:%FT%T}"
        return False

    wait_until(rests)


def members_anywhere() -> dict[str, str] | None:
    """What `members` says, from any current manager."""
    for name in ALL:
        with contextlib.suppress(AssertionError, subprocess.TimeoutExpired):
            return members(name)
    return None


def node_of(name: str, on: str = "m2") -> dict[str, Any]:
    (found,) = [node for node in listed(on) if node["Description"]["Hostname"] == name]
    return found


def labels_of(name: str, on: str = "m2") -> dict[str, str]:
    """The labels of a node, without the labels of the collection itself."""
    found = node_of(name, on)["Spec"]["Labels"]
    return {key: value for key, value in found.items() if not key.startswith("flotilla.swarm.")}


def state_of(name: str) -> str:
    """The observation of the host itself, even if no inventory lists it."""
    done = subprocess.run(
        ["docker", "exec", f"{PREFIX}-{name}", "docker", "info", "-f", "{{.Swarm.LocalNodeState}}"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.stdout.strip()


def leader(on: str = "m2") -> str:
    (found,) = [node for node in listed(on) if node.get("ManagerStatus", {}).get("Leader")]
    return str(found["Description"]["Hostname"])


@contextmanager
def promises_kept(on: str = "m2", web: int = 4, stock: int = 1) -> Iterator[None]:
    """Count the running tasks several times a second, on a manager that stays. There are never too few."""
    with watched(on) as looks:
        yield
    assert len(looks) > 20, f"only {len(looks)} looks at the services"
    for name, promised in (("shop_web", web), ("shop_stock", stock)):
        least = min(look[name].running if name in look else 0 for look in looks)
        assert least >= promised, f"{name}: {least} of {promised}"
