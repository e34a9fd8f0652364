# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Writes the start time of each task and the end of the run to the file in PHASES."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

from ansible.plugins.callback import CallbackBase

DOCUMENTATION = """
name: phases
type: aggregate
short_description: Note when each task begins
description: Notes the time at which each task begins and at which the run ends.
"""


class CallbackModule(CallbackBase):
    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "phases"

    def __init__(self) -> None:
        super().__init__()
        self.marks: list[tuple[str, float]] = []

    def _mark(self, what: str) -> None:
        self.marks.append((what, time.time()))

    def v2_playbook_on_play_start(self, play: Any) -> None:
        self._mark("load")

    def v2_playbook_on_task_start(self, task: Any, is_conditional: bool) -> None:
        del is_conditional
        self._mark(task.action.rpartition(".")[2])

    def v2_playbook_on_stats(self, stats: Any) -> None:
        del stats
        self._mark("exit")
        where = os.environ.get("PHASES")
        if where:
            Path(where).write_text(json.dumps(self.marks))
