# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Prints the plan and the result of a backup. Refuses an unlock key that Ansible would write into a file on the host."""

from __future__ import annotations

from typing import Any

from ansible.utils.display import Display

from ..module_utils._lifecycle.backup_plan import done_lines
from ..plugin_utils._pipelining import SecretAction

_NOTHING: dict[str, Any] = {
    **dict.fromkeys(("acting", "cluster_id"), ""),
    **{key: [] for key in ("plan", "steps", "applied", "notes", "files", "deleted")},
    **{key: {} for key in ("digests", "raft", "export")},
    **dict.fromkeys(("seconds", "stopped_seconds"), None),
}


class ActionModule(SecretAction):
    attempt = "back up the swarm"
    secrets = ("unlock_key",)
    nothing = _NOTHING

    def run(self, tmp: Any = None, task_vars: Any = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        # Only the manager that acts has a plan.
        lines = [*(result.get("plan") or []), *done_lines(result)]
        if lines:
            Display().display("\n" + "\n".join(lines))
        return result
