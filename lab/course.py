# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The course: lessons in docs/course, and guides, which are other pages of docs with commands, on the hosts of a lab.

    course.py lesson N     prepare the lab for a lesson, and print where to follow it
    course.py run [N ...]  do all lessons and guides, or some, and hold what commands print against the text
    course.py down         remove the labs of the course

A lesson is a Markdown file. So is a guide, which is chosen by the name of its file, for example `get_started`. A block `yaml` or `python`
that begins with a comment such as `# hosts.yml` is that file. A block `console` has commands after `$ `, and below each what it prints. There, `...`
stands for anything in a line, and a line of only `...` for any lines. A command without a text below it must only succeed. Nothing runs a
block after `<!-- not run: why -->`, and the tests of a scenario run one after `<!-- run by scenario: NAME -->`. A command that no reader
needs, because it only provides what a block is about, is in `<!-- first: COMMAND -->` before that block.

The comment `<!-- start: bare -->` says that no host is in a swarm at the beginning of a page, `<!-- start: swarm -->` that all are, and
`<!-- start: shop -->` that the swarm runs a stack, `shop`. A page outside of docs/course that has such a comment is a guide.
With `<!-- hosts: kernels -->`, a lesson is on a lab of its own: three hosts with kernels of their own (LAB_KIND=uml).
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from connect import ssh_options
from documents import blocks
from settings import TOP, Host, Lab, LabError, in_parallel, read_lab, run, say

LESSONS = TOP / "docs" / "course" / "en"
START = re.compile(r"<!-- start: (bare|swarm|shop) -->")
# Seconds that a command may take.
LIMIT = 900
# The lab of lessons about what the kernel under containers may lack.
KERNELS = {"LAB_KIND": "uml", "LAB_MANAGERS": "3", "LAB_WORKERS": "0"}
# Remove the stacks and services of another lesson, which would be in what the commands print.
CLEAR = (
    "docker stack ls --format '{{.Name}}' | xargs -r docker stack rm; docker service ls -q | xargs -r docker service rm; "
    "docker config ls -q -f name=flotilla.gitops | xargs -r docker config rm; "
    # A stack of the same name must not find a network that is about to go.
    "for n in $(seq 60); do docker network ls -q -f label=com.docker.stack.namespace | grep -q . || break; sleep 1; done"
)
# An engine that was stopped can leave the interface of a network that is removed meanwhile. The next network with its number then
# fails there with "error creating vxlan interface: file exists".
LEFTOVERS = "ip -o link show type vxlan | grep -o 'vx-[^:@]*' | xargs -r -n 1 ip link delete"
# The user of Get started, who becomes root with sudo.
USER = (
    "id deploy || useradd --create-home --shell /bin/bash deploy; mkdir -p /home/deploy/.ssh; "
    "cp /root/.ssh/authorized_keys /home/deploy/.ssh/; chown -R deploy: /home/deploy/.ssh; "
    'echo "deploy ALL=(ALL) NOPASSWD: ALL" > /etc/sudoers.d/deploy'
)
# What would deploy them again, or build.
WATCHERS = "systemctl disable --now flotilla-swarm-gitops.timer flotilla-swarm-gitops.service flotilla-swarm-builder.timer flotilla-swarm-builder.service"
# What runs at the beginning of guides about services.
SHOP = {
    "stacks/shop.yml": """---
version: "3.8"
services:
  web:
    image: registry.lab:5000/hello:1
    deploy:
      endpoint_mode: dnsrr
      replicas: 4
      update_config: {order: start-first, failure_action: rollback}
""",
    "group_vars/swarm_managers.yml": """---
swarm_stack_stacks:
  - {name: shop, compose: [stacks/shop.yml]}
""",
}
# The connection, which is not what a lesson is about.
VARIABLES = """---
ansible_ssh_private_key_file: {state}/ssh_key
ansible_ssh_common_args: {options}
ansible_python_interpreter: /usr/bin/python3
docker_engine_source: distro
docker_engine_registry_ca_certificates: {{"registry.lab:5000": {state}/registry/ca.crt}}
swarm_stack_settle: 0
"""
ENVIRONMENT = """# . ./env.sh, then follow a lesson. `on m1 COMMAND` runs a command on a host of the lab.
export PATH={top}/.venv/bin:$PATH ANSIBLE_CONFIG={top}/ansible.cfg ANSIBLE_COLLECTIONS_PATH={top}/.cache/collections
export ANSIBLE_REMOTE_USER=root
declare -A ADDRESS=({addresses})
on() {{ ssh -n -i {state}/ssh_key {options} "root@${{ADDRESS[$1]}}" "$(printf '%q ' "${{@:2}}")"; }}
"""


@dataclass(frozen=True)
class Command:
    text: str
    expected: tuple[str, ...]


@dataclass(frozen=True)
class File:
    name: str
    text: str


@dataclass(frozen=True)
class Lesson:
    path: Path
    title: str
    start: str
    own_kernels: bool
    steps: tuple[Command | File, ...]


class Mismatch(Exception):
    """A command does not print what the lesson says."""


# --- what a lesson says: pure -----------------------------------------------------------------------


def parse_lesson(path: Path) -> Lesson:
    text = path.read_text(encoding="utf-8")
    start = START.search(text)
    title = re.search(r"^# (.+)$", text, re.MULTILINE)
    if not start or not title:
        raise LabError(f"{path.name} has no title, or no comment such as <!-- start: swarm -->.")
    own_kernels = "<!-- hosts: kernels -->" in text
    return Lesson(path, title[1], start[1], own_kernels, tuple(_steps(path)))


def _steps(path: Path) -> Iterator[Command | File]:
    for block in blocks(path):
        if block.first:
            yield Command(block.first, ())
        name = re.match(r"# (\S+\.(?:yml|py))\n", block.text)
        if block.kind in ("yaml", "python") and name:
            yield File(name[1], block.text)
        if block.kind != "console" or block.reason or block.scenario:
            continue
        joined = re.sub(r"\\\n\s*", "", block.text)
        for part in re.split(r"^\$ ", joined, flags=re.MULTILINE)[1:]:
            command, *expected = part.splitlines()
            yield Command(command, tuple(line for line in expected if line.strip()))


def differs(expected: Sequence[str], printed: str) -> str:
    """The first line of a lesson that is not printed; empty if all are, in their order."""
    if not expected:
        return ""
    lines = [_plain(line) for line in printed.splitlines() if line.strip()]
    place, anywhere = 0, False
    for line in map(_plain, expected):
        if line == "...":
            anywhere = True
            continue
        pattern = re.compile(re.escape(line).replace(r"\.\.\.", ".*"))
        found = [at for at in range(place, len(lines)) if pattern.fullmatch(lines[at])]
        if not found or (found[0] != place and not anywhere):
            return line
        place, anywhere = found[0] + 1, False
    return "" if anywhere or place == len(lines) else f"nothing more, but there is: {lines[place]}"


def _plain(line: str) -> str:
    return " ".join(re.sub(r"\x1b\[[0-9;]*m", "", line).split())


# --- the lab ----------------------------------------------------------------------------------------


@contextmanager
def hosts(own_kernels: bool) -> Iterator[None]:
    """While the block runs, the environment is that of the lab for a lesson."""
    before = dict(os.environ)
    if own_kernels:
        os.environ.update(KERNELS, LAB_PREFIX=f"{before.get('LAB_PREFIX') or 'course'}-kernels")
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def lab_command(name: str) -> None:
    run((sys.executable, str(TOP / "lab" / "lab.py"), name))


def swarm_of(lab: Lab) -> str:
    """The inventory that a lesson with "start: swarm" begins with."""
    lines = ["all:", "  children:"]
    for group in dict.fromkeys(host.group for host in lab.hosts):
        lines += [f"    {group}:", "      hosts:"]
        lines += [
            f"        {host.name}: {{swarm_zone: {host.zone}}}"
            for host in lab.hosts
            if host.group == group
        ]
    return "\n".join([*lines, ""])


def folder_of(lab: Lab) -> Path:
    """An otherwise empty folder with what a lesson needs beside its own files. A shell can be in it, so it is not made again."""
    folder = lab.state / "course"
    for path in folder.glob("*"):
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()
    for name in ("group_vars", "host_vars"):
        (folder / name).mkdir(parents=True)
    options = shlex.join(ssh_options(lab))
    (folder / "group_vars" / "all.yml").write_text(
        VARIABLES.format(state=lab.state, options=options)
    )
    for host in lab.hosts:
        (folder / "host_vars" / f"{host.name}.yml").write_text(
            f"---\nansible_host: {host.address}\n"
        )
    addresses = " ".join(f"[{host.name}]={host.address}" for host in lab.hosts)
    # Guides say "inventory" for any inventory.
    (folder / "inventory").symlink_to("hosts.yml")
    (folder / "env.sh").write_text(
        ENVIRONMENT.format(top=TOP, state=lab.state, options=options, addresses=addresses)
    )
    return folder


def shell(folder: Path, command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", "-c", f". ./env.sh; {command}"],
        cwd=folder,
        env={**os.environ, "ANSIBLE_NOCOLOR": "1", "ANSIBLE_FORCE_COLOR": "0"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=LIMIT,
        check=False,
    )


def write(folder: Path, name: str, text: str) -> None:
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(text, encoding="utf-8")


def prepare(lab: Lab, lesson: Lesson) -> Path:
    """Bring the lab into the state with which a lesson begins, whatever an earlier one has left. Returns the folder of the lesson."""
    folder = folder_of(lab)
    bare = lesson.start == "bare"

    def reset(host: Host) -> None:
        leave = f"; docker swarm leave --force; {LEFTOVERS}" if bare else ""
        script = f"{USER}; {WATCHERS}; systemctl start docker{leave}"
        shell(folder, f"on {host.name} sh -c {shlex.quote(script)}")

    in_parallel(reset, lab.hosts)
    if bare:
        return folder
    (folder / "hosts.yml").write_text(swarm_of(lab))
    if lesson.start == "shop":
        for name, text in SHOP.items():
            write(folder, name, text)
    # First the stacks: without the labels of their lesson they would have no node, and the verdict would be bad.
    for command in (
        f"on m1 sh -c {shlex.quote(f'docker node ls > /dev/null 2>&1 || exit 0; {CLEAR}')}",
        *(f"on {host.name} sh -c {shlex.quote(LEFTOVERS)}" for host in lab.hosts),
        "ansible-playbook -i hosts.yml flotilla.swarm.site -e swarm_remove_unlisted=true -e swarm_availability=active",
    ):
        done = shell(folder, command)
        if done.returncode:
            raise LabError(f"The lab is not ready for {lesson.path.stem}:\n{done.stdout}")
    return folder


def follow(folder: Path, lesson: Lesson) -> int:
    """Do what a lesson says; the number of its commands. Raises Mismatch."""
    count = 0
    for step in lesson.steps:
        if isinstance(step, File):
            write(folder, step.name, step.text)
            continue
        done = shell(folder, step.text)
        missing = differs(step.expected, done.stdout)
        count += 1
        if done.returncode or missing:
            why = f"the text says: {missing}" if missing else f"exit code {done.returncode}"
            raise Mismatch(f"$ {step.text}\n{why}\nIt printed:\n{done.stdout}")
    return count


def guides() -> list[Path]:
    """The pages in English, outside of the course, that this module can follow; those with a bare lab first."""
    docs = TOP / "docs"
    found = []
    for path in sorted(docs.rglob("*.md")):
        start = START.search(path.read_text(encoding="utf-8"))
        if start and path.relative_to(docs).parts[0] not in ("course", "ko"):
            found.append((start[1] != "bare", path))
    return [path for _later, path in sorted(found)]


def lessons(numbers: Sequence[str]) -> list[Lesson]:
    paths = {str(int(path.name[:2])): path for path in sorted(LESSONS.glob("[0-9][0-9]-*.md"))}
    paths.update({path.stem: path for path in guides()})
    chosen = [path for name, path in paths.items() if not numbers or name in numbers]
    if len(chosen) < len(numbers):
        raise LabError(f"There is no such lesson: choose from {', '.join(paths)}.")
    return [parse_lesson(path) for path in chosen]


def do_lesson(lesson: Lesson) -> bool:
    """Do a lesson, and say how it went; whether it prints what it says."""
    started = time.monotonic()
    try:
        with hosts(lesson.own_kernels):
            lab_command("up")
            count = follow(prepare(read_lab(), lesson), lesson)
            if lesson.own_kernels and os.environ.get("KEEP") != "1":
                # Such hosts are never idle, and slow the next lessons down.
                lab_command("down")
    except (Mismatch, LabError, subprocess.TimeoutExpired) as error:
        say(f"FAILED  {lesson.path.stem}: {error}")
        return False
    say(f"ok      {lesson.path.stem}: {count} commands, {time.monotonic() - started:.0f} s")
    return True


def main(argv: Sequence[str]) -> int:
    try:
        command, numbers = argv[0] if argv else "", argv[1:]
        if command == "down":
            for own_kernels in (True, False):
                with hosts(own_kernels):
                    lab_command("down")
            return 0
        if command not in ("lesson", "run") or (command == "lesson" and len(numbers) != 1):
            say((__doc__ or "").strip())
            return 2
        chosen = lessons(numbers)
        if command == "lesson":
            with hosts(chosen[0].own_kernels):
                lab_command("up")
                folder = prepare(read_lab(), chosen[0])
            say(f"ready   {chosen[0].title}: {chosen[0].path.relative_to(TOP)}")
            say(f"type    cd {folder.relative_to(TOP)} && . ./env.sh")
            return 0
        good = sum([do_lesson(lesson) for lesson in chosen])
        say(f"course  {good} of {len(chosen)} lessons and guides print what they say")
        return 0 if good == len(chosen) else 1
    except (LabError, OSError) as error:
        print(f"course: {error}", file=sys.stderr, flush=True)
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
