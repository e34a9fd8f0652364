# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""Docker's own CLI, run against the proxy."""

from __future__ import annotations

import errno
import os
import signal
import subprocess

from .._common.errors import SwarmError
from .private import without_private_paths
from .proxy import proxy
from .writes import Adjust, Decide, Run


def run_cli(
    engine_socket: str,
    arguments: list[str],
    *,
    stdin: str = "",
    environment: dict[str, str] | None = None,
    directory: str | None = None,
    forward: Decide | None = None,
    adjust: Adjust | None = None,
    timeout: float = 300.0,
    cli: str = "docker",
) -> Run:
    """Run `docker ARGUMENTS` against the proxy, for at most `timeout` seconds; without `forward` nothing is written.

    Raises too_large; that the CLI failed or timed out is in the result.
    """
    with proxy(engine_socket, forward, adjust) as (path, run):
        command = [cli, "-H", f"unix://{path}", *arguments]
        try:
            process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                env=cli_environment(environment),
                cwd=directory or "/",
                encoding="utf-8",
                errors="replace",
                start_new_session=True,
            )
        except OSError as error:
            if error.errno != errno.E2BIG:
                raise
            raise _too_large(environment or {}) from error
        try:
            run.output, _unused = process.communicate(stdin, timeout=timeout)
        except subprocess.TimeoutExpired:
            run.timed_out = True
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.communicate()
        run.returncode = process.returncode
        run.output = without_private_paths(run.output.replace(path, engine_socket))
        return run


def _too_large(environment: dict[str, str]) -> SwarmError:
    """Linux limits a variable to 128 KiB, and all of them to a quarter of the limit of a process's stack (execve(2))."""
    sizes = {name: len(f"{name}={value}".encode()) for name, value in environment.items()}
    largest = max(sizes, key=lambda name: sizes[name], default="")
    return SwarmError(
        "too_large",
        f"Could not run the Docker CLI: the variables of the Compose files have {sum(sizes.values()) // 1024} KB, most of it"
        f" in {largest}; Linux allows 128 KB for one and about 2 MB for all. Put large data into a config or a secret.",
    )


def cli_takes(command: str, option: str, cli: str = "docker") -> bool:
    """Whether the help of this CLI lists an option; raises no_cli, and timeout after 60 s."""
    try:
        answer = subprocess.run(
            [cli, *command.split(), "--help"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=cli_environment(),
            text=True,
            errors="replace",
            timeout=60,
            check=False,
        )
    except FileNotFoundError as error:
        raise SwarmError(
            "no_cli",
            "Could not run the Docker CLI: the docker command is missing on this host. The role flotilla.swarm.docker_engine"
            " installs it on managers; the package is docker-ce-cli or docker-cli.",
        ) from error
    except subprocess.TimeoutExpired as error:
        raise SwarmError(
            "timeout",
            "Could not run the Docker CLI: it did not end within 60 s. Check that the engine of this host answers.",
        ) from error
    if command.split()[-1] not in answer.stdout:
        raise SwarmError(
            "no_cli", f"Could not use the Docker CLI, it says: {answer.stdout.strip()}"
        )
    return option in answer.stdout


def cli_environment(extra: dict[str, str] | None = None) -> dict[str, str]:
    """The environment of the CLI: only what it needs and the variables of the Compose files.

    DOCKER_* of the caller would direct it to another engine or to another version of the API.
    """
    kept = {
        key: os.environ[key] for key in ("PATH", "HOME", "XDG_RUNTIME_DIR") if key in os.environ
    }
    kept.setdefault("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
    kept["LC_ALL"] = "C.UTF-8"
    kept.update(extra or {})
    return kept
