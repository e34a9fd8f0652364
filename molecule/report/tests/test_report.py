# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The page of the swarm, made by the playbooks and looked at by a browser.

The tests are in order: each makes pages of the lab as it is then, or of recorded engines, and the last ones open all of them.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import yaml

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
sys.path.insert(0, str(Path(__file__).resolve().parents[3] / "lab"))

from drive import (
    ENVIRONMENT,
    HEALTH,
    PREFIX,
    SOAK,
    TOP,
    changed_inventory,
    play,
    site,
    soak,
    ssh,
    wait_until,
)
from recorded import Answers, engine, swarm_of

REPORT = TOP / "playbooks" / "report.yml"
HERE = TOP / "molecule" / "report"
# Pages and their pictures stay, for people.
PAGES = TOP / ".cache" / "report"
CREDENTIALS = ("on-no-page", "access-token", "owner.password", "DB_PASSWORD")
# Where apt finds the next engine.
NEXT_SUITE = r"""
set -e
grep '^deb' /etc/apt/sources.list | head -n 1 | sed 's/bookworm/trixie/' > /etc/apt/sources.list.d/trixie.list
printf 'Package: *\nPin: release n=trixie\nPin-Priority: 100\n' > /etc/apt/preferences.d/trixie
"""
# Fewer hosts than the page has room for are no reason to wait.
QUICK: dict[str, Any] = {"swarm_observe_timeout": 5}


@pytest.fixture(scope="module", autouse=True)
def pages() -> Path:
    PAGES.mkdir(parents=True, exist_ok=True)
    for path in PAGES.glob("*.*"):
        path.unlink()
    return PAGES


def report(name: str, languages: tuple[str, ...] = ("en", "ko")) -> Path:
    """The pages by report.yml; the English one. All pages of the lab share one history.

    The page in the next language is of the same observation of the hosts, which the run keeps.
    """
    pages = {language: PAGES / f"{name}_{language}.html" for language in languages}
    (by_report,) = yaml.safe_load(REPORT.read_text(encoding="utf-8"))
    (check,) = yaml.safe_load(HEALTH.read_text(encoding="utf-8"))
    document: list[dict[str, Any]] = []
    for language, path in pages.items():
        of_page = {"swarm_report_path": str(path), "swarm_report_language": language}
        if not document:
            document.append({"import_playbook": str(REPORT), "vars": of_page})
            continue
        assert check["tasks"][0]["register"] == "__swarm_host"
        variables = {**check["vars"], **by_report["vars"], **of_page}
        document.append({**check, "vars": variables, "tasks": check["tasks"][1:]})
    both = PAGES / "both.yml"
    both.write_text(yaml.safe_dump(document), encoding="utf-8")
    run = play(playbook=both, swarm_report_history=str(PAGES / "history.jsonl"), **QUICK)
    assert run.code == 0, run.text[-4000:]
    for path in pages.values():
        assert f"PAGE  {path}" in run.text
    return pages["en"]


def words(path: Path) -> dict[str, Any]:
    """The data beside a page."""
    found: dict[str, Any] = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
    return found


def hosts_of(path: Path) -> dict[str, Any]:
    return {host["name"]: host for zone in words(path)["zones"] for host in zone["hosts"]}


def checked(name: str, inventory: Path, language: str = "en", code: int = 0) -> Path:
    """The page of `site.yml --check`."""
    path = PAGES / f"{name}_{language}.html"
    run = play(
        "--check",
        inventory=inventory,
        swarm_report_path=str(path),
        swarm_report_language=language,
        swarm_report_history="",
    )
    assert run.code == code, run.text[-4000:]
    assert f"PAGE  {path}" in run.text
    # Hosts with the same step share a line of the printed plan.
    steps = [step["action"] for step in words(path)["plan"]["steps"]]
    lines = [line.split()[1] for line in run.plan if line[0] in "+~-"]
    assert list(dict.fromkeys(lines)) == list(dict.fromkeys(steps))
    assert not list(PAGES.glob(f"{name}*.jsonl"))
    return path


def leave_out_w1(groups: dict[str, Any]) -> None:
    groups["swarm_workers"]["hosts"] = {}


def test_a_swarm_that_is_not_there_yet() -> None:
    with changed_inventory(leave_out_w1, PAGES / "inventory") as inventory:
        path = checked("new", inventory, "ko")
    assert words(path)["verdict"] == "unknown"
    assert "이 호스트는 스웜에 속하지 않음" in path.read_text(encoding="utf-8")
    hosts = hosts_of(path)
    assert {name: host["words"] for name, host in hosts.items()} == dict.fromkeys(
        ("m1", "m2", "m3"), "in no swarm"
    )
    assert hosts["m2"]["after"] == "manager, zone b"


def test_a_healthy_swarm() -> None:
    """Without w1, which the next test plans to let in."""
    path = PAGES / "healthy_en.html"
    with changed_inventory(leave_out_w1, PAGES / "inventory") as inventory:
        run = site(inventory=inventory, swarm_report_path=str(path))
        # If nothing is left to do, swarm_verify gives the verdict and makes the page.
        again = site(inventory=inventory, swarm_report_path=str(path))
    assert again.changed == 0
    assert f"PAGE  {path}" in run.text
    assert f"PAGE  {path}" in again.text
    assert len((PAGES / "healthy_en.history.jsonl").read_text().splitlines()) == 2
    assert words(path)["verdict"] == "healthy"
    # The same by report.yml.
    verified = words(path)["stacks"]
    path = report("healthy")
    assert words(path)["verdict"] == "healthy"
    assert sorted(hosts_of(path)) == ["m1", "m2", "m3"]
    assert [(each["name"], each["revision"]) for each in words(path)["stacks"]] == [("hello", "1")]
    assert [each["revision"] for each in verified] == ["1"]


def test_a_plan_on_the_map() -> None:
    def change(groups: dict[str, Any]) -> None:
        groups["swarm_managers"]["hosts"]["m3"]["swarm_availability"] = "drain"

    with changed_inventory(change, PAGES / "inventory") as inventory:
        for language in ("en", "ko"):
            path = checked("plan", inventory, language)
            steps = [(step["action"], step["host"]) for step in words(path)["plan"]["steps"]]
            # On a fresh host, the engine must trust the lab's registry first.
            assert steps[-2:] == [("join", "w1"), ("availability", "m3")]
            assert not hosts_of(path)["w1"]["present"]
            assert hosts_of(path)["m3"]["after"] == "drained"
    page = path.read_text(encoding="utf-8")
    assert "워커, 영역 a" in page
    assert "레지스트리 registry.lab:5000의 CA를 신뢰" in page


def test_a_plan_that_is_refused() -> None:
    def demote(groups: dict[str, Any]) -> None:
        for name in ("m2", "m3"):
            host = groups["swarm_managers"]["hosts"].pop(name)
            groups["swarm_workers"]["hosts"][name] = host

    with changed_inventory(demote, PAGES / "inventory") as inventory:
        path = checked("refused", inventory, code=2)
    (why,) = words(path)["plan"]["refusals"]
    assert why.startswith("fault tolerance would drop from 1 manager to 0")
    assert words(path)["verdict"] == "healthy"
    assert why in path.read_text(encoding="utf-8")
    assert path.with_suffix(".md").read_text(encoding="utf-8").count("The plan is refused") == 1


def test_a_stack_full_of_credentials() -> None:
    site()
    for name in ("shop", "watch"):
        stack = (HERE / "files" / f"{name}.yml").read_text(encoding="utf-8")
        ssh("m1", f"docker stack deploy -c - {name} <<'END'\n{stack}\nEND")
    # The engine repeats the command of a container that it cannot start.
    ssh(
        "m1",
        "docker service create -d --quiet --name broken --restart-condition none"
        " registry.lab:5000/hello:1 https://user:on-no-page-5@registry.example/x --password=on-no-page-6",
    )
    wait_until(
        lambda: "Failed" in ssh("m1", "docker service ps --format '{{.CurrentState}}' broken")
    )
    path = report("shop", ("en",))
    page = path.read_text(encoding="utf-8")
    assert "shop" in page
    assert "starting container failed" in page
    for each in PAGES.glob("shop*.*"):
        found = each.read_text(encoding="utf-8")
        assert not [word for word in CREDENTIALS if word in found], each
    assert "broken" in page
    ssh("m1", "docker service rm broken")


def settled() -> bool:
    """Whether all tasks of all services run."""
    rows = ssh("m1", "docker service ls --format '{{.Replicas}}'", check=False).split("\n")
    counts = [row.split()[0].split("/") for row in rows if row]
    return len(counts) == 8 and all(running == wanted for running, wanted in counts)


def freeze(host: str, signal: str = "STOP") -> None:
    ssh(host, f"kill -{signal} $(cat /run/docker.pid)")


def statuses(down: int = 0) -> bool:
    """Whether so many nodes are down, and the managers know that the others are ready. After an election they do not at first."""
    said = ssh("m1", "docker node ls --format '{{.Status}}'", check=False).split()
    return sorted(said) == ["Down"] * down + ["Ready"] * (4 - down)


@soak  # The page `unheard` is such a one.
def test_half_of_the_engines_do_not_answer() -> None:
    wait_until(settled)
    frozen = ("m3", "w1")
    for host in frozen:
        freeze(host)
    try:
        path = report("half")
    finally:
        for host in frozen:
            freeze(host, "CONT")
    # Unknown where the leader was frozen too.
    assert words(path)["verdict"] in ("degraded", "unknown", "failed")
    hosts = next(check for check in words(path)["checks"] if check["name"] == "hosts")
    assert hosts["message"].startswith("no answer from m3, w1")
    wait_until(statuses)
    wait_until(settled)


def set_availability(host: str, to: str) -> None:
    # The managers write to the node as well, and a write that is late is refused.
    update = f"docker node update --availability {to} {host}"
    wait_until(lambda: host in ssh("m1", update, check=False))


def test_in_mid_upgrade() -> None:
    """What upgrade_engine.yml does with a host: it drains it and stops its engine. In soak, w1 really has the next engine."""
    if SOAK:
        ssh("w1", NEXT_SUITE)
        upgrade = TOP / "playbooks" / "upgrade_engine.yml"
        run = play(playbook=upgrade, swarm_upgrade_to="26.1", swarm_upgrade_nodes="w1")
        assert run.code == 0, run.text[-4000:]
    set_availability("m3", "drain")
    wait_until(lambda: not ssh("m1", "docker node ps -q -f desired-state=running m3").strip())
    ssh("m3", "systemctl stop docker.socket docker")
    wait_until(lambda: statuses(down=1))
    path = report("upgrade")
    assert words(path)["verdict"] in ("degraded", "failed")
    assert hosts_of(path)["m3"]["state"] == "bad"
    if SOAK:
        assert len(words(path)["versions"]) == 2
    ssh("m3", "systemctl start docker")
    wait_until(statuses)
    set_availability("m3", "active")


def test_a_zone_is_killed() -> None:
    wait_until(settled)
    subprocess.run(["docker", "kill", f"{PREFIX}-m2"], check=True, capture_output=True)
    wait_until(lambda: statuses(down=1))
    path = report("killed")
    assert words(path)["verdict"] in ("degraded", "failed")
    assert hosts_of(path)["m2"]["state"] == "bad"
    losses = {loss["zone"]: loss for loss in words(path)["losses"]}
    assert losses["b"]["gone"]
    assert not losses["a"]["keeps_quorum"]
    # The first page of the zone that is lost says what is different; the second one that nothing is.
    assert "m2: state ready → down" in path.read_text(encoding="utf-8")
    assert 1 < len((PAGES / "killed_ko.md").read_text(encoding="utf-8").splitlines()) <= 40


def pages_without_a_quorum() -> Path:
    # Without the limit, the command waits for the leader that is gone.
    asked = "timeout 3 docker node ls 2>&1"
    wait_until(lambda: "does not have a leader" in ssh("m1", asked, check=False))
    return report("quorum")


@pytest.fixture(scope="module")
def without_a_quorum() -> Iterator[Future[Path]]:
    """The pages without a quorum. They take more than a minute, because an election could be under way."""
    subprocess.run(["docker", "kill", f"{PREFIX}-m3"], check=True, capture_output=True)
    with ThreadPoolExecutor(1) as pool:
        yield pool.submit(pages_without_a_quorum)


def test_the_quorum_is_lost(without_a_quorum: Future[Path]) -> None:
    """The next tests need no lab, and run in that minute."""
    assert not without_a_quorum.done()


# Recorded engines: the module runs here and asks a socket


def upgrade(answers: Answers) -> None:
    """One node is drained, one is down in its restart, and the engines are of two releases."""

    def change(found: list[dict[str, Any]]) -> None:
        for node in found[5:]:
            node["Description"]["Engine"]["EngineVersion"] = "26.1.5+dfsg1"
        found[3]["Spec"]["Availability"] = "drain"
        found[4]["Status"]["State"] = "down"

    answers.edit("/nodes", change)


def half(answers: Answers) -> None:
    """A new leader that has not heard from most nodes, and documents without most of their keys."""

    def change(found: list[dict[str, Any]]) -> None:
        for node in found[2:]:
            node["Status"] = {"State": "unknown"}
        for node in found[6:]:
            del node["Description"]

    answers.edit("/nodes", change)
    answers.edit("/tasks", lambda found: [task.pop("Status") for task in found[::3]])
    answers.edit("/services", lambda found: [each.pop("Endpoint") for each in found[::2]])


def hostile(answers: Answers) -> None:
    names = [
        "<script>alert(1)</script>",
        "x" * 300,
        "\u202eevil שלום مرحبا",
        "🚀👩‍💻",
        '"><img src=//evil onerror=x>',
    ]

    def nodes_of(found: list[dict[str, Any]]) -> None:
        for number, node in enumerate(found):
            name = names[number % len(names)]
            node["Description"]["Hostname"] = name
            node["Spec"]["Labels"] = {"zone": name, "flotilla.swarm.host": f"{name}{number}"}

    def services_of(found: list[dict[str, Any]]) -> None:
        for number, service in enumerate(found):
            name = names[number % len(names)]
            service["Spec"]["Name"] = f"{name}_{number}"
            service["Spec"]["Labels"] = {"com.docker.stack.namespace": name}
            service["Spec"]["TaskTemplate"]["ContainerSpec"]["Image"] = name

    def tasks_of(found: list[dict[str, Any]]) -> None:
        for number, task in enumerate(found[:10]):
            task["NodeID"] = ""
            task["Status"] = {"State": "pending", "Err": names[number % len(names)]}

    answers.edit("/nodes", nodes_of)
    answers.edit("/services", services_of)
    answers.edit("/tasks", tasks_of)
    answers.edit(
        "/networks",
        lambda found: [each.update(Name=names[n % 5] + str(n)) for n, each in enumerate(found)],
    )


@pytest.mark.parametrize(
    ("name", "languages", "size", "change", "verdicts"),
    [
        ("unheard", ("en",), (9, 12, 40), half, {"unknown", "failed"}),
        ("hostile", ("en",), (10, 12, 60), hostile, {"degraded", "failed"}),
        ("folded", ("en", "ko"), (61, 61, 183), upgrade, {"degraded", "failed"}),
        ("large", ("en",), (300, 3000, 20000), lambda _answers: None, {"degraded"}),
    ],
)
def test_a_recorded_swarm(
    name: str,
    languages: tuple[str, ...],
    size: tuple[int, int, int],
    change: Callable[[Answers], None],
    verdicts: set[str],
    tmp_path: Path,
) -> None:
    answers = swarm_of(*size)
    change(answers)
    pages = {language: PAGES / f"{name}_{language}.html" for language in languages}
    with engine(answers) as docker_host:
        tasks = [
            {
                "docker_host": docker_host,
                "accept": ["healthy", "degraded", "unknown", "failed"],
                "unreachable": ["h1", "h3"] if name == "unheard" else [],
                "format": "none",
                "page": {"path": str(path), "language": language, "history": ""},
            }
            for language, path in pages.items()
        ]
        document = [
            {
                "hosts": "localhost",
                "connection": "local",
                "gather_facts": False,
                "vars": {"ansible_python_interpreter": sys.executable},
                "tasks": [{"flotilla.swarm.swarm_health": task} for task in tasks],
            }
        ]
        playbook = tmp_path / "page.yml"
        playbook.write_text(yaml.safe_dump(document), encoding="utf-8")
        started = time.monotonic()
        done = subprocess.run(
            ["ansible-playbook", "-i", "localhost,", playbook],
            env=ENVIRONMENT,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    # The page costs one request: the configs, which have the revisions of stacks, the applications and the last backup.
    verdict = ["/info", "/nodes", "/services", "/tasks", "/tasks?", "/networks?"]
    assert answers.asked == [*verdict, "/configs"] * len(languages)
    content = words(pages["en"])
    assert content["verdict"] in verdicts
    assert "4" in [stack["revision"] for stack in content["stacks"]] or name == "hostile"
    assert sorted(each["name"] for each in content["applications"]) == ["shop", "tools/"]
    assert content["backup"]["host"]
    sizes = [path.stat().st_size for path in pages.values()]
    print(f"{name}: {sizes[0] / 1e6:.2f} MB, made in {time.monotonic() - started:.1f} s")
    assert max(sizes) < 5_000_000


# In the browser

# The dark theme changes colours and nothing else. All colours are on these pages; in Korean they are those of the English page.
DARK = "healthy_en plan_en refused_en killed_en killed_ko quorum_en".split()
# Axe takes long on these, and they have no element that others have not: folded_ko, killed_ko, upgrade_en and plan_ko.
WITHOUT_AXE = () if SOAK else ("large_en", "folded_en", "upgrade_ko", "new_ko")


def in_a_browser(found: list[Path]) -> None:
    python, chromium = subprocess.run(
        [HERE / "browser.sh"], check=True, stdout=subprocess.PIPE, text=True
    ).stdout.split("\n")[:2]
    pages = [
        f"{path}{'' if path.stem in WITHOUT_AXE else ':axe'}{':dark' if SOAK or path.stem in DARK else ''}"
        for path in found
    ]
    done = subprocess.run(
        [python, HERE / "browser.py", chromium, PAGES, *pages],
        stdout=subprocess.PIPE,
        text=True,
        timeout=1800 if SOAK else 600,
        env={**os.environ, "PYTHONPATH": ""},
        check=True,
    )
    report_of = json.loads(done.stdout)
    problems = []
    for name, seen in report_of["pages"].items():
        path = (PAGES / name.split()[0]).with_suffix(".html")
        problems += [f"{name}: console: {each}" for each in seen["console"]]
        if seen["requests"] != [path.as_uri()]:
            problems.append(f"{name}: requests: {seen['requests']}")
        problems += [f"{name}: at {width}: {each}" for width, each in seen["sticks_out"].items()]
        problems += [f"{name}: axe: {each}" for each in seen["violations"]]
        if seen["styled"] != "750":
            problems.append(f"{name}: its style is not applied")
        keyboard = seen.get("first_key", "#main"), seen.get("opens", True)
        if keyboard != ("#main", True):
            problems.append(f"{name}: keyboard: {keyboard}")
        line = f"{name}: loaded in {seen['loaded']} s, {len(seen['violations'])} violations"
        print(line + (f" of {seen['rules']} rules in {seen['axe']} s" if "axe" in seen else ""))
    looks = len(report_of["pages"])
    print(f"Chromium {report_of['browser']}: {looks} looks, {len(problems)} problems")
    assert not problems


def test_in_a_browser() -> None:
    # A killed zone shows the stack of the page `shop` too. The pages without a quorum are still made.
    others = ("shop", "quorum")
    found = sorted(path for path in PAGES.glob("*.html") if not path.stem.startswith(others))
    assert len(found) == (17 if SOAK else 15)
    in_a_browser(found)


def test_without_a_quorum(without_a_quorum: Future[Path]) -> None:
    path = without_a_quorum.result()
    assert words(path)["verdict"] == "failed"
    assert {name: host["state"] for name, host in hosts_of(path).items()} == {
        "m1": "unsure",
        "m2": "bad",
        "m3": "bad",
        "w1": "unsure",
    }
    in_a_browser([path, PAGES / "quorum_ko.html"])
