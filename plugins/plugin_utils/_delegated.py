# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This plugin util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""Tasks that the acting manager runs for all hosts of a play. A lost connection fails the task and does not end the play.

Without this, a task with `run_once` whose host is unreachable ends the play for all hosts, whatever `ignore_unreachable` says
(ansible-core 2.16 to 2.22: plugins/strategy/linear.py, any_errors_fatal).
"""

from __future__ import annotations

from typing import Any

from ansible.errors import AnsibleConnectionFailure
from ansible.plugins.action import ActionBase


class DelegatedAction(ActionBase):
    _supports_check_mode = True
    # What the module does, after "Could not".
    attempt = ""

    def run(self, tmp: Any = None, task_vars: Any = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        try:
            result.update(self._execute_module(task_vars=task_vars))
        except AnsibleConnectionFailure as error:
            result.update(lost(self.attempt, self._task.delegate_to, error))
        return result


def lost(attempt: str, host: str | None, error: AnsibleConnectionFailure) -> dict[str, Any]:
    """The failure of a task whose delegated host is lost. Without delegation, the error is raised again.

    The lost host may have done a part of the task.
    """
    if not host:
        raise error
    reason = str(error).strip().rstrip(".")
    return {
        "failed": True,
        "changed": False,
        "msg": f"Could not {attempt}: {host}, which acted, cannot be reached any more ({reason}). Run again.",
        "failure": {"code": "host_unreachable", "details": {}},
    }
