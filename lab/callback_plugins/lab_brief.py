# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Ansible's own output, without unchanged results, and with a line about tasks that take long."""

from __future__ import annotations

import os
import signal
import time
from typing import Any

from ansible.playbook.task_include import TaskInclude
from ansible.plugins.callback.default import CallbackModule as Default

DOCUMENTATION = """
name: lab_brief
type: stdout
short_description: What changes and what is waited for
description:
  - Leaves out includes and whatever did not change.
  - Ansible prints a task when its first host is done, which can take a minute. A task that runs for more than a
    few seconds is named, and again now and then.
extends_documentation_fragment: [default_callback, result_format_callback]
"""

FIRST, THEN = 5.0, 15.0


class CallbackModule(Default):
    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "stdout"
    CALLBACK_NAME = "lab_brief"

    def __init__(self) -> None:
        super().__init__()
        self.task = ""
        self.since = 0.0
        # A timer, not a thread: ansible forks, and a thread may hold a lock at that moment.
        signal.signal(signal.SIGALRM, self._tell)

    def get_option(self, k: str, hostvars: Any = None) -> Any:
        if k in ("display_ok_hosts", "display_skipped_hosts"):
            return False
        return super().get_option(k, hostvars)

    def v2_playbook_on_task_start(self, task: Any, is_conditional: bool) -> None:
        self._watch(task)
        super().v2_playbook_on_task_start(task, is_conditional)

    def v2_playbook_on_handler_task_start(self, task: Any) -> None:
        self._watch(task)
        super().v2_playbook_on_handler_task_start(task)

    def v2_runner_on_ok(self, result: Any) -> None:
        # `task` from ansible-core 2.19 on.
        task = result.task if hasattr(result, "task") else result._task
        if not isinstance(task, TaskInclude):
            super().v2_runner_on_ok(result)

    def v2_playbook_on_include(self, included_file: Any) -> None:
        del included_file

    def v2_playbook_on_stats(self, stats: Any) -> None:
        signal.setitimer(signal.ITIMER_REAL, 0)
        super().v2_playbook_on_stats(stats)

    def _watch(self, task: Any) -> None:
        self.task, self.since = task.get_name().rpartition(" : ")[2], time.monotonic()
        signal.setitimer(signal.ITIMER_REAL, FIRST, THEN)

    def _tell(self, *_signal: object) -> None:
        text = f"        ... {self.task} ({time.monotonic() - self.since:.0f} s)\n"
        os.write(1, text.encode())
