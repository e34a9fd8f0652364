# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Drives playbooks and modules on the lab as a user does, for the tests of the scenarios."""

from __future__ import annotations

import inspect
import itertools
import json
import os
import random
import re
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import pytest
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
# What a command of Ansible begins with, where the controller keeps compiled code too.
_COMPILED = os.environ.get("LAB_COMPILED") == "yes"
KEEPING = [sys.executable, str(TOP / "lab" / "controller.py")] if _COMPILED else []
# Seconds. For tests that take engines or containers away one after the other: the verdict after one of them must not count
# the tasks that failed before it.
LATELY = {"restart_window": 20}

# All random choices of a scenario come from this number. SEED=number repeats a run.
SEED = int(os.environ.get("SEED") or random.SystemRandom().randrange(2**32))

SOAK = bool(os.environ.get("FLOTILLA_SOAK"))
# Series and drills that take too long for `make test`.
soak = pytest.mark.skipif(not SOAK, reason="a drill of `make soak`")

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
    def refusal(self) -> str:
        """Our own message of a refused run."""
        found = re.search(r'"msg": ("Nothing was changed: (?:[^"\\]|\\.)*")', self.text)
        assert found, self.text[-3000:]
        return str(json.loads(found.group(1)))

    @property
    def failures(self) -> set[str]:
        """The failure codes of the failed tasks. A failure without a code is `without code`."""
        lines = re.findall(r"^fatal: \[.*\]: FAILED! => (\{.*)", self.text, re.MULTILINE)
        codes = [re.search(r'"failure": \{\s*"code": "(\w+)"', line) for line in lines]
        return {code.group(1) if code else "without code" for code in codes}

    @property
    def verdict(self) -> str:
        return re.findall(r"^VERDICT  (\S+)", self.text, re.MULTILINE)[-1]


def command(playbook: Path, *args: str, inventory: Path = INVENTORY, **extra: Any) -> list[str]:
    words = [*KEEPING, "ansible-playbook", "-i", str(inventory), str(playbook), *args]
    return [*words, "-e", json.dumps(extra)] if extra else words


def play(*args: str, playbook: Path = SITE, inventory: Path = INVENTORY, **extra: Any) -> Run:
    """A complete run. No output has a traceback."""
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


def killed(after: float, playbook: Path = SITE, **extra: Any) -> str:
    """Kill a run and all its processes with kill -9. Returns its task, or nothing if the run had succeeded before."""
    # A file and not a pipe, because the connections to the hosts outlive the run and would keep a pipe open.
    with tempfile.TemporaryFile("w+", encoding="utf-8") as output:
        process = subprocess.Popen(
            command(playbook, **extra),
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


def hits(
    kills: int, latest: float, kill: Callable[[float], str], earliest: float = 0.5
) -> Iterator[str]:
    """Kill runs at random moments, so often that this many kills hit a run. Yields the seconds and the task of each kill.

    `kill` starts a run, kills it after so many seconds, and gives nothing if the run had ended before. Then the next moment
    is an earlier one. What has been hit is the caller's to finish before it asks for the next.
    """
    assert kills > 0, "no kill is asked for: nothing would be proven"
    chance = random.Random(SEED)
    for number in range(kills):
        for _attempt in range(5):
            moment = chance.uniform(earliest, latest)
            if task := kill(moment):
                break
            latest = max(earliest, moment * 0.8)
        else:
            raise AssertionError(
                f"kill {number + 1} hit nothing: five runs had ended, the last one within"
                f" {moment:.1f} s (SEED={SEED})"
            )
        yield f"{moment:.1f} s ({task})"


def module(host: str, which: str, *flags: str, **args: Any) -> dict[str, Any]:
    """One call of one of our modules on one host; its result."""
    done = subprocess.run(
        [*KEEPING, "ansible", host, "-i", str(INVENTORY), "-m", f"flotilla.swarm.{which}", *flags]
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


def _inventory() -> dict[str, Any]:
    return dict(yaml.safe_load((INVENTORY / "hosts.yml").read_text(encoding="utf-8"))["all"])


def addresses() -> dict[str, str]:
    """The addresses of all hosts of the inventory by name."""
    return {
        name: host["ansible_host"]
        for group in _inventory()["children"].values()
        for name, host in group["hosts"].items()
    }


def way_to(host: str) -> list[str]:
    """The ssh command of the inventory for a host, with the connection that Ansible shares too."""
    inventory = _inventory()
    options = shlex.split(inventory["vars"]["ansible_ssh_common_args"])
    return [
        "-i",
        str(STATE / "ssh_key"),
        "-o",
        "ConnectTimeout=10",
        *options,
        f"root@{addresses()[host]}",
    ]


def ssh(host: str, script: str, check: bool = True) -> str:
    """A shell command on a host."""
    done = subprocess.run(
        ["ssh", *way_to(host), script],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert not check or done.returncode == 0, f"{host}: {script}: {done.stdout}{done.stderr}"
    return done.stdout


def wait_until(probe: Callable[[], Any], seconds: float = 120, longest: float = 2.0) -> Any:
    """Wait until the probe returns something. `longest` is the largest pause between two probes in seconds."""
    deadline = time.monotonic() + seconds
    pause = 0.3
    while not (seen := probe()):
        assert time.monotonic() < deadline, f"waited in vain: {inspect.getsource(probe).strip()}"
        time.sleep(pause)
        # Each probe is an ssh and a docker command, so a probe that takes long runs less often.
        pause = min(longest, pause * 1.3)
    return seen


# The API of the engine, because one docker command costs as much as thirty requests.
_WATCH = """
import http.client, json, socket, time

class Engine(http.client.HTTPConnection):
    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(5)
        self.sock.connect("/run/docker.sock")

def get(path):
    engine = Engine("engine")
    engine.request("GET", path)
    answer = engine.getresponse()
    return json.loads(answer.read()) if answer.status == 200 else None

while True:
    try:
        services, tasks, later = get("/services"), get("/tasks"), get("/services")
    except OSError:
        services = None
    # Not a moment at which somebody changed what is asked for between one answer and the next.
    if services is not None and tasks is not None and services == later:
        seen = {}
        for service in services:
            replicas = service["Spec"]["Mode"].get("Replicated", {}).get("Replicas", 0)
            running = [t for t in tasks if t["ServiceID"] == service["ID"] and t["Status"]["State"] == "running"]
            staying = [t for t in running if t["DesiredState"] == "running"]
            seen[service["Spec"]["Name"]] = [replicas, len(running), len(staying)]
        print(json.dumps(seen), flush=True)
    time.sleep(0.15)
"""
_watches = itertools.count(1)


class Look(NamedTuple):
    """The tasks of a service at one moment, as a manager lists them."""

    replicas: int  # asked for; 0 where the mode has no number
    running: int
    staying: int  # of those that run, the ones that are not told to stop


@contextmanager
def watched(on: str) -> Iterator[list[dict[str, Look]]]:
    """Record all services by name several times a second, on a manager. The list is complete when the block ends."""
    looks: list[dict[str, Look]] = []
    mark = f"watch-{os.getpid()}-{next(_watches)}"
    with tempfile.TemporaryFile("w+", encoding="utf-8") as output:
        watcher = subprocess.Popen(
            ["docker", "exec", "-i", f"{PREFIX}-{on}", "python3", "-u", "-", mark],
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert watcher.stdin is not None
        watcher.stdin.write(_WATCH)
        watcher.stdin.close()
        try:
            yield looks
        finally:
            subprocess.run(
                ["docker", "exec", f"{PREFIX}-{on}", "pkill", "-f", f" {mark}$"], check=False
            )
            watcher.wait(20)
        output.seek(0)
        for line in output.read().splitlines():
            if line.endswith("}"):
                looks.append({name: Look(*seen) for name, seen in json.loads(line).items()})


def hang_up(*hosts: str) -> None:
    """Close the shared connections to hosts that go away, because a command on such a connection would hang."""
    for host in hosts:
        subprocess.run(
            ["ssh", "-O", "exit", *way_to(host)], capture_output=True, check=False, timeout=30
        )


def on_each(hosts: Iterable[str], work: Callable[[str], Any]) -> dict[str, Any]:
    """Run the work on all hosts in parallel. Returns its result for each host."""
    names = list(hosts)
    with ThreadPoolExecutor(len(names)) as at_once:
        return dict(zip(names, at_once.map(work, names)))


def nodes(host: str = "m1") -> dict[str, dict[str, Any]]:
    """The nodes by hostname, as the docker command on a host lists them. Of two nodes with the same name, the newer one."""
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
    ask = "docker info --format '{{if .Swarm.Cluster}}{{.Swarm.Cluster.ID}}{{end}}'"
    answers = on_each(MANAGERS, lambda host: ssh(host, ask).strip())
    return set(answers.values()) - {""}


def leave_all() -> None:
    """Make every host leave its swarm, and start the engines that a failed test has stopped."""
    leave = "docker swarm leave --force 2>/dev/null"
    left = "docker info --format '{{.Swarm.LocalNodeState}}' | grep -qx inactive"
    # An engine whose managers leave at the same moment can fail to leave until it is restarted (seen with 20.10).
    leave = (
        f"systemctl start docker; {leave}; {left} || {{ systemctl restart docker; {leave}; }}; true"
    )
    on_each(HOSTS, lambda host: ssh(host, leave))


def is_whole() -> bool:
    """Whether `assert_whole` would pass."""
    try:
        assert_whole()
    except AssertionError:
        return False
    return True


def assert_whole(labels: bool = True) -> None:
    """The lab is one swarm of five ready nodes, three of them reachable managers."""
    # This includes nodes that are down. The old node of a host is removed when the host joins again.
    listed = ssh("m1", "docker node ls --format '{{.Hostname}}'").split()
    assert sorted(listed) == sorted(HOSTS)
    found = nodes()
    # Those that are down are not among them, such as a manager that is locked.
    assert sorted(found) == sorted(HOSTS)
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
    """Replace the hosts and their disks with fresh ones."""
    hang_up(*hosts)
    subprocess.run(
        ["docker", "rm", "--force", "--volumes", *(f"{PREFIX}-{host}" for host in hosts)],
        check=True,
        capture_output=True,
    )
    lab("up")


def _docker(*words: str) -> bool:
    done = subprocess.run(["docker", *words], capture_output=True, text=True, check=False)
    if done.returncode:
        print(f"docker {' '.join(words)}: {done.stderr.strip()}")
    return done.returncode == 0


@contextmanager
def stopped(host: str) -> Iterator[None]:
    """Freeze the host while the block runs, so that it answers on no port."""
    hang_up(host)
    # The kernel's freezer can fail while processes start and end.
    wait_until(lambda: _docker("pause", f"{PREFIX}-{host}"), 30)
    try:
        yield
    finally:
        subprocess.run(["docker", "unpause", f"{PREFIX}-{host}"], check=True, capture_output=True)


# Where an engine answers what it knows of the network, and forgets what it is told to (moby: libnetwork/diagnostic).
DIAGNOSTIC = "http://127.0.0.1:2000"


@contextmanager
def diagnosed(host: str) -> Iterator[None]:
    """Give the engine of a host its diagnostic server. It restarts before, because the server of an engine that has left a swarm and joined
    another one still has what it knew in the first."""
    script = (
        "import json; path = '/etc/docker/daemon.json'; config = json.load(open(path));"
        " config['network-diagnostic-port'] = 2000; json.dump(config, open(path, 'w'))"
    )
    before = ssh(host, "cat /etc/docker/daemon.json")
    ssh(host, "systemctl restart docker")
    wait_until(lambda: nodes().get(host, {}).get("Status", {}).get("State") == "ready")
    # An engine that starts with the port does not open it.
    ssh(host, f'python3 -c "{script}" && systemctl reload docker')
    wait_until(lambda: ssh(host, f"curl -s {DIAGNOSTIC}/ready", check=False), 30)
    try:
        yield
    finally:
        ssh(host, f"cat > /etc/docker/daemon.json <<'END'\n{before}\nEND\nsystemctl reload docker")


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
