# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Adds the clock skew between the host and the controller. A host that hangs counts as one that does not answer."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ansible.errors import AnsibleConnectionFailure
from ansible.plugins.action import ActionBase

from ..plugin_utils._delegated import lost

# Seconds. The module limits everything that it does and ends within this time. If it does not, the host no longer runs, or the
# connection is dead.
LONGEST = 240


class ActionModule(ActionBase):
    _supports_check_mode = True

    def run(self, tmp: Any = None, task_vars: Any = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        before = time.time()
        try:
            with limited(LONGEST):
                result.update(self._execute_module(task_vars=task_vars))
        except AnsibleConnectionFailure as error:
            tokens = self._task.args.get("join_tokens")
            attempt = "ask for the join tokens" if tokens else "observe the host"
            result.update(lost(attempt, self._task.delegate_to, error))
        after = time.time()
        silent = (result.get("failure") or {}).get("code") == "no_answer"
        if silent and not self._task.delegate_to:
            # For the run, such a host is the same as one that is down: the run continues with the others.
            del result["failed"]
            result["unreachable"] = True
        said = (result.get("host") or {}).get("time")
        if said is not None:
            # The host read its clock at some moment between the two, so a time between them is no skew.
            skew = said - after if said > after else min(0.0, said - before)
            result["clock"] = {"skew": round(skew, 1)}
        return result


@contextmanager
def limited(seconds: float) -> Iterator[None]:
    """Give up a dead connection. ssh itself waits for the timeout of TCP, 15 minutes or more."""

    def over(_number: int, _frame: Any) -> None:
        raise AnsibleConnectionFailure(f"the host has not answered within {seconds:g} s")

    # The `timeout` of a task uses the same alarm, and takes precedence.
    busy = signal.getitimer(signal.ITIMER_REAL)[0] > 0
    if busy or threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGALRM, over)
    # The alarm repeats, because Ansible can retry the connection.
    signal.setitimer(signal.ITIMER_REAL, seconds, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
