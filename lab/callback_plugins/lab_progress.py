# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Says what is being waited for: ansible prints a task when its first host is done, which can take a minute."""

from __future__ import annotations

import os
import signal
import time
from typing import Any

from ansible.plugins.callback import CallbackBase

DOCUMENTATION = """
name: lab_progress
type: aggregate
short_description: Say which task takes long
description: Prints the name of a task that runs for more than a few seconds, and again now and then.
"""

FIRST, THEN = 5.0, 15.0


class CallbackModule(CallbackBase):
    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "lab_progress"

    def __init__(self) -> None:
        super().__init__()
        self.task = ""
        self.since = 0.0
        # A timer, not a thread: ansible forks, and a thread may hold a lock at that moment.
        signal.signal(signal.SIGALRM, self._tell)

    def v2_playbook_on_task_start(self, task: Any, is_conditional: bool) -> None:
        del is_conditional
        self.task, self.since = task.get_name().rpartition(" : ")[2], time.monotonic()
        signal.setitimer(signal.ITIMER_REAL, FIRST, THEN)

    v2_playbook_on_handler_task_start = v2_playbook_on_task_start

    def v2_playbook_on_stats(self, stats: Any) -> None:
        del stats
        signal.setitimer(signal.ITIMER_REAL, 0)

    def _tell(self, *_signal: object) -> None:
        text = f"        ... {self.task} ({time.monotonic() - self.since:.0f} s)\n"
        os.write(1, text.encode())
