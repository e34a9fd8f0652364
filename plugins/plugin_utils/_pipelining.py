# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This plugin util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""Modules with an option that is a secret: refused where Ansible would write the option into a file on the host.

With pipelining, a module and its options go to the interpreter on its standard input. Without it, Ansible copies both into a
temporary file on the host, also with `no_log`, and also on a local connection.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ansible.plugins.action import ActionBase


class SecretAction(ActionBase):
    """The action plugin of a module with such options."""

    _supports_check_mode = True
    # What the module does, after "Could not".
    attempt = ""
    # The options that must not be in a file.
    secrets: Sequence[str] = ()
    # The keys of its result where it does not run.
    nothing: Mapping[str, Any] = {}

    def run(self, tmp: Any = None, task_vars: Any = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        refusal = without_pipelining(self, self.attempt, self.secrets, task_vars)
        if refusal is not None:
            return {**result, **self.nothing, **refusal}
        result.update(self._execute_module(task_vars=task_vars))
        return result


def without_pipelining(
    action: ActionBase, attempt: str, secrets: Sequence[str], task_vars: dict[str, Any] | None
) -> dict[str, Any] | None:
    """The failure of a task that has a value for one of the secret options, where its host has no pipelining; else None."""
    given = [name for name in secrets if action._task.args.get(name)]
    # An asynchronous module is always a file. A become method can rule out pipelining as well.
    if not given or action._is_pipelining_enabled("new", bool(action._task.async_val)):
        return None
    host = action._task.delegate_to or (task_vars or {}).get("inventory_hostname") or "this host"
    return {
        "failed": True,
        "changed": False,
        "msg": f"Could not {attempt} on {host}: Ansible would write the value of {' and '.join(given)} into a temporary file"
        " there. Turn on pipelining, with 'pipelining = true' in ansible.cfg, ANSIBLE_PIPELINING=true, or ansible_pipelining:"
        " true for the host.",
        "failure": {"code": "no_pipelining", "details": {"options": given}},
    }
