# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Measures speed as ratios, so that a slow machine and a quick one give the same figures.

    bench.py [NAME ...]     no_change_5_hosts no_change_15_hosts no_change_25_hosts no_change_growth cold_5_hosts
                            edit_25_hosts stack_plan_50 scale_2_30 report_large gitops_idle_tick gitops_idle_tick_50
                            failed_requests_scale (_restart, _drain,
                            _rebalance); without names, all

Prints one line for each figure, `bench: NAME ratio=R limit=L`, and fails if one is over its limit. The compared commands
run in turn, and a figure is the median of the ratios. BENCH_ROUNDS, BENCH_COLD_ROUNDS and BENCH_REQUEST_ROUNDS are the
numbers of rounds.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import failed_requests
import yaml

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "lab"))

from recorded import engine, swarm_of

TOP = Path(__file__).resolve().parent.parent
LAB = TOP / "lab" / "lab.py"
SITE = TOP / "playbooks" / "site.yml"
STACK = TOP / "lab" / "stacks" / "hello.yml"
BY_HAND = TOP / "bench" / "by_hand.sh"
BIN = Path(sys.executable).parent

PREFIX = f"{os.environ.get('LAB_PREFIX') or 'flotilla'}-bench"
ROUNDS = int(os.environ.get("BENCH_ROUNDS", "5"))
REQUEST_ROUNDS = int(os.environ.get("BENCH_REQUEST_ROUNDS", "3"))
COLD_ROUNDS = int(os.environ.get("BENCH_COLD_ROUNDS", "1"))
# The limits for a run that changes nothing, as a multiple of `ansible -m ping`, by the number of hosts. None of these labs
# has more than three managers, and each larger one grows from the smaller one.
NO_CHANGE = {5: 2.0, 15: 1.9, 25: 1.9}
CALLBACKS = {"ANSIBLE_CALLBACK_PLUGINS": str(TOP / "bench" / "callback_plugins")}
# Idle looks of GitOps: how many applications, and the limit as a multiple of the CPU time of `docker service ls`.
IDLE_TICKS = {"gitops_idle_tick": (1, 8.0), "gitops_idle_tick_50": (50, 8.0)}
# Calls of a run that changes nothing: one on every host, one more on the acting manager, and the plan, which is
# counted for the acting manager although it runs on the controller.
CALL_LIMITS = {"remote_calls_worker": 1, "remote_calls_acting_manager": 3}
# A deleted line is a host that leaves, even if every third host is deleted.
EDIT_RULES = {"swarm_remove_unlisted": True, "swarm_removal_limit": 0.5}


class BenchError(RuntimeError):
    """A run failed that should have succeeded."""


def say(text: str) -> None:
    print(text, flush=True)


class Lab:
    """A lab for the benchmark, which is removed afterwards."""

    def __init__(self, managers: int, workers: int, image: str) -> None:
        self.environment = os.environ | {
            "LAB_PREFIX": PREFIX,
            "LAB_SUBNET": "auto",
            "LAB_MANAGERS": str(managers),
            "LAB_WORKERS": str(workers),
            "LAB_IMAGE": image,
            "LAB_REGISTRY": "yes",
            "ANSIBLE_CONFIG": str(TOP / "ansible.cfg"),
            "ANSIBLE_COLLECTIONS_PATH": str(TOP / ".cache" / "collections"),
            "ANSIBLE_NOCOLOR": "1",
        }
        self.state = TOP / ".lab" / PREFIX
        self.inventory = ""

    def __enter__(self) -> Lab:
        self.run("the old lab", sys.executable, LAB, "down")
        self.up()
        return self

    def up(self, workers: int | None = None) -> None:
        """Boot the hosts. A running lab grows to this number of workers."""
        if workers is not None:
            self.environment["LAB_WORKERS"] = str(workers)
        self.run("the lab", sys.executable, LAB, "up")
        self.inventory = self.run("the inventory", sys.executable, LAB, "inventory").strip()

    def __exit__(self, *_error: object) -> None:
        self.run("the lab", sys.executable, LAB, "down")

    def run(self, what: str, *command: object, **environment: str) -> str:
        done = subprocess.run(
            [str(part) for part in command],
            cwd=TOP,
            env=self.environment | environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise BenchError(f"{what} failed:\n{done.stdout[-6000:]}")
        return done.stdout

    def timed(self, what: str, *command: object, **environment: str) -> float:
        started = time.monotonic()
        self.run(what, *command, **environment)
        return time.monotonic() - started

    def ping(self) -> float:
        return self.timed("ping", BIN / "ansible", "-i", self.inventory, "all", "-m", "ping")

    def site(self, **environment: str) -> float:
        return self.timed(
            "site.yml", BIN / "ansible-playbook", "-i", self.inventory, SITE, **environment
        )

    def modules(self, what: str, *tasks: dict[str, Any]) -> float:
        """Run tasks on the first manager, in one run, as a user would."""
        play = {"hosts": "m1", "gather_facts": False, "tasks": list(tasks)}
        with tempfile.NamedTemporaryFile("w", suffix=".yml") as playbook:
            yaml.safe_dump([play], playbook)
            playbook.flush()
            return self.timed(what, BIN / "ansible-playbook", "-i", self.inventory, playbook.name)

    def by_hand(self) -> float:
        hosts = self.hosts()
        managers = [text for name, text in hosts.items() if name.startswith("m")]
        workers = [text for name, text in hosts.items() if name.startswith("w")]
        return self.timed("by_hand.sh", BY_HAND, self.state, STACK, *managers, "--", *workers)

    def hosts(self) -> dict[str, str]:
        """Each host as by_hand.sh wants it: NAME=ADDRESS=ZONE."""
        text = self.run("the inventory", BIN / "ansible-inventory", "-i", self.inventory, "--list")
        hosts: dict[str, dict[str, Any]] = json.loads(text[text.index("{") :])["_meta"]["hostvars"]
        return {
            name: f"{name}={values['ansible_host']}={values['swarm_zone']}"
            for name, values in hosts.items()
        }

    def listed(self, where: Path, workers: Sequence[int]) -> Path:
        """The lab's inventory without the lines of its other workers."""
        lab = Path(self.inventory).resolve()
        document = yaml.safe_load((lab / "hosts.yml").read_text(encoding="utf-8"))
        group = document["all"]["children"]["swarm_workers"]
        group["hosts"] = {f"w{number}": group["hosts"][f"w{number}"] for number in workers}
        where.mkdir()
        (where / "hosts.yml").write_text(yaml.safe_dump(document), encoding="utf-8")
        (where / "group_vars").symlink_to((lab / "group_vars").resolve())
        return where

    def calls(self, workers: Sequence[int] | None = None) -> dict[str, dict[str, Any]]:
        """The calls of a run on each host. The inventory lists all managers and these workers, or all hosts."""
        with tempfile.TemporaryDirectory() as directory:
            where = Path(directory, "calls.json")
            command: list[object] = [BIN / "ansible-playbook", SITE, "-i"]
            if workers is None:
                command.append(self.inventory)
            else:
                command += [self.listed(Path(directory, "inventory"), workers)]
                command += ["-e", json.dumps(EDIT_RULES)]
            self.run(
                "site.yml",
                *command,
                COUNT_CALLS=str(where),
                ANSIBLE_CALLBACKS_ENABLED="count_calls",
                **CALLBACKS,
            )
            found: dict[str, dict[str, Any]] = json.loads(where.read_text())
            return found

    def phases(self) -> dict[str, float]:
        """The seconds that a run spends in each action, in the start of Ansible, in loading and in its end."""
        with tempfile.TemporaryDirectory() as directory:
            where = Path(directory, "phases.json")
            started = time.time()
            self.site(PHASES=str(where), ANSIBLE_CALLBACKS_ENABLED="phases", **CALLBACKS)
            marks = [("start", started), *json.loads(where.read_text()), ("", time.time())]
        spent: dict[str, float] = {}
        for (what, begin), (_next, end) in zip(marks, marks[1:]):
            spent[what] = spent.get(what, 0.0) + end - begin
        return spent


class Figures:
    def __init__(self) -> None:
        self.over: list[str] = []

    def add(self, name: str, ratio: float, limit: float) -> None:
        say(f"bench: {name} ratio={ratio:.2f} limit={limit:g}")
        if ratio > limit:
            self.over.append(name)


def seconds(times: Sequence[float]) -> str:
    return " ".join(f"{value:.1f}" for value in times)


def settle(lab: Lab) -> None:
    """Two runs: the first may change something, the second must not, and warms all connections."""
    lab.site()
    text = lab.run("site.yml", BIN / "ansible-playbook", "-i", lab.inventory, SITE)
    changed = [line for line in text.splitlines() if "changed=" in line and "changed=0" not in line]
    if changed:
        raise BenchError("a second run of site.yml changes something:\n" + "\n".join(changed))


def no_change(lab: Lab) -> tuple[list[float], list[float]]:
    """The seconds of each ping and of each run that changes nothing. The two run in turn."""
    settle(lab)
    lab.ping()
    pings, sites, rounds = [], [], []
    for _round in range(ROUNDS):
        pings.append(lab.ping())
        sites.append(lab.site())
        rounds.append(lab.phases())
    say(f"       ping {seconds(pings)} s, site.yml without a change {seconds(sites)} s")
    spent = {what: statistics.median(each.get(what, 0.0) for each in rounds) for what in rounds[0]}
    say("       where its time goes: " + ", ".join(f"{w} {t:.2f}" for w, t in spent.items()) + " s")
    return pings, sites


def no_changes(figures: Figures, sizes: Sequence[int], growth: bool) -> None:
    """One lab that grows from one number of hosts to the next."""
    found: dict[int, tuple[list[float], list[float]]] = {}
    with Lab(3, sizes[0] - 3, "engine") as lab:
        for size in sizes:
            lab.up(size - 3)
            pings, sites = found[size] = no_change(lab)
            ratios = [s / p for s, p in zip(sites, pings)]
            figures.add(f"no_change_{size}_hosts", statistics.median(ratios), NO_CHANGE[size])
            if size == 5:
                count_calls(figures, lab)
    if growth:
        figures.add("no_change_growth", growth_of(found), 1)


def growth_of(found: Mapping[int, tuple[Sequence[float], Sequence[float]]]) -> float:
    """How much more a run takes with 25 hosts than with 5, over how much more a ping does."""
    (pings, sites), (many_pings, many_sites) = found[5], found[25]
    middle = statistics.median
    return (middle(many_sites) / middle(sites)) / (middle(many_pings) / middle(pings))


def count_calls(figures: Figures, lab: Lab) -> None:
    found = lab.calls()
    for host in sorted(found["calls"]):
        say(
            f"       {host}: {found['calls'][host]} remote calls: {', '.join(found['tasks'][host])}"
        )
    for name, letter in (("remote_calls_worker", "w"), ("remote_calls_acting_manager", "m")):
        most = max(count for host, count in found["calls"].items() if host.startswith(letter))
        figures.add(name, most, CALL_LIMITS[name])


def edit(figures: Figures) -> None:
    """The calls of the acting manager in an edit of 25 hosts, divided by those in an edit of 5. Nodes must cost it nothing."""
    most = []
    with Lab(3, 22, "engine") as lab:
        for what, before, after in (
            ("5 hosts: 2 join, 1 leaves", [1, 2], [1, 3, 4]),
            ("25 hosts: 10 join, 5 leave", range(1, 13), [*range(1, 8), *range(13, 23)]),
        ):
            lab.calls(before)
            calls = lab.calls(after)["calls"]
            most.append(max(calls.values()))
            nodes = lab.run(
                "the nodes", "docker", "exec", f"{PREFIX}-m1", "docker", "node", "ls", "-q"
            )
            if len(nodes.split()) != 3 + len(after):
                raise BenchError(f"{what}: these nodes are left, not {3 + len(after)}:\n{nodes}")
            say(
                f"       {what}: {most[-1]} remote calls on the manager that acts, {calls['w1']} on a worker"
            )
    figures.add("edit_25_hosts", most[1] / most[0], 1)


def cold(figures: Figures, limit: float) -> None:
    ours: list[float] = []
    theirs: list[float] = []
    for round_number in range(COLD_ROUNDS):
        # Who goes first changes: mirrors and disks are kinder to the second.
        for which in ("ours", "theirs") if round_number % 2 == 0 else ("theirs", "ours"):
            with Lab(3, 2, "bare") as lab:
                (ours if which == "ours" else theirs).append(
                    lab.site() if which == "ours" else lab.by_hand()
                )
    say(f"       site.yml {seconds(ours)} s, by hand {seconds(theirs)} s")
    figures.add("cold_5_hosts", statistics.median(a / b for a, b in zip(ours, theirs)), limit)


def stack_plan(figures: Figures, services: int, limit: float) -> None:
    """Planning a stack in its desired state, compared with its `docker stack deploy`. Each is one task of Ansible on a manager.

    Both ask the registry for each image, as the CLI does unless told otherwise. By its own default the module does not,
    which takes less time, but would be compared with something else. The services have no tasks, so that nothing else
    keeps the machine busy.
    """
    one = {"image": "registry.lab:5000/hello:1", "networks": ["n"], "deploy": {"replicas": 0}}
    stack = {
        "version": "3.8",
        "services": {
            f"s{number}": {**one, "environment": {"NUMBER": str(number)}}
            for number in range(services)
        },
        "networks": {"n": {}},
    }
    with tempfile.TemporaryDirectory() as directory, Lab(1, 1, "engine") as lab:
        lab.site()
        path = Path(directory, "stack.json")
        path.write_text(json.dumps(stack), encoding="utf-8")
        lab.run("the copy", "docker", "cp", path, f"{PREFIX}-m1:/root/stack.json")
        task: tuple[object, ...] = (BIN / "ansible", "-i", lab.inventory, "m1", "-m")
        deploy = (
            *(*task, "ansible.builtin.command", "-a"),
            "docker stack deploy -c /root/stack.json bench",
        )
        plan = (
            *(*task, "flotilla.swarm.swarm_stack", "--check", "-a"),
            "name=bench compose=/root/stack.json resolve_image=always",
        )
        lab.run("the first deploy", *deploy)
        text = lab.run("the first plan", *plan)
        if text.count("action: none") != services + 1:
            raise BenchError(
                f"the plan of what has just been deployed is not empty:\n{text[-3000:]}"
            )
        plans, deploys = [], []
        for _round in range(ROUNDS):
            deploys.append(lab.timed("the deploy", *deploy))
            plans.append(lab.timed("the plan", *plan))
    say(f"       docker stack deploy {seconds(deploys)} s, its plan {seconds(plans)} s")
    name = f"stack_plan_{services}"
    figures.add(name, statistics.median(p / d for p, d in zip(plans, deploys)), limit)


# A git server on the manager itself, with so many applications that have no tasks.
_GIT_SERVER = """
set -e
command -v git > /dev/null || { apt-get -qq update && apt-get -qq install -y git > /dev/null; }
id git > /dev/null 2>&1 || useradd --create-home --shell "$(command -v git-shell)" git
test -e /root/key || ssh-keygen -q -t ed25519 -N '' -f /root/key
install -d -o git ~git/.ssh && install -o git /root/key.pub ~git/.ssh/authorized_keys
rm -rf /srv/deploy.git /root/tree && git init -q --bare -b main /srv/deploy.git
git init -q -b main /root/tree && cd /root/tree
for number in $(seq $1); do
    mkdir -p app$number && touch app$number/app.yml
    printf 'version: "3.8"\\nservices: {web: {image: "registry.lab:5000/hello:1", deploy: {replicas: 0}}}\\n' > app$number/compose.yml
done
git add -A && git -c user.name=b -c user.email=b@bench commit -q -m Begin
git push -q /srv/deploy.git HEAD:main && chown -R git: /srv/deploy.git
"""
# The CPU time of a program with all that it starts, in turn with that of another one.
_CPU = """
import json, resource, subprocess, sys
def cpu(words):
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(words, check=True, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
tick = ["/usr/bin/python3", "-I", "/usr/local/lib/flotilla.swarm/gitops.pyz"]
print(json.dumps([(cpu(tick), cpu(["docker", "service", "ls"])) for _round in range(int(sys.argv[1]))]))
"""


def idle_tick(figures: Figures, apps: int, name: str, limit: float) -> None:
    """A look of GitOps that finds nothing to do, compared with `docker service ls`: CPU time, with that of git and ssh."""
    with Lab(1, 1, "engine") as lab:
        lab.site()
        shell = ("docker", "exec", f"{PREFIX}-m1")
        lab.run("the git server", *shell, "bash", "-c", _GIT_SERVER, "git", apps)
        key = lab.run("the key", *shell, "cat", "/root/key")
        host = lab.run("the key of the host", *shell, "cat", "/etc/ssh/ssh_host_ed25519_key.pub")
        repository = {
            "name": "deploy",
            "url": "ssh://git@127.0.0.1/srv/deploy.git",
            "deploy_key": key,
            "known_hosts": f"127.0.0.1 {' '.join(host.split()[:2])}",
        }
        extra = json.dumps({"swarm_gitops_repositories": [repository], "swarm_gitops_interval": 2})
        play = TOP / "playbooks" / "gitops.yml"
        lab.run("gitops.yml", BIN / "ansible-playbook", "-i", lab.inventory, play, "-e", extra)
        idle = "test -e /var/lib/flotilla.swarm/gitops/idle.json"
        wait = f"for i in $(seq {60 + 40 * apps}); do {idle} && exit 0; sleep 1; done; exit 1"
        lab.run("the first deploy of all applications", *shell, "bash", "-c", wait)
        lab.run("the timer", *shell, "systemctl", "stop", "flotilla-swarm-gitops.timer")
        text = lab.run("the looks", *shell, "python3", "-c", _CPU, ROUNDS)
        found = json.loads(text.splitlines()[-1])
    ticks, lists = zip(*found)
    say(
        f"       {apps} applications: {seconds(ticks)} s of CPU, docker service ls {seconds(lists)} s"
    )
    figures.add(name, statistics.median(tick / one for tick, one in found), limit)


def scale(figures: Figures, limit: float) -> None:
    """A service from 2 to 30 tasks and back, by us and by Docker's own command, each in one batch."""
    ours: list[float] = []
    theirs: list[float] = []
    with Lab(3, 2, "engine") as lab:
        lab.site()
        on_manager = ("docker", "exec", f"{PREFIX}-m1")
        image = "registry.lab:5000/hello:1"
        lab.run(
            "the service",
            *(*on_manager, "docker", "service", "create", "--quiet", "--name", "bench"),
            *("--replicas", "2", "--stop-grace-period", "1s", image),
        )

        def by_us() -> float:
            tasks = [{"flotilla.swarm.swarm_scale": {"services": {"bench": n}}} for n in (30, 2)]
            return lab.modules("swarm_scale", *tasks)

        def by_docker() -> float:
            script = "docker service scale bench=30 && docker service scale bench=2"
            return lab.timed("docker service scale", *on_manager, "sh", "-c", script)

        by_docker()
        for round_number in range(ROUNDS):
            turns = [(ours, by_us), (theirs, by_docker)]
            for times, go in turns if round_number % 2 == 0 else reversed(turns):
                # What stops must not be in the way of what is measured next.
                time.sleep(10)
                times.append(go())
    say(f"       swarm_scale {seconds(ours)} s, docker service scale {seconds(theirs)} s")
    figures.add("scale_2_30", statistics.median(a / b for a, b in zip(ours, theirs)), limit)


def report(figures: Figures, limit: float) -> None:
    """The verdict on a large swarm with its page, compared with the verdict alone. Both ask a recorded engine on this machine."""
    with tempfile.TemporaryDirectory() as directory, engine(swarm_of(300, 3000, 20000)) as host:
        environment = os.environ | {
            "ANSIBLE_CONFIG": str(TOP / "ansible.cfg"),
            "ANSIBLE_COLLECTIONS_PATH": str(TOP / ".cache" / "collections"),
        }
        page = Path(directory, "swarm.html")

        def timed(**more: Any) -> float:
            task = {"docker_host": host, "format": "none", **more}
            play = {
                "hosts": "localhost",
                "connection": "local",
                "gather_facts": False,
                "vars": {"ansible_python_interpreter": sys.executable},
                "tasks": [{"flotilla.swarm.swarm_health": task}],
            }
            playbook = Path(directory, "play.yml")
            playbook.write_text(yaml.safe_dump([play]), encoding="utf-8")
            command = [str(BIN / "ansible-playbook"), "-i", "localhost,", str(playbook)]
            started = time.monotonic()
            done = subprocess.run(
                command, env=environment, capture_output=True, text=True, check=False
            )
            if done.returncode != 0:
                raise BenchError(f"the verdict failed:\n{done.stdout[-3000:]}")
            return time.monotonic() - started

        verdicts, pages = [], []
        for _round in range(ROUNDS):
            verdicts.append(timed())
            pages.append(timed(page={"path": str(page)}))
        size = page.stat().st_size / 1e6
    say(
        f"       the verdict {seconds(verdicts)} s, with a page of {size:.1f} MB {seconds(pages)} s"
    )
    figures.add("report_large", statistics.median(p / v for p, v in zip(pages, verdicts)), limit)


def requests(figures: Figures, names: Sequence[str]) -> None:
    """The failed requests during a step of our modules, compared with those of Docker's own commands for the same step."""
    with Lab(1, 4, "engine") as lab:
        lab.site()
        swarm = failed_requests.Swarm(lab, PREFIX)
        with swarm.services():
            for name in names:
                ours, theirs = failed_requests.measure(swarm, name, REQUEST_ROUNDS)
                for who, count in (("ours", ours), ("theirs", theirs)):
                    say(
                        f"       {name}, {who}: {count.inside} failed in the network, {count.at_ports} at ports;"
                        f" {count.answered} were answered"
                    )
                # Where none fail at all, both are as good.
                ratio = ours.failed / (theirs.failed or 1) if ours.failed or theirs.failed else 1
                figures.add(f"failed_requests_{name}", ratio, 1)


def main(names: Sequence[str]) -> int:
    known = (
        *(f"no_change_{size}_hosts" for size in NO_CHANGE),
        *("no_change_growth", "cold_5_hosts", "edit_25_hosts"),
        *("stack_plan_50", "scale_2_30", "report_large", *IDLE_TICKS),
        *(f"failed_requests_{step}" for step in failed_requests.STEPS),
    )
    unknown = [name for name in names if name not in known]
    if unknown:
        say(f"bench: there is no figure {', '.join(unknown)}; there are {', '.join(known)}")
        return 2
    wanted = names or known
    figures = Figures()
    try:
        growth = "no_change_growth" in wanted
        sizes = [
            size
            for size in NO_CHANGE
            if f"no_change_{size}_hosts" in wanted or (growth and size in (5, 25))
        ]
        if sizes:
            no_changes(figures, sizes, growth)
        if "cold_5_hosts" in wanted:
            cold(figures, 1.5)
        if "edit_25_hosts" in wanted:
            edit(figures)
        if "stack_plan_50" in wanted:
            stack_plan(figures, 50, 1.3)
        if "scale_2_30" in wanted:
            scale(figures, 1.15)
        if "report_large" in wanted:
            report(figures, 1.5)
        for name, (apps, limit) in IDLE_TICKS.items():
            if name in wanted:
                idle_tick(figures, apps, name, limit)
        steps = [step for step in failed_requests.STEPS if f"failed_requests_{step}" in wanted]
        if steps:
            requests(figures, steps)
    # A BenchError, or what failed_requests says of services that do not come up.
    except RuntimeError as error:
        say(f"bench: {error}")
        return 1
    if figures.over:
        say(f"bench: over the limit: {', '.join(figures.over)}")
    return 1 if figures.over else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
