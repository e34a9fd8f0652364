# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Adds to what a host says of itself how its clock compares with the controller's; one that hangs does not answer."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ansible.errors import AnsibleConnectionFailure
from ansible.plugins.action import ActionBase

from ansible_collections.flotilla.swarm.plugins.plugin_utils._delegated import lost

# Seconds. The module ends by itself within this time, for it limits all that it does; so where it does not, the host
# does not run any more, or the connection is dead.
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
            # To a run it is no different from a host that is down: it takes no part, and the others go on.
            del result["failed"]
            result["unreachable"] = True
        said = (result.get("host") or {}).get("time")
        if said is not None:
            # The host read its clock at some moment between the two: within them there is no skew.
            skew = said - after if said > after else min(0.0, said - before)
            result["clock"] = {"skew": round(skew, 1)}
        return result


@contextmanager
def limited(seconds: float) -> Iterator[None]:
    """Give a connection up that ssh itself would wait for until TCP does, for 15 minutes or more."""

    def over(_number: int, _frame: Any) -> None:
        raise AnsibleConnectionFailure(f"the host has not answered within {seconds:g} s")

    # A task's own `timeout` uses the same alarm, and goes first.
    busy = signal.getitimer(signal.ITIMER_REAL)[0] > 0
    if busy or threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGALRM, over)
    # Again and again: the connection may be tried more than once.
    signal.setitimer(signal.ITIMER_REAL, seconds, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
