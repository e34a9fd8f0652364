# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Counts the tasks on each host, and writes the result to the file in COUNT_CALLS."""

from __future__ import annotations

import json
import os
from collections import Counter
from pathlib import Path
from typing import Any

from ansible.plugins.callback import CallbackBase

DOCUMENTATION = """
name: count_calls
type: aggregate
short_description: Count the tasks that go out to each host
description: Counts results of actions that are not carried out on the controller alone.
"""

# Actions that never leave the controller.
LOCAL = {
    "add_host", "assert", "debug", "fail", "group_by", "import_playbook", "import_role", "import_tasks", "include_role",
    "include_tasks", "include_vars", "meta", "pause", "set_fact", "set_stats", "validate_argument_spec",
}  # fmt: skip


class CallbackModule(CallbackBase):
    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "count_calls"

    def __init__(self) -> None:
        super().__init__()
        self.calls: Counter[str] = Counter()
        self.tasks: dict[str, list[str]] = {}

    def _count(self, result: Any) -> None:
        # With an underscore before ansible-core 2.19.
        task, said, on = (
            getattr(result, name) if hasattr(result, name) else getattr(result, f"_{name}")
            for name in ("task", "result", "host")
        )
        action = task.action.rpartition(".")[2]
        if action in LOCAL or said.get("skipped"):
            return
        delegated = said.get("_ansible_delegated_vars") or {}
        host = delegated.get("ansible_delegated_host") or on.get_name()
        results = said.get("results")
        count = 1
        if task.loop is not None and isinstance(results, list):
            count = sum(1 for item in results if not item.get("skipped"))
        self.calls[host] += count
        self.tasks.setdefault(host, []).append(f"{action} x{count}" if count > 1 else action)

    v2_runner_on_ok = v2_runner_on_failed = v2_runner_on_unreachable = _count

    def v2_playbook_on_stats(self, stats: Any) -> None:
        del stats
        where = os.environ.get("COUNT_CALLS")
        if where:
            Path(where).write_text(json.dumps({"calls": self.calls, "tasks": self.tasks}))
