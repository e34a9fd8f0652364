# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""Builds, tests and pushes an image with Docker's own CLI, within limits, and removes what attempts leave behind.

What is wrong with the commit raises BuildFailed, and the commit is not tried again. What is wrong with the host, the engine or the
registry raises SwarmError, and the next run tries again.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterable, Sequence

from .._common.errors import SwarmError
from .._common.waiting import Clock, poll
from .._git.repository import printable
from .._host.commands import Done, run
from .settings import STATE_DIR
from .sources import Source

# Bytes of the output of a build while it runs, and what is kept of it.
LARGEST_LOG, KEPT_LOG = 16 << 20, 1 << 20
# Seconds for a command of the engine, and for a push.
_LOCAL, _PUSH = 120.0, 900.0
_PROCESSES = 512
# Seconds until the engine has ended what it does for a command that was killed.
_SETTLES = 3.0
# Only the classic builder limits the memory of a build.
_ENVIRONMENT = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME": "/root",  # the logins of registries
    "LC_ALL": "C",
    "DOCKER_BUILDKIT": "0",
    "DOCKER_CLI_HINTS": "false",
    # The service cannot write into the home of root.
    "BUILDX_CONFIG": f"{STATE_DIR}/buildx",
}
# Of the errors of a build: a command of the Dockerfile has failed; the host, the engine or a registry has failed.
_COMMAND_FAILED = re.compile(
    r"(?:returned a non-zero code|did not complete successfully: exit code): (\d+)"
)
_NOT_THE_COMMIT = re.compile(
    r"no space left on device|cannot connect to the docker daemon|error during connect|connection refused|i/o timeout"
    r"|handshake timeout|no such host|network is unreachable|no route to host|deadline exceeded|toomanyrequests|x509:"
    r"|unexpected EOF|received unexpected HTTP status: 5|no basic auth credentials|unauthorized",
    re.IGNORECASE,
)
_STEP_IMAGE = re.compile(rb"^ ---> ([0-9a-f]{12})$", re.MULTILINE)
_KILLED = (137,)


class BuildFailed(Exception):
    """The commit cannot be built, or its test fails; the text is the cause."""


def build(
    source: Source, tree: str, labels: Iterable[str], log: str, id_file: str, platform: str = ""
) -> str:
    """Build the image of a checkout, and return its ID. The output goes to the log as it comes.

    For another platform, BuildKit builds it, which has no limit of memory.
    """
    context = _inside(tree, source.context, source.context, "context")
    dockerfile = _inside(
        tree, os.path.join(source.context, source.dockerfile), source.dockerfile, "dockerfile"
    )
    if os.path.islink(os.path.join(context, ".dockerignore")):
        raise BuildFailed(".dockerignore is a symbolic link; replace it with a file")
    memory = f"{source.memory_mb}m"
    if platform:
        words = ["docker", "buildx", "build", "--load", "--progress=plain", "--provenance=false", f"--platform={platform}"]  # fmt: skip
    else:
        words = ["docker", "build", "--force-rm", f"--memory={memory}", f"--memory-swap={memory}"]
    words += [f"--iidfile={id_file}", f"--file={dockerfile}", *(f"--label={label}" for label in labels),
              *(f"--build-arg={name}={value}" for name, value in source.args)]  # fmt: skip
    if source.target:
        words.append(f"--target={source.target}")
    done = _logged([*words, "--", context], log, source.timeout)
    if not done.ok:
        raise _failure(done, source, "the build")
    with open(id_file, encoding="ascii") as file:
        return file.read().strip()


def _inside(tree: str, path: str, name: str, what: str) -> str:
    """The real path of what a source names, which a symbolic link must not lead out of the checkout."""
    root, found = os.path.realpath(tree), os.path.realpath(os.path.join(tree, path))
    if os.path.commonpath([root, found]) != root:
        raise BuildFailed(f"{what} {name} leads out of the repository")
    exists = os.path.isdir(found) if what == "context" else os.path.isfile(found)
    if not exists:
        raise BuildFailed(f"the commit has no {what} {name}")
    return found


def test(source: Source, image: str, log: str) -> None:
    """Run the test command in a container of the image, without a network unless the source asks for one."""
    memory = f"{source.memory_mb}m"
    words = ["docker", "run", "--rm", f"--name={container_of(source.name)}", f"--memory={memory}", f"--memory-swap={memory}",
             f"--pids-limit={_PROCESSES}", "--log-driver=none", "--security-opt=no-new-privileges", "--init",
             f"--network={'bridge' if source.test_network else 'none'}", f"--entrypoint={source.test[0]}"]  # fmt: skip
    try:
        done = _logged([*words, image, *source.test[1:]], log, source.timeout)
    finally:
        # The container outlives a command that a limit has ended.
        remove_container(source.name)
    if not done.ok:
        raise _failure(done, source, "the test")


def container_of(source: str) -> str:
    """The name of the container in which a source is tested."""
    return f"flotilla-test-{source}"


def push(image: str, references: Sequence[str], log: str) -> None:
    """Give the image its names and push them. Raises push_failed."""
    for reference in references:
        _must(["image", "tag", image, reference], f"name the image {reference}")
        done = _logged(["docker", "image", "push", "--", reference], log, _PUSH)
        if not done.ok:
            raise SwarmError("push_failed", f"Could not push {reference}: {printable(done.why)}.")


def exists(image: str) -> bool:
    """Whether the engine has an image."""
    return _docker(["image", "inspect", "--format={{.Id}}", "--", image]).ok


def check_engine() -> None:
    """Raise engine_unreachable or no_cli unless the engine answers."""
    _must(["version", "--format={{.Server.Version}}"], "use the engine of this host")


def own_platform() -> str:
    """The platform whose containers this host runs."""
    done = _docker(["version", "--format={{.Server.Os}}/{{.Server.Arch}}"])
    return done.output.decode(errors="replace").strip()


def has_buildx() -> bool:
    """Whether the CLI has buildx, which builds for other platforms."""
    return _docker(["buildx", "version"]).ok


# What attempts leave behind


def step_images(log: str) -> list[str]:
    """The images of the steps in the log of a build, the last one first: the beginnings of their IDs."""
    try:
        with open(log, "rb") as file:
            found = _STEP_IMAGE.findall(file.read(LARGEST_LOG))
    except OSError:
        return []
    return list(dict.fromkeys(each.decode() for each in reversed(found)))


def remove_images(
    images: Iterable[str], keep: Collection[str] = (), clock: Clock | None = None
) -> None:
    """Remove images by ID that have no name, except these. What a container or another image uses stays.

    The engine can be about to complete a step of a build whose command was killed. The image of that step is in no log. It keeps the
    one before it from being removed, and is found by that.
    """
    asked = [image for image in images if not _has(keep, image)]
    if asked:
        poll(lambda: _removed(asked, keep), bool, _SETTLES, 0.5, clock)


def _removed(asked: Collection[str], keep: Collection[str]) -> bool:
    """Remove what can be removed now; whether nothing is left."""
    heads = _nameless()
    if heads:
        done = _docker(["image", "inspect", "--format={{.Id}} {{.Parent}}", "--", *heads])
        for line in done.output.decode(errors="replace").splitlines():
            image, _space, parent = line.partition(" ")
            if not _has(keep, image) and (_has(asked, image) or _has(asked, parent)):
                _docker(["image", "rm", "--", image])
    left = _nameless("--all")
    return not any(_has(left, image) for image in asked)


def _nameless(*more: str) -> list[str]:
    done = _docker(["image", "ls", "--quiet", "--no-trunc", "--filter=dangling=true", *more])
    return done.output.decode(errors="replace").split()


def _has(images: Iterable[str], image: str) -> bool:
    return any(_same(image, other) for other in images)


def _same(image: str, other: str) -> bool:
    one, two = image.rpartition(":")[2], other.rpartition(":")[2]
    return bool(one and two) and (one.startswith(two) or two.startswith(one))


def remove_names(references: Iterable[str]) -> None:
    """Remove names of images, and with its last name an image that no container uses."""
    for reference in references:
        _docker(["image", "rm", "--", reference])


def remove_container(source: str) -> None:
    """Remove the container of a test, if it is there."""
    _docker(["container", "rm", "--force", "--volumes", "--", container_of(source)])


# Commands


def _failure(done: Done, source: Source, what: str) -> BuildFailed | SwarmError:
    # An engine that stops ends what runs in it.
    check_engine()
    lines = [line.strip() for line in done.errors.splitlines() if line.strip()]
    last = printable(lines[-1]) if lines else f"it ended with code {done.code}"
    command = _COMMAND_FAILED.search(last)
    code = int(command.group(1)) if command else done.code
    if done.limit == "time":
        return BuildFailed(f"{what} did not end within {source.timeout} s; raise timeout")
    if done.limit == "output" or done.code == -25:
        return BuildFailed(f"{what} has more than {LARGEST_LOG >> 20} MB of output")
    if done.code < 0:
        return SwarmError(
            "engine_error",
            f"Could not build {source.name}: signal {-done.code} has ended the docker command.",
        )
    if what == "the test":
        # 125: the engine could not start it.
        if done.code == 125 and _NOT_THE_COMMIT.search(last):
            return SwarmError("engine_error", f"Could not test {source.name}: {last}.")
        last = f"the test command ended with code {code}"
    elif not command and _NOT_THE_COMMIT.search(last):
        return SwarmError("engine_error", f"Could not build {source.name}: {last}.")
    if code in _KILLED:
        last += f" (killed; memory_mb is {source.memory_mb})"
    return BuildFailed(last)


def _logged(words: Sequence[str], log: str, seconds: float) -> Done:
    """A command whose output goes to the log. Its errors are at the end of the log as well."""
    done = _run(["sh", "-c", 'exec "$@" >> "$0"', log, *words], seconds, LARGEST_LOG)
    with open(log, "ab") as file:
        file.write(done.errors.encode(errors="replace"))
    if os.path.getsize(log) >= LARGEST_LOG:
        return Done(done.code or 1, b"", done.errors, done.limit or "output")
    return done


def _docker(words: Sequence[str]) -> Done:
    return _run(["docker", *words], _LOCAL, 0)


def _must(words: Sequence[str], attempt: str) -> None:
    done = _docker(words)
    if not done.ok:
        raise SwarmError("engine_unreachable", f"Could not {attempt}: {printable(done.why)}.")


def _run(words: Sequence[str], seconds: float, largest_file: int) -> Done:
    try:
        return run(words, seconds, environment=_ENVIRONMENT, folder="/", largest_file=largest_file)
    except FileNotFoundError:
        raise SwarmError(
            "no_cli",
            "Could not build: the docker command is missing on this host. Install the engine with its CLI.",
        ) from None
