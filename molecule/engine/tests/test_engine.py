# Copyright (c) 2026 The Flotilla authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The role docker_engine seen from outside, on hosts that were bare a minute ago.

The tests run in the order in which they stand: each starts from what the one before has left. `play` runs the
scenario's own playbook with other variables.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import testinfra

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from drive import KEEPING

STATE = Path(os.environ["LAB_STATE"])
INVENTORY = str(STATE / "inventory")
PLAYBOOK = str(Path(__file__).resolve().parents[1] / "converge.yml")
LOG = Path(os.environ["MOLECULE_EPHEMERAL_DIRECTORY"]) / "engine.log"
MANAGERS = ("m1", "m2", "m3")
WORKERS = ("w1", "w2")
HOSTS = (*MANAGERS, *WORKERS)
DAEMON_JSON = "/etc/docker/daemon.json"


def on(name: str) -> Any:
    return testinfra.get_host(f"ansible://{name}?ansible_inventory={INVENTORY}")


def sh(name: str, command: str) -> str:
    """Run a command on a host. testinfra itself would interpret % and braces in the command."""
    done = on(name).run("sh -c %s", command)
    assert done.rc == 0, f"{name}: {command}: {done.stderr}{done.stdout}"
    return str(done.stdout).strip()


@dataclass
class Played:
    rc: int
    output: str
    changed: dict[str, int]

    def said(self, sentence: str) -> bool:
        return sentence in self.output


def play(*options: str, limit: str = "", **variables: Any) -> Played:
    command = [*KEEPING, "ansible-playbook", "-i", INVENTORY, PLAYBOOK, "-e", json.dumps(variables)]
    environment = {name: value for name, value in os.environ.items() if name != "ANSIBLE_LOG_PATH"}
    done = subprocess.run(
        [*command, *options, *(["--limit", limit] if limit else [])],
        capture_output=True,
        text=True,
        check=False,
        env={**environment, "NO_COLOR": "1", "ANSIBLE_FORCE_COLOR": "0"},
    )
    output = done.stdout + done.stderr
    print(output)
    recap = re.findall(r"^(\w+)\s+: ok=\d+\s+changed=(\d+)", output, re.MULTILINE)
    return Played(done.returncode, output, {name: int(count) for name, count in recap})


def refused(sentence: str, *options: str, **arguments: Any) -> None:
    done = play(*options, **arguments)
    assert done.rc != 0
    assert done.said(sentence)


def daemon_config(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(sh(name, f"cat {DAEMON_JSON}"))
    return found


def versions(name: str) -> dict[str, str]:
    words = sh(
        name, "dpkg-query -W -f '${Package} ${Version}\\n' docker-ce docker-ce-cli containerd.io"
    )
    return dict(line.split() for line in words.splitlines())


def engine_pid(name: str) -> str:
    return sh(name, "systemctl show -p MainPID --value docker")


def remote_calls(name: str, since: str) -> list[str]:
    """The modules that ran on a host, from its own journal."""
    lines = sh(name, f"journalctl -q -o short --since @{since}")
    return re.findall(r"ansible-([\w.]+)(?:\[\d+\])?: Invoked with ", lines)


def engine_is_20_10() -> bool:
    return sh("m1", "dockerd --version").split()[2].startswith("20.")


@pytest.mark.parametrize("name", HOSTS)
def test_the_engine_runs_with_its_final_settings_from_its_first_start_on(name: str) -> None:
    host = on(name)
    assert host.service("docker").is_running
    assert host.service("docker").is_enabled
    assert daemon_config(name) == {"log-opts": {"max-file": "3", "max-size": "10m"}}
    # If a package script had started the engine, there would be two starts, the first without daemon.json.
    starts = sh(
        name, "journalctl -q -o cat -u docker | grep -c 'Daemon has completed initialization'"
    )
    assert starts == "1"
    assert not host.file("/usr/sbin/policy-rc.d").exists
    if name in MANAGERS:
        assert sh(name, "docker run --help > /dev/null && echo fine") == "fine"


def test_packages_are_held() -> None:
    assert {"docker.io", "containerd"} <= set(sh("m1", "apt-mark showhold").split())
    assert set(sh("w1", "apt-mark showhold").split()) == {
        "docker-ce",
        "docker-ce-cli",
        "containerd.io",
    }


def test_the_pinned_version_came_from_the_signed_repository() -> None:
    assert versions("w1") == {
        "docker-ce": "5:28.1.0-1~lab",
        "docker-ce-cli": "5:28.1.0-1~lab",
        "containerd.io": "1.7.1-1",
    }
    source = sh("w1", "cat /etc/apt/sources.list.d/docker.sources")
    assert "Signed-By: /etc/apt/keyrings/docker.asc" in source


def test_check_mode_on_bare_hosts_listed_what_the_run_then_did() -> None:
    pattern = r"(changed|ok): \[(\w+)\] => \(item=(\w+ +.*)\)$"
    found = re.findall(pattern, LOG.read_text(encoding="utf-8"), re.MULTILINE)
    checked = sorted((name, step) for status, name, step in found if status == "changed")
    done = sorted((name, step) for status, name, step in found if status == "ok")
    assert {name for name, _step in checked} == set(HOSTS)
    assert checked == done


@pytest.mark.parametrize("mode", [(), ("--check", "--diff")])
def test_a_run_without_changes_makes_one_call_a_host(mode: tuple[str, ...]) -> None:
    since = sh("m1", "date +%s.%N")
    done = play(*mode)
    assert done.rc == 0
    assert done.changed == dict.fromkeys(HOSTS, 0)
    for name in HOSTS:
        assert remote_calls(name, since) == ["flotilla.swarm.swarm_host_info"]


def test_settings_that_swarm_mode_cannot_live_with_are_refused() -> None:
    before = sh("m1", f"stat -c %Y:%i {DAEMON_JSON}")
    done = play(
        "--limit", "m1", docker_engine_daemon={"live-restore": True, "firewall-backend": "nftables"}
    )
    assert done.rc != 0
    assert done.said(
        "m1: an engine with live-restore refuses swarm mode, and docker_engine_daemon sets it"
    )
    assert done.said("m1: an engine with the nftables firewall backend refuses swarm mode")
    assert sh("m1", f"stat -c %Y:%i {DAEMON_JSON}") == before


def test_preflight_names_host_fault_and_variable() -> None:
    sh("w1", "systemd-run --quiet --unit=taken python3 -m http.server 7946")
    try:
        done = play(
            "--check",
            docker_engine_disk_free_mb=10**9,
            swarm_default_addr_pool=["172.16.0.0/12"],
        )
    finally:
        sh("w1", "systemctl stop taken")
    assert done.rc != 0
    assert done.said("w1: port 7946/tcp, on which nodes gossip, is in use")
    assert done.said("lower docker_engine_disk_free_mb")
    assert re.search(
        r"m3: its route to \S+ overlaps swarm_default_addr_pool 172.16.0.0/12", done.output
    )
    assert done.said("set swarm_default_addr_pool")


def ask(name: str, path: str, **body: Any) -> None:
    """A request to the engine of a host, because a worker does not need the CLI."""
    said = sh(
        name,
        "curl -sS -w '%{http_code}' --unix-socket /run/docker.sock"
        f" -H 'Content-Type: application/json' -d '{json.dumps(body)}' http://localhost{path}",
    )
    assert said == "200", f"{name}: {path}: {said}"


def join(role: str, *names: str) -> None:
    token = sh("m1", f"docker swarm join-token -q {role}")
    for name in names:
        ask(
            name,
            "/swarm/join",
            JoinToken=token,
            RemoteAddrs=[f"{address('m1')}:2377"],
            ListenAddr="0.0.0.0:2377",
        )


def address(name: str) -> str:
    return sh(name, "ip -4 -o addr show dev eth0").split()[3].split("/")[0]


def test_a_swarm_can_be_made_of_them() -> None:
    sh("m1", f"docker swarm init --advertise-addr {address('m1')}")
    join("manager", *MANAGERS[1:])
    assert sh("m1", "docker node ls --format '{{.ManagerStatus}}'").split().count("Reachable") == 2


def test_drift_is_repaired_where_it_is_and_nowhere_else() -> None:
    pids = {name: engine_pid(name) for name in HOSTS}
    sh(
        "m2",
        f'echo \'{{"log-opts": {{"max-size": "1g"}}, "max-concurrent-uploads": 3}}\' > {DAEMON_JSON}',
    )
    done = play()
    assert done.rc == 0
    assert {name for name, count in done.changed.items() if count} == {"m2"}
    # Settings that the variables do not name stay.
    assert daemon_config("m2") == {
        "log-opts": {"max-file": "3", "max-size": "10m"},
        "max-concurrent-uploads": 3,
    }
    assert {name for name in HOSTS if engine_pid(name) != pids[name]} == {"m2"}


def test_what_can_be_reloaded_is_not_restarted_for() -> None:
    pid = engine_pid("m2")
    assert (
        play(limit="m2", docker_engine_daemon={"max-concurrent-uploads": 4, "debug": True}).rc == 0
    )
    assert engine_pid("m2") == pid
    assert sh("m2", "docker info --format '{{.Debug}}'") == "true"


def restarts(name: str) -> tuple[int, int]:
    """The times of the last stop and start of the engine, on the clock that all hosts share with this machine's kernel."""
    words = sh(
        name,
        "systemctl show docker -p ActiveExitTimestampMonotonic -p ActiveEnterTimestampMonotonic",
    )
    shown = dict(line.split("=") for line in words.splitlines())
    return int(shown["ActiveExitTimestampMonotonic"]), int(shown["ActiveEnterTimestampMonotonic"])


@contextlib.contextmanager
def sampling(name: str) -> Iterator[None]:
    """Note the managers' states, five times a second, as this manager sees them."""
    listing = "docker node ls --filter role=manager --format '{{.Hostname}}={{.ManagerStatus}}'"
    sh(name, "rm -f /root/samples")
    script = f"while sleep 0.2; do {listing} 2>/dev/null | paste -sd, >> /root/samples; done"
    on(name).run("systemd-run --quiet --unit=sampling sh -c %s", script.replace("$", "$$"))
    try:
        yield
    finally:
        sh(name, "systemctl stop sampling")


def leader() -> str:
    shown = sh(
        "m2", "docker node ls --filter role=manager --format '{{.Hostname}} {{.ManagerStatus}}'"
    )
    return next(line.split()[0] for line in shown.splitlines() if line.endswith("Leader"))


def test_managers_are_restarted_one_at_a_time_and_the_leader_last() -> None:
    # Locked managers come back locked, and are unlocked again.
    sh("m1", "docker swarm update --autolock=true > /dev/null")
    key = sh("m1", "docker swarm unlock-key -q")
    led = leader()
    before = {name: engine_pid(name) for name in MANAGERS}
    with sampling(led):
        # The settings of docs/hardening.md.
        hardened = {"no-new-privileges": True, "userland-proxy": False, "icc": False}
        daemon = {"labels": ["restarted=yes"], **hardened}
        done = play("-vvv", limit="m1,m2,m3", docker_engine_daemon=daemon)
    assert done.rc == 0
    assert not done.said(key)
    sh("m1", "docker swarm update --autolock=false > /dev/null")
    assert all(engine_pid(name) != before[name] for name in MANAGERS)
    spans = sorted((*restarts(name), name) for name in MANAGERS)
    assert [name for *_span, name in spans][-1] == led
    for (_gone, back, _name), (gone, _back, _next) in zip(spans, spans[1:]):
        assert back < gone
    samples = [line.split(",") for line in sh(led, "cat /root/samples").splitlines()]
    whole = [sample for sample in samples if len(sample) == 3]
    assert len(whole) > 5
    for sample in whole:
        down = [entry for entry in sample if not entry.endswith(("=Leader", "=Reachable"))]
        assert len(down) <= 1, samples
    assert sh("m2", "docker info --format '{{.Labels}}'") == "[restarted=yes]"
    assert hardened.items() <= daemon_config("m2").items()
    icc = '{{index .Options "com.docker.network.bridge.enable_icc"}}'
    assert sh("m2", f"docker network inspect bridge -f '{icc}'") == "false"


def test_a_manager_is_not_restarted_while_another_is_down() -> None:
    sh("m3", "systemctl stop docker.socket docker")
    pids = {name: engine_pid(name) for name in ("m1", "m2")}
    wanted = {"docker_engine_daemon": {"labels": ["two=down"]}, "docker_engine_restart_timeout": 8}
    try:
        done = play(limit="m1,m2", **wanted)
        assert done.rc != 0
        assert done.said(
            "2 of 3 managers are reachable; without it 1 would remain, and a quorum needs 2."
        )
        assert done.said("docker_engine_restart_force=true")
        assert {name: engine_pid(name) for name in ("m1", "m2")} == pids
        # The refusal came before anything was written.
        assert daemon_config("m1")["labels"] == ["restarted=yes"]
    finally:
        sh("m3", "systemctl start docker")


def test_settings_the_engine_does_not_come_up_with_are_taken_back() -> None:
    before = {name: daemon_config(name) for name in MANAGERS}
    done = play(limit="m1,m2,m3", docker_engine_daemon={"storage-driver": "nosuch"})
    assert done.rc != 0
    assert done.said(
        "The old file was restored, and the engine runs with it. Correct docker_engine_daemon."
    )
    assert {name: daemon_config(name) for name in MANAGERS} == before
    assert sh("m1", "docker node ls --format '{{.ManagerStatus}}'").split().count("Reachable") == 2


def test_a_new_engine_judges_its_settings_before_they_are_written() -> None:
    if engine_is_20_10():
        pytest.skip("dockerd --validate came with 23.0")
    pid = engine_pid("m2")
    for mode in ((), ("--check",)):
        done = play(*mode, limit="m2", docker_engine_daemon={"no-such-key": 1})
        assert done.rc != 0
        assert done.said("dockerd --validate says:")
        assert done.said("no-such-key")
    assert "no-such-key" not in daemon_config("m2")
    assert engine_pid("m2") == pid


def test_a_wrong_key_is_refused_before_anything_is_installed() -> None:
    sh("w1", "mv /etc/apt/keyrings/docker.asc /root/")
    try:
        refused(
            "Nothing was installed.",
            limit="w1",
            docker_engine_repository_key_fingerprint="9DC858229FC7DD38854AE2D88D81803C0EBFCD88",
            docker_engine_version="28.2",
        )
        assert not on("w1").file("/etc/apt/keyrings/docker.asc").exists
    finally:
        sh("w1", "mv /root/docker.asc /etc/apt/keyrings/")
    assert versions("w1")["docker-ce"] == "5:28.1.0-1~lab"


def test_a_version_that_nobody_has_is_refused_with_what_there_is() -> None:
    refused(
        "this host's repositories have 5:28.2.0-1~lab, 5:28.1.0-1~lab",
        limit="w1",
        docker_engine_version="29.0",
    )


NEWER = {"docker_engine_version": "28.2", "docker_engine_containerd_version": "1.7.2"}


def test_an_upgrade_waits_for_the_lock_repairs_dpkg_and_restarts_once() -> None:
    # A run that was killed between unpacking and configuring.
    sh(
        "w1",
        "mkdir -p /root/half/DEBIAN && printf 'Package: half\\nVersion: 1\\nArchitecture: all\\n"
        "Maintainer: x <x@example.com>\\nDescription: x\\n' > /root/half/DEBIAN/control && "
        "dpkg-deb -b /root/half /root/half.deb && dpkg --unpack /root/half.deb",
    )
    locker = "import fcntl,time; f=open('/var/lib/dpkg/lock-frontend','w'); fcntl.lockf(f,fcntl.LOCK_EX); time.sleep(8)"
    on("w1").run("systemd-run --quiet --unit=locker python3 -c %s", locker)
    pid, containerd = engine_pid("w1"), sh("w1", "systemctl show -p MainPID --value containerd")
    done = play(limit="w1", **NEWER)
    assert done.rc == 0
    assert set(versions("w1").values()) == {"5:28.2.0-1~lab", "1.7.2-1"}
    assert sh("w1", "dpkg-query -W -f '${Status}' half") == "install ok installed"
    assert engine_pid("w1") != pid
    assert sh("w1", "systemctl show -p MainPID --value containerd") != containerd
    assert set(sh("w1", "apt-mark showhold").split()) == {
        "docker-ce",
        "docker-ce-cli",
        "containerd.io",
    }


def test_a_downgrade_is_done_only_when_asked_for() -> None:
    refused("a downgrade is done only with docker_engine_allow_downgrade=true", limit="w1")
    assert versions("w1")["docker-ce"] == "5:28.2.0-1~lab"
    assert play(limit="w1", docker_engine_allow_downgrade=True).rc == 0
    assert set(versions("w1").values()) == {"5:28.1.0-1~lab", "1.7.1-1"}


def test_a_restart_that_an_interrupted_run_owed_is_made_up_for() -> None:
    pid = engine_pid("w1")
    sh("w1", "mkdir -p /run/flotilla.swarm && touch /run/flotilla.swarm/docker-restart")
    done = play(limit="w1")
    assert done.rc == 0
    assert done.said("an earlier run was interrupted before its restart")
    assert engine_pid("w1") != pid


def test_registries_proxies_pools_and_users(tmp_path: Path) -> None:
    certificate = tmp_path / "ca.crt"
    certificate.write_text(
        "-----BEGIN CERTIFICATE-----\nlab\n-----END CERTIFICATE-----\n", encoding="utf-8"
    )
    sh("w1", "useradd -m -U lab-user")
    wanted = {
        "docker_engine_registry_ca_certificates": {"registry.lab:5000": str(certificate)},
        "docker_engine_registry_mirrors": ["https://mirror.lab:5000"],
        "docker_engine_http_proxy": "http://user:100%25@proxy.lab:3128",
        "docker_engine_no_proxy": ["localhost", ".lab"],
        "docker_engine_address_pools": [{"base": "10.222.0.0/16", "size": 24}],
        "docker_engine_users": ["lab-user"],
    }
    done = play("-vvv", limit="w1", **wanted)
    assert done.rc == 0
    # The password is a variable on the command line of this test (-e). The arguments of modules must not show it.
    assert not re.search(r'"write":.*100%', done.output)
    assert (
        sh("w1", "cat /etc/docker/certs.d/registry.lab:5000/ca.crt")
        == certificate.read_text("utf-8").strip()
    )
    environment = sh(
        "w1", "tr '\\0' '\\n' < /proc/$(systemctl show -p MainPID --value docker)/environ"
    )
    assert "HTTP_PROXY=http://user:100%25@proxy.lab:3128" in environment.splitlines()
    assert "NO_PROXY=localhost,.lab" in environment.splitlines()
    assert sh("w1", "stat -c %a /etc/systemd/system/docker.service.d/flotilla-proxy.conf") == "600"
    assert (
        sh("w1", "docker info --format '{{.RegistryConfig.Mirrors}}'")
        == "[https://mirror.lab:5000/]"
    )
    assert (
        sh("w1", "docker network create probe > /dev/null; docker network inspect probe").count(
            "10.222."
        )
        >= 2
    )
    assert "docker" in on("w1").user("lab-user").groups
    assert play(limit="w1", **wanted).changed == {"w1": 0}
    # Without the variable, the proxy is removed, and the engine restarts.
    assert play(limit="w1").rc == 0
    assert not on("w1").file("/etc/systemd/system/docker.service.d/flotilla-proxy.conf").exists


DISTRO = {
    "docker_engine_source": "distro",
    "docker_engine_version": "",
    "docker_engine_containerd_version": "",
}


def test_an_engine_of_another_source_is_replaced_only_when_asked_for() -> None:
    refused("or allow it with docker_engine_replace=true", limit="w1", **DISTRO)
    assert play(limit="w1", docker_engine_replace=True, **DISTRO).rc == 0
    assert on("w1").package("docker.io").is_installed
    assert not on("w1").package("docker-ce").is_installed
    assert on("w1").service("docker").is_running


def test_workers_are_restarted_in_batches() -> None:
    join("worker", *WORKERS)
    # With an engine that starts slowly, the test shows whether the next restart waits for it.
    slow = "/run/systemd/system/docker.service.d"
    for name in WORKERS:
        sh(
            name,
            f"mkdir -p {slow}; printf '[Service]\\nExecStartPre=sleep 4\\n' > {slow}/slow.conf",
        )
    for batch in (1, 2):
        before = {name: engine_pid(name) for name in WORKERS}
        labels = {"labels": [f"batch={batch}"]}
        done = play(
            limit="w1,w2",
            docker_engine_restart_batch=batch,
            docker_engine_daemon=labels,
            **DISTRO,
        )
        assert done.rc == 0
        assert all(engine_pid(name) != before[name] for name in WORKERS)
        (_gone, back), (gone, _back) = sorted(restarts(name) for name in WORKERS)
        assert (back < gone) == (batch == 1), (batch, back, gone)
    for name in WORKERS:
        sh(name, f"rm {slow}/slow.conf; systemctl daemon-reload")
        ask(name, "/swarm/leave")
        sh("m1", f"docker node rm --force {name}")


def test_at_the_end_the_swarm_is_whole() -> None:
    shown = sh("m2", "docker node ls --format '{{.Status}} {{.ManagerStatus}}'").splitlines()
    assert sorted(shown) == ["Ready Leader", "Ready Reachable", "Ready Reachable"]
