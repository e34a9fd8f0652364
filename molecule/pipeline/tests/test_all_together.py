# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The path of one commit: from the source of an application to its running tasks, by itself, and a notification at the end."""

from __future__ import annotations

import json
import re
import shlex
import time
from collections.abc import Iterator

import delivery
import pytest
from delivery import SOAK, Developer, done, drive, journal, playbook, registry, soak

PORT = 8443
# Accepts what a webhook gets, over TLS.
RECEIVER = """
import http.server, ssl, sys
class Hook(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        with open("/run/hook.jsonl", "ab") as file:
            file.write(body + b"\\n")
        self.send_response(204)
        self.end_headers()
server = http.server.HTTPServer(("", int(sys.argv[1])), Hook)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(*sys.argv[2:4])
server.socket = context.wrap_socket(server.socket, server_side=True)
server.serve_forever()
"""
DOCKERFILE = """\
FROM scratch
COPY busybox /bin/busybox
COPY page /www/index.html
CMD ["/bin/busybox", "httpd", "-f", "-p", "8080", "-h", "/www"]
"""


def compose(tag: str) -> str:
    return f"""\
version: "3.8"
services:
  web:
    image: {registry()}/shop:{tag}  # the pipeline sets the tag
    deploy:
      endpoint_mode: dnsrr
      replicas: 3
      update_config: {{order: start-first, monitor: 2s, delay: 0s}}
"""


APP = """\
images:
  - image: {registry}/shop
    pattern: '(?P<order>[0-9]{{8}}-[0-9]{{6}})-[0-9a-f]+'
    order: name
"""


@pytest.fixture(scope="module")
def cluster() -> Iterator[tuple[Developer, Developer]]:
    """site.yml builds everything that the inventory asks for: the registry, the swarm, the builder and GitOps."""
    delivery.serve_git("developer", "builder", "gitops")
    source, stacks = Developer("source"), Developer("stacks")
    stacks.commit("Nothing yet", {"README": "What runs on the swarm.\n"})
    source.write({"Dockerfile": DOCKERFILE, "busybox": delivery.busybox(), "page": "zero\n"})
    (source.tree / "busybox").chmod(0o755)
    access = {"known_hosts": delivery.known_hosts()}
    hook = receive()
    delivery.write_inventory(
        registry_users=delivery.users(),
        swarm_builder_notify=hook,
        swarm_gitops_notify=hook,
        swarm_builder_repositories=[
            {
                "name": "source",
                "url": delivery.url("source"),
                "deploy_key": delivery.ssh_key("builder").read_text(),
                **access,
            }
        ],
        swarm_builder_sources=[
            {
                "name": "shop",
                "repository": "source",
                "image": f"{registry()}/shop",
                "tags": ["{date}-{commit}"],
                "test": ["/bin/busybox", "grep", "-v", "broken", "/www/index.html"],
            }
        ],
        swarm_builder_interval=5,
        swarm_gitops_repositories=[
            {
                "name": "stacks",
                "url": delivery.url("stacks"),
                "deploy_key": delivery.ssh_key("gitops").read_text(),
                **access,
            }
        ],
        swarm_gitops_interval=5,
        swarm_gitops_image_interval=10,
    )
    if SOAK:
        done(playbook("site", "--check"))
    done(playbook("site"))
    again = done(playbook("site"))
    assert again.changed == 0, again.text[-3000:]
    yield source, stacks
    # The next drills use the registry and the git server.
    stop = f"systemctl stop {delivery.GITOPS_TIMER} {delivery.GITOPS}"
    drive.on_each(drive.MANAGERS, lambda host: drive.ssh(host, stop))
    drive.ssh(delivery.BUILDER, "systemctl disable --now flotilla-swarm-builder.timer")
    drive.ssh(
        "m1",
        "docker stack rm shop > /dev/null; docker config rm $(docker config ls -q -f name=flotilla.gitops) > /dev/null",
    )
    delivery.write_inventory(registry_users=delivery.users())
    drive.wait_until(lambda: not any(tasks_on(host) for host in delivery.nodes()))


def receive() -> dict[str, str]:
    """Start the receiver of a webhook, as a service of its host; the settings for it."""
    address = delivery.address(delivery.REGISTRY_HOST)
    certificate = drive.ssh(
        delivery.REGISTRY_HOST,
        f"""
        systemctl stop hook 2> /dev/null; rm -f /run/hook.*; cd /run
        openssl req -x509 -newkey rsa:2048 -nodes -keyout hook.key -out hook.crt -days 2 -subj /CN=hook \
            -addext subjectAltName=IP:{address} 2> /dev/null
        systemd-run --quiet --unit hook python3 -c {shlex.quote(RECEIVER)} {PORT} /run/hook.crt /run/hook.key
        cat hook.crt
        """,
    )
    return {"webhook": f"https://{address}:{PORT}/flotilla", "ca": certificate}


def notified() -> list[dict[str, str]]:
    lines = drive.ssh(delivery.REGISTRY_HOST, "cat /run/hook.jsonl 2> /dev/null; true")
    return [json.loads(line) for line in lines.splitlines()]


def tasks_on(host: str) -> list[str]:
    """The containers of the shop on a host."""
    return drive.ssh(host, "docker ps -aq -f name=shop_web").split()


def page() -> set[str]:
    """What the tasks of the shop serve."""
    script = "for id in $(docker ps -q -f name=shop_web); do docker exec $id /bin/busybox cat /www/index.html; done"
    return set(
        "".join(drive.on_each(drive.MANAGERS, lambda h: drive.ssh(h, script)).values()).split()
    )


def arrived(word: str) -> bool:
    """Whether three tasks run, and all of them with this page."""
    replicas = drive.ssh("m1", "docker service ls -f name=shop_web --format '{{.Replicas}}'")
    return replicas.strip() == "3/3" and page() == {word}


def test_a_commit_runs_on_the_swarm_by_itself(cluster: tuple[Developer, Developer]) -> None:
    source, stacks = cluster
    commit = source.commit("Open the shop", {"page": "one\n"})

    def tag() -> str:
        known = drive.ssh(delivery.BUILDER, "cat /var/lib/flotilla.swarm/builder/state.json; true")
        found = re.search(rf"shop:(\d{{8}}-\d{{6}}-{commit[:12]})", known)
        return found[1] if found else ""

    first = drive.wait_until(tag)
    files = {"shop/compose.yml": compose(first), "shop/app.yml": APP.format(registry=registry())}
    stacks.commit("Deploy the shop", files)
    drive.wait_until(lambda: arrived("one"))
    # From here on, nobody does anything but commit to the source.
    began = time.monotonic()
    times: dict[str, float] = {}

    def note(what: str) -> None:
        times.setdefault(what, round(time.monotonic() - began, 1))

    with drive.watched("m1") as looks:
        commit = source.commit("New in the shop", {"page": "two\n"})
        note("pushed")
        before = stacks.pull()
        drive.wait_until(lambda: stacks.pull() != before, 120)
        head = stacks.git("rev-parse", "HEAD")
        note("built, tested, pushed, and committed to the stacks")
        change = stacks.git("log", "-1", "--format=%an: %s")
        assert re.fullmatch(
            rf"\S.*: Update shop_web: {registry()}/shop {first} -> \d{{8}}-\d{{6}}-{commit[:12]}",
            change,
        ), change
        drive.wait_until(lambda: arrived("two"), 120)
        note("running")
        drive.wait_until(
            lambda: [n for n in notified() if (n["kind"], n["commit"]) == ("deployed", head)]
        )
        note("notified")
    print(f"{change}\n{times}")
    # The comment and everything else of the file stay.
    assert "# the pipeline sets the tag" in (stacks.tree / "shop" / "compose.yml").read_text()
    # A rolling deploy: never fewer than three tasks.
    counts = [look["shop_web"].running for look in looks if "shop_web" in look]
    assert min(counts) >= 3, counts
    status = done(playbook("gitops_status"))
    print(status.text[status.text.index("APPLICATIONS") :][:600])
    page_file = drive.STATE / "swarm.html"
    assert done(playbook("check_health", swarm_report_path=str(page_file))).verdict == "healthy"
    # What runs on the swarm is on its page too.
    (app,) = json.loads(page_file.with_suffix(".json").read_text())["applications"]
    assert (app["name"], app["sync"], app["health"]) == ("shop", "synced", "healthy")
    assert app["commit"] == head[:8]
    assert head[:8] in page_file.read_text()


def test_a_commit_that_fails_its_test_goes_no_further(
    cluster: tuple[Developer, Developer],
) -> None:
    source, stacks = cluster
    before = stacks.pull()
    commit = source.commit("It is broken", {"page": "broken\n"})
    (told,) = drive.wait_until(lambda: [n for n in notified() if n["kind"] == "build_failed"])
    print(told)
    run = playbook("builds_status")
    assert run.code == 2
    print(run.text[run.text.index("BUILDS") :][:800] if "BUILDS" in run.text else run.text[-800:])
    assert stacks.pull() == before
    assert page() == {"two"}
    assert (told["subject"], told["commit"]) == ("shop", commit)


@soak
def test_an_update_that_fails_half_way_is_made_later(cluster: tuple[Developer, Developer]) -> None:
    """The registry is away when it is asked, and the git server dies in the middle of the push."""
    source, stacks = cluster
    source.commit("It is mended", {"page": "three\n"})
    drive.wait_until(lambda: arrived("three"), 120)
    before = stacks.pull()
    drive.ssh(delivery.REGISTRY_HOST, "systemctl stop flotilla-registry.service")
    try:
        drive.wait_until(lambda: "Could not use the registry" in journal())
    finally:
        drive.ssh(delivery.REGISTRY_HOST, "systemctl start flotilla-registry.service")
    hook = f"{delivery.GIT_ROOT}/stacks.git/hooks/pre-receive"
    drive.ssh(
        delivery.GIT_HOST,
        f"""
        printf '#!/bin/sh\ntouch /tmp/receiving; exec tail -f /dev/null\n' > {hook}; chmod 755 {hook}
        """,
    )
    try:
        source.commit("New after the outage", {"page": "four\n"})
        drive.wait_until(
            lambda: drive.ssh(delivery.GIT_HOST, "ls /tmp/receiving 2> /dev/null; true")
        )
        drive.ssh(delivery.GIT_HOST, f"rm {hook} /tmp/receiving; pkill -KILL -u git")
        drive.wait_until(lambda: "Could not push" in journal())
    finally:
        drive.ssh(delivery.GIT_HOST, f"rm -f {hook} /tmp/receiving; pkill -KILL -u git; true")
    assert page() == {"three"}
    drive.wait_until(lambda: arrived("four"), 120)
    # One commit, and not two.
    assert stacks.pull() != before
    assert stacks.git("rev-parse", "HEAD~1") == before
