# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""What the daily timer of a registry runs: it renews the certificate before it expires. No Ansible is needed."""

from __future__ import annotations

import subprocess

from .._common.errors import SwarmError, failure_of
from .._host.journal import say
from .setup import renew

# Seconds that a command has.
_LIMIT = 60


def run(words: list[str], data: str = "") -> tuple[int, str, str]:
    """A command and its (exit code, output, errors)."""
    try:
        done = subprocess.run(
            words, input=data, capture_output=True, text=True, timeout=_LIMIT, check=False
        )
    except subprocess.TimeoutExpired:
        return 124, "", f"{words[0]} did not end within {_LIMIT} s"
    return done.returncode, done.stdout, done.stderr


def main() -> int:
    """The exit code."""
    try:
        renewed = renew(run)
    except (SwarmError, OSError) as error:
        say(failure_of("renew the certificate of the registry", error).message)
        return 1
    say("renewed" if renewed else "nothing to renew")
    return 0
