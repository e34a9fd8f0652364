# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Builds from source, by the text of docs/runbooks/builds.md: two builders, a git server over ssh, and the registry."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import delivery
import pytest
import yaml
from delivery import Developer, done, soak
from drive import STATE, ssh, wait_until

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
    lab = yaml.safe_load((delivery.drive.INVENTORY / "hosts.yml").read_text(encoding="utf-8"))[
        "all"
    ]
    hosts = delivery.lab_hosts()
    groups = {"swarm_registry": ["w1"], "swarm_builders": list(BUILDERS)}
    children = {
        group: {"hosts": {name: hosts[name] for name in names}} for group, names in groups.items()
    }
    settings = {
        "registry_users": delivery.users(),
        "swarm_builder_repositories": [
            {
                "name": name,
                "url": delivery.url(name),
                "deploy_key": delivery.ssh_key("builder").read_text(),
                "known_hosts": delivery.known_hosts(),
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
    REGISTRY = f"{delivery.address('w1')}:5000"
    delivery.serve_git("developer", "builder")
    developer = Developer("shop")
    developer.write({"Dockerfile": DOCKERFILE, "busybox": delivery.busybox(), **APP})
    (developer.tree / "busybox").chmod(0o755)
    developer.commit("Sell teapots", {})
    for host in BUILDERS:
        # Those of services that other drills have deployed.
        ssh(host, "docker image prune --all --force")
    done(delivery.playbook("builders", inventory=inventory()))
    yield developer
    for host in BUILDERS:
        ssh(host, f"systemctl disable --now {UNIT}.timer; systemctl stop {UNIT}; true")


def rows(host: str) -> dict[str, Any]:
    return json.loads(ssh(host, f"cat {STATE_DIR}/state.json 2>/dev/null || echo '{{}}'"))


def row(host: str, source: str = "shop") -> dict[str, Any]:
    return rows(host).get(source) or {}


def ended(
    commit: str, source: str = "shop", state: str = "built", seconds: float = 240
) -> dict[str, Any]:
    """Wait until both builders know this end of a commit; the build."""

    def look() -> dict[str, Any] | None:
        found = [row(host, source) for host in BUILDERS]
        fits = all(
            each.get("state") == state and each["build"]["commit"] == commit for each in found
        )
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


def is_tidy(host: str) -> bool:
    """Whether no container, folder or nameless image of a build is left, and no image without use."""
    local = row(host).get("local") or {}
    kept = [image.rpartition(":")[2][:12] for image in local.get("images") or []]
    left = ssh(
        host,
        f"""
        docker ps -aq --filter name=flotilla-test; ls {STATE_DIR} | grep '^work'
        docker image ls -q --filter dangling=true
        docker image ls {REGISTRY}/shop --format '{{{{.Repository}}}}:{{{{.Tag}}}}'
        """,
    ).split()
    return not set(left) - {*kept, *(local.get("names") or [])}


def assert_tidy() -> None:
    wait_until(lambda: all(map(is_tidy, BUILDERS)), 90)


def test_a_commit_is_built_tested_pushed_and_recorded_once(shop: Developer) -> None:
    began = time.monotonic()
    commit = shop.commit("Sell cups", {"app/word": "two\n"})
    build = ended(commit)
    print(
        f"from the push to the record on both builders: {time.monotonic() - began:.1f} s, {build['steps']}"
    )
    assert builds_of(commit) == [build["builder"]]
    assert build["image"].startswith(f"{REGISTRY}/shop:2")
    assert build["image"].endswith(commit[:12])
    # From outside: another host pulls it and runs it.
    name = f"{REGISTRY}/shop@{build['digest']}"
    ssh("w1", f"docker pull -q {name}")
    assert ssh("w1", f"docker run --rm {name}") == "two\n"
    labels = json.loads(
        ssh("w1", f"docker image inspect --format '{{{{json .Config.Labels}}}}' {name}")
    )
    assert labels["org.opencontainers.image.revision"] == commit
    assert labels["org.opencontainers.image.source"] == delivery.url("shop").replace("git@", "")
    assert labels["org.opencontainers.image.created"].endswith("Z")
    ssh("w1", f"docker image rm {name}")
    assert_tidy()
    run = done(delivery.playbook("builds_status", inventory=inventory()))
    assert "built" in run.text
    assert commit[:12] in run.text


@soak
def test_the_role_changes_nothing_the_second_time(shop: Developer) -> None:
    for flags in (["--check"], []):
        run = done(delivery.playbook("builders", *flags, inventory=inventory()))
        assert "changed=0" in run.text


def test_idle_builders_ask_git_alone(shop: Developer) -> None:
    """No request to the registry, no command of the engine, and little time of the processor."""
    ended(shop.git("rev-parse", "HEAD"))
    requests = "journalctl -u flotilla-registry -o cat | grep -c ' /v2/' || true"
    starts = f"systemctl show -p NRestarts,ExecMainStartTimestampMonotonic {UNIT}"
    before, first = ssh("w1", requests), ssh("w2", starts)
    engine = ssh(
        "w2", "docker events --since 1s --until 0s; cat /run/flotilla.swarm/builder.lock; date +%s"
    ).split()[-1]
    wait_until(lambda: ssh("w2", starts) != first, 30)
    second = ssh("w2", starts)
    wait_until(lambda: ssh("w2", starts) != second, 30)
    assert ssh("w1", requests) == before
    assert ssh("w2", f"docker events --since {engine} --until $(date +%s)") == ""
    command = "python3 -I /usr/local/lib/flotilla.swarm/builder.pyz"
    used = ssh("w2", f"bash -c 'TIMEFORMAT=\"%U %S\"; time {command}' 2>&1 | tail -1").split()
    print(f"an idle run takes {' + '.join(used)} s of the processor")
    assert sum(map(float, used)) < 1


def test_a_failed_build_is_kept_and_tried_again_only_if_somebody_asks(shop: Developer) -> None:
    commit = shop.commit("Break it", {"app/build.sh": "/bin/busybox echo it breaks here; exit 7\n"})
    build = ended(commit, state="failed")
    assert "returned a non-zero code: 7" in build["cause"]
    assert builds_of(commit) == [build["builder"]]
    run = delivery.playbook("builds_status", inventory=inventory())
    assert run.code == 2
    assert "non-zero code: 7" in run.text
    run = delivery.playbook("builds_status", inventory=inventory(), swarm_builds_format="json")
    report = json.loads(next(line for line in run.text.splitlines() if line.startswith("{")))
    assert report["wrong"] == ["shop"]
    assert report["sources"][0]["commit"] == commit
    # Nobody has tried it again, and the latest image is that of the commit before.
    assert len(builds_of(commit)) == 1
    assert_tidy()
    check = done(delivery.playbook("build", "--check", inventory=inventory(), source="shop"))
    assert f"+ build  {commit[:12]}" in check.text
    assert len(builds_of(commit)) == 1
    run = delivery.playbook("build", inventory=inventory(), source="shop")
    assert run.code == 2
    assert "| it breaks here" in run.text
    assert len(builds_of(commit)) == 2
    wrong = delivery.playbook("build", inventory=inventory(), source="shoe")
    assert wrong.code == 2
    assert "there is no such source. The sources are shop" in wrong.text


def test_an_image_that_fails_its_test_is_not_pushed(shop: Developer) -> None:
    commit = shop.commit("Break the test", {"app/build.sh": APP["app/build.sh"], "app/word": None})
    build = ended(commit, state="failed")
    assert build["cause"] == "the test command ended with code 1"
    assert commit[:12] not in tags()
    assert_tidy()
    commit = shop.commit("Repair it", {"app/word": "three\n"})
    ended(commit)
    assert commit[:12] in tags()


def tags() -> str:
    """The tags of the image, as the registry's folder has them."""
    return ssh(
        "w1", "ls /var/lib/docker-registry/docker/registry/v2/repositories/shop/_manifests/tags"
    )


def who_begins(step: str, commit: str) -> str:
    """Wait until a builder begins a step; the builder."""
    line = f"shop: {step} of commit {commit[:12]}"
    read = f"journalctl -u {UNIT} -o cat -n 50"
    return str(
        wait_until(lambda: next((h for h in BUILDERS if line in ssh(h, read)), ""), 240, 0.3)
    )


def killed_at(step: str, shop: Developer, word: str) -> str:
    """Kill the run of the first builder with kill -9 at the beginning of a step; the commit, which is built all the same."""
    commit = shop.commit(f"Sell {word}", {"app/word": f"{word}\n"})
    host = who_begins(step, commit)
    ssh(host, f"sleep 0.{len(word)}; systemctl kill --signal=KILL {UNIT}")
    build = ended(commit)
    assert build["builder"] == host
    assert_tidy()
    return commit


@pytest.mark.parametrize("step", ["build", pytest.param("push", marks=soak)])
def test_a_killed_run_is_finished_by_the_next_one(shop: Developer, step: str) -> None:
    killed_at(step, shop, f"{step}-cups")


@soak
@pytest.mark.parametrize("step", ["fetch", "checkout", "build", "test", "push"] * 2)
def test_many_kills(shop: Developer, step: str) -> None:
    killed_at(step, shop, f"{step}-{time.time_ns() % 1000}")


@soak
def test_a_builder_without_room_is_replaced_by_the_next_one(shop: Developer) -> None:
    first = ended(shop.git("rev-parse", "HEAD"))["builder"]
    other = next(host for host in BUILDERS if host != first)
    ssh(
        first,
        f"systemctl stop {UNIT}.timer {UNIT}; mount -t tmpfs -o size=64m tmpfs {STATE_DIR}; systemctl start {UNIT}.timer",
    )
    try:
        commit = shop.commit("Sell saucers", {"app/word": "saucers\n"})
        wait_until(lambda: row(first).get("state") == "error", 60)
        assert "MB free, and a build needs" in row(first)["cause"]
        build = ended(commit)
        assert build["builder"] == other
        assert builds_of(commit) == [other]
    finally:
        ssh(
            first,
            f"systemctl stop {UNIT}.timer {UNIT}; umount {STATE_DIR}; systemctl start {UNIT}.timer",
        )
    ended(commit)
    assert builds_of(commit) == [other]


@soak
def test_the_registry_and_git_can_be_away(shop: Developer) -> None:
    ssh("w1", "systemctl stop flotilla-registry")
    commit = shop.commit("Sell spoons", {"app/word": "spoons\n"})
    first = wait_until(
        lambda: next((h for h in BUILDERS if row(h).get("state") == "error"), ""), 60
    )
    assert "Could not use the registry" in row(first)["cause"]
    repository = f"{delivery.GIT_ROOT}/shop.git"
    ssh("w1", f"systemctl start flotilla-registry; mv {repository} {repository}.away")
    wait_until(
        lambda: all("Could not ask shop" in row(host).get("cause", "") for host in BUILDERS), 60
    )
    ssh("w1", f"mv {repository}.away {repository}")
    ended(commit)
    # The branch goes back to the commit before, by force.
    shop.git("reset", "-q", "--hard", "HEAD~1")
    shop.git("push", "-q", "--force", "origin", "HEAD:main")
    ended(shop.git("rev-parse", "HEAD"))
    assert_tidy()


@soak
def test_a_registry_that_goes_away_during_a_push_gets_the_image_later(shop: Developer) -> None:
    uploads = "find /var/lib/docker-registry -path '*/shop/_uploads/*' -name data -size +1M"
    commit = shop.commit(
        "Sell wardrobes", {"app/word": "wardrobes\n", "app/large": os.urandom(150_000_000)}
    )
    host = who_begins("push", commit)
    wait_until(lambda: ssh("w1", uploads).strip(), 60, 0.3)
    ssh("w1", "systemctl kill -s KILL flotilla-registry; systemctl stop flotilla-registry")
    assert ssh("w1", uploads).strip(), "the push was over"
    assert commit[:12] not in tags()
    try:
        wait_until(lambda: row(host).get("state") == "error", 120)
        print(row(host)["cause"])
    finally:
        ssh("w1", "systemctl start flotilla-registry")
    build = ended(commit)
    assert ssh("w1", f"docker run --rm {REGISTRY}/shop@{build['digest']}") == "wardrobes\n"
    shop.commit("Sell no wardrobes", {"app/large": None})
    ended(shop.git("rev-parse", "HEAD"))
    assert_tidy()


@soak
def test_sources_of_a_repository(shop: Developer) -> None:
    """Each source has its end, and none stops another one."""
    sources = Developer("sources")
    main = shop.git("rev-parse", "HEAD")
    hog = {"app/build.sh": "/bin/busybox dd if=/dev/zero of=/dev/null bs=200M count=1\n"}
    for branch, files in {"hog": hog, "slow": {"app/test.sh": "/bin/busybox sleep 100\n"}}.items():
        shop.write(files)
        shop.git("commit", "-q", "-a", "-m", branch)
        shop.git("push", "-q", "--force", "origin", f"HEAD:{branch}")
        shop.git("reset", "-q", "--hard", main)
    (shop.tree / "out").symlink_to("/etc")
    shop.git("add", "-A")
    shop.git("commit", "-q", "-m", "A link")
    shop.git("push", "-q", "--force", "origin", "HEAD:link")
    shop.git("reset", "-q", "--hard", main)
    for tag in ("v1.9.0", "v1.10.0", "v1.10.0-rc.1"):
        shop.git("tag", "-f", "-a", "-m", tag, tag)
    shop.git("push", "-q", "--force", "origin", "--tags")

    def source(name: str, **more: Any) -> dict[str, Any]:
        return {
            **SOURCE,
            "name": name,
            "image": f"{REGISTRY}/{name}",
            "tags": ["{commit}"],
            "test": None,
            **more,
        }

    no_network = [
        "/bin/busybox",
        "sh",
        "-c",
        'test -z "$(/bin/busybox ip -o address show scope global)"',
    ]
    document = [
        source("tagged", tag_pattern="v*", tags=["{version}"], test=no_network),
        source("narrow", paths=["app", "Dockerfile"]),
        source("hog", branch="hog", memory_mb=64),
        source("slow", branch="slow", timeout=20, test=SOURCE["test"]),
        source("link", branch="link", context="out"),
        source("huge", size_mb=1),
        source("arm", platforms=["linux/arm64"]),
        source("gone", branch="gone"),
        source("bad", timeout=0),
    ]
    sources.commit("Sources", {"sources.yml": yaml.safe_dump({"sources": document})})
    done(
        delivery.playbook(
            "builders", inventory=inventory(swarm_builder_sources_repository="sources")
        )
    )
    expected = {
        "tagged": ("built", ""),
        "narrow": ("built", ""),
        "hog": ("failed", "code: 137 (killed; memory_mb is 64)"),
        "slow": ("failed", "the test did not end within 20 s"),
        "link": ("failed", "context out leads out of the repository"),
        "huge": ("failed", "size_mb is 1"),
        "arm": ("error", "needs buildx"),
        "gone": ("error", "has no branch gone"),
        "bad": ("invalid", "timeout is"),
    }

    def fits(host: str) -> bool:
        found = rows(host)
        return all(
            (each := found.get(name) or {}).get("state") == state and cause in each["cause"]
            for name, (state, cause) in expected.items()
        )

    wait_until(lambda: any(map(fits, BUILDERS)), 480)
    assert row("w1", "tagged")["build"]["image"] == f"{REGISTRY}/tagged:1.10.0"
    commit = shop.commit("Describe it", {"README": "Teapots\n"})
    narrow = ended(commit, "narrow", "unchanged")
    assert narrow["image"].endswith(main[:12])
    run = delivery.playbook("builds_status", inventory=inventory())
    assert run.code == 2
    for name, (state, _cause) in expected.items():
        assert name == "narrow" or any(
            line.split()[:2] == [name, state] for line in run.text.splitlines()
        ), run.text
    done(delivery.playbook("builders", inventory=inventory()))
    wait_until(lambda: all(set(rows(host)) == {"shop"} for host in BUILDERS), 60)
    assert not ssh("w2", f"docker image ls -q {REGISTRY}/narrow").split()
    ended(commit)
    assert_tidy()


@soak
def test_an_image_for_two_platforms(shop: Developer) -> None:
    """The registry gets an index, from which each host pulls the image for its platform. Debian has buildx from 13 on."""
    if "docker-buildx" not in ssh("w1", "apt-get -qq update; apt-cache pkgnames docker-buildx"):
        pytest.skip("this suite has no docker-buildx")
    for host in BUILDERS:
        ssh(host, "apt-get -qq install -y docker-buildx > /dev/null")
    platforms = ["linux/amd64", "linux/arm64"]
    image = f"{REGISTRY}/two"
    source = {**SOURCE, "name": "two", "image": image, "platforms": platforms, "tags": ["{commit}"]}
    plain = "FROM scratch\nCOPY busybox /bin/busybox\nCOPY app /app\n"
    source |= {"dockerfile": "Plain", "args": {}, "test": ["/bin/busybox", "test", "-e", "/app"]}
    shop.commit("For two platforms", {"Plain": plain})
    sources = [{**SOURCE, "image": f"{REGISTRY}/shop"}, source]
    done(delivery.playbook("builders", inventory=inventory(swarm_builder_sources=sources)))
    commit = shop.git("rev-parse", "HEAD")
    ended(commit, "two")
    index = json.loads(ssh("w1", f"docker manifest inspect {image}:{commit[:12]}"))
    found = {each["platform"]["architecture"]: each["digest"] for each in index["manifests"]}
    assert sorted(found) == ["amd64", "arm64"]
    assert found["amd64"] != found["arm64"]
    for architecture, digest in found.items():
        name = f"{image}@{digest}"
        shown = "docker image inspect --format '{{.Architecture}}'"
        assert (
            ssh("w1", f"docker pull -q {name} > /dev/null; {shown} {name}").strip() == architecture
        )
        ssh("w1", f"docker image rm {name} > /dev/null")
    done(delivery.playbook("builders", inventory=inventory()))
    ended(commit)
    assert_tidy()


def test_no_credential_is_anywhere(shop: Developer) -> None:
    key = delivery.ssh_key("builder").read_text().splitlines()[2]
    secrets = [key, *delivery.PASSWORDS.values()]
    for host in BUILDERS:
        for secret in secrets:
            assert secret not in ssh(host, "journalctl -o cat --no-pager")
            found = ssh(
                host, f"grep -rlF -e '{secret}' {STATE_DIR} /tmp /root/.ansible 2>/dev/null || true"
            )
            assert not found, found
        modes = ssh(
            host, "find /etc/flotilla.swarm/builder* -type f -printf '%m %u\\n' | sort -u"
        ).split("\n")
        assert [mode for mode in modes if mode] == ["600 root"]
