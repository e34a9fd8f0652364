# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""What systemd runs on each manager, some seconds after its last run has ended: one look of GitOps."""

from __future__ import annotations

import os
import time

from .._api.reader import EngineReader
from .._common.errors import SwarmError, failure_of
from .._host.journal import say
from .._host.locks import alone
from .access import DOCKER_HOST, read_settings
from .idle import is_idle, leads

LOCK = "/run/flotilla.swarm/gitops.lock"
# Seconds until the engine answers.
_ANSWER = 30
BUSY = SwarmError(
    "in_progress",
    "Could not look at the applications: another run of GitOps is at work on this host. Wait until it has ended, and run again.",
)


def main() -> int:
    """Look once; returns the exit code."""
    os.umask(0o077)
    try:
        document = read_settings()
        with alone(LOCK, BUSY):
            reader = EngineReader(DOCKER_HOST, _ANSWER)
            if leads(reader) and not is_idle(document, reader, time.time()):
                # An idle run, and that of a manager that does not lead, needs none of it.
                from .tick import Tick

                Tick(document, say).run()
    except SwarmError as error:
        # An operator is at work on this host, and the timer has nothing to say.
        if error is not BUSY:
            say(error.message)
        return 0 if error.code == "in_progress" else 1
    except OSError as error:
        say(failure_of("look at the applications", error).message)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
