# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Builds from source, by the text of docs/runbooks/builds.md: two builders, a git server over ssh, and the registry."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pipeline
import pytest
import yaml
from drive import STATE, hits, ssh, wait_until
from pipeline import Developer, done, soak

BUILDERS = ("w1", "w2")
UNIT = "flotilla-swarm-builder"
STATE_DIR = "/var/lib/flotilla.swarm/builder"
REGISTRY = ""
DOCKERFILE = """\
FROM scratch
COPY busybox /bin/busybox
SHELL ["/bin/busybox", "sh", "-c"]
ARG GREETING=none
ENV GREETING=$GREETING
COPY app /app
RUN /bin/busybox sh /app/build.sh
CMD ["/bin/busybox", "sh", "/app/run.sh"]
"""
APP = {
    "app/build.sh": "/bin/busybox echo building; /bin/busybox sleep 1\n",
    "app/test.sh": '/bin/busybox sleep 1; test -e /app/word && test "$GREETING" = hello\n',
    "app/run.sh": "/bin/busybox cat /app/word\n",
    "app/word": "one\n",
}
SOURCE: dict[str, Any] = {
    "name": "shop",
    "repository": "shop",
    "args": {"GREETING": "hello"},
    "test": ["/bin/busybox", "sh", "/app/test.sh"],
    "tags": ["{date}-{commit}", "latest"],
    "memory_mb": 128,
    "timeout": 60,
}


def inventory(**variables: Any) -> Path:
    """Both workers are builders here, and w1 has the registry."""
    path = STATE / "builds"
    path.mkdir(exist_ok=True)
    lab = yaml.safe_load((pipeline.drive.INVENTORY / "hosts.yml").read_text(encoding="utf-8"))["all"]
    hosts = pipeline.lab_hosts()
    groups = {"swarm_registry": ["w1"], "swarm_builders": list(BUILDERS)}
    children = {
        group: {"hosts": {name: hosts[name] for name in names}} for group, names in groups.items()
    }
    users = [{"name": name, "password": password} for name, password in pipeline.PASSWORDS.items()]
    settings = {
        "registry_users": users,
        "swarm_builder_repositories": [
            {
                "name": name,
                "url": pipeline.url(name),
                "deploy_key": pipeline.ssh_key("builder").read_text(),
                "known_hosts": pipeline.known_hosts(),
            }
            for name in ("shop", "sources")
        ],
        "swarm_builder_sources": [{**SOURCE, "image": f"{REGISTRY}/shop"}],
        "swarm_builder_interval": 2,
        "swarm_builder_takeover": 4,
        **variables,
    }
    document = {"all": {"vars": {**lab["vars"], **settings}, "children": children}}
    (path / "hosts.yml").write_text(yaml.safe_dump(document), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def shop() -> Iterator[Developer]:
    global REGISTRY
    REGISTRY = f"{pipeline.address('w1')}:5000"
    pipeline.serve_git("developer", "builder")
    developer = Developer("shop")
    developer.write({"Dockerfile": DOCKERFILE, "busybox": pipeline.busybox(), **APP})
    (developer.tree / "busybox").chmod(0o755)
    developer.commit("Sell teapots", {})
    done(pipeline.playbook("registry", inventory=inventory()))
    done(pipeline.playbook("builders", inventory=inventory()))
    yield developer
    for host in BUILDERS:
        ssh(host, f"systemctl disable --now {UNIT}.timer; systemctl stop {UNIT}; true")


def rows(host: str) -> dict[str, Any]:
    return json.loads(ssh(host, f"cat {STATE_DIR}/state.json 2>/dev/null || echo '{{}}'"))


def row(host: str, source: str = "shop") -> dict[str, Any]:
    return rows(host).get(source) or {}


def ended(commit: str, source: str = "shop", state: str = "built", seconds: float = 90) -> dict[str, Any]:
    """Wait until both builders know this end of a commit; the build."""

    def look() -> dict[str, Any] | None:
        found = [row(host, source) for host in BUILDERS]
        fits = all(each.get("state") == state and each["build"]["commit"] == commit for each in found)
        return found[0]["build"] if fits else None

    return wait_until(look, seconds)


def builds_of(commit: str) -> list[str]:
    """Who has begun to build a commit, from the journals."""
    return [
        host
        for host in BUILDERS
        for line in ssh(host, f"journalctl -u {UNIT} -o cat").splitlines()
        if line.startswith("shop: build of commit") and commit[:12] in line
    ]


def assert_tidy() -> None:
    """No container, folder or nameless image of a build is left, and no image without use."""
    for host in BUILDERS:
        assert not ssh(host, "docker ps -aq --filter name=flotilla-test").split()
        wait_until(lambda: not ssh(host, f"ls {STATE_DIR} | grep '^work' || true").split(), 30)
        local = row(host).get("local") or {}
        kept = [image.rpartition(":")[2][:12] for image in local.get("images") or []]
        loose = ssh(host, "docker image ls -q --filter dangling=true").split()
        assert not [image for image in loose if image not in kept], host
        names = ssh(host, f"docker image ls {REGISTRY}/shop --format '{{{{.Repository}}}}:{{{{.Tag}}}}'").split()
        assert set(names) <= set(local.get("names") or []), host


def test_a_commit_is_built_tested_pushed_and_recorded_once(shop: Developer) -> None:
    began = time.monotonic()
    commit = shop.commit("Sell cups", {"app/word": "two\n"})
    build = ended(commit)
    print(f"from the push to the record on both builders: {time.monotonic() - began:.1f} s, {build['steps']}")
    assert builds_of(commit) == [build["builder"]]
    assert build["image"].startswith(f"{REGISTRY}/shop:2")
    assert build["image"].endswith(commit[:12])
    # From outside: another host pulls it and runs it.
    name = f"{REGISTRY}/shop@{build['digest']}"
    ssh("w1", f"docker pull -q {name}")
    assert ssh("w1", f"docker run --rm {name}") == "two\n"
    labels = json.loads(ssh("w1", f"docker image inspect --format '{{{{json .Config.Labels}}}}' {name}"))
    assert labels["org.opencontainers.image.revision"] == commit
    assert labels["org.opencontainers.image.source"] == pipeline.url("shop").replace("git@", "")
    assert labels["org.opencontainers.image.created"].endswith("Z")
    ssh("w1", f"docker image rm {name}")
    assert_tidy()
    run = done(pipeline.playbook("builds_status", inventory=inventory()))
    assert "built" in run.text
    assert commit[:12] in run.text


def test_the_role_changes_nothing_the_second_time(shop: Developer) -> None:
    for flags in (["--check"], []):
        run = done(pipeline.playbook("builders", *flags, inventory=inventory()))
        assert "changed=0" in run.text
