# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Reads a swarm through one of its managers, prints what it writes, and writes the inventory on the controller."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from ansible import context
from ansible.errors import AnsibleConnectionFailure
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

from ..module_utils._common.argspec import bad_options
from ..module_utils._common.errors import SwarmError, failure_of
from ..module_utils._lifecycle.adopt_options import ADOPT_LIMITS, ADOPT_OPTIONS, nothing_done
from ..module_utils._lifecycle.adoption import Adoption, adopt, connection_of
from ..plugin_utils._adopted import Target, contents
from ..plugin_utils._delegated import lost

# Options of ansible-playbook, and the variables that would say the same in an inventory.
_COMMAND_LINE = {
    "remote_user": "ansible_user",
    "private_key_file": "ansible_private_key_file",
    "become": "ansible_become",
    "become_method": "ansible_become_method",
    "become_user": "ansible_become_user",
    "ssh_common_args": "ansible_ssh_common_args",
    "ssh_extra_args": "ansible_ssh_extra_args",
}


class ActionModule(ActionBase):
    _supports_check_mode = True

    def run(self, tmp: Any = None, task_vars: Any = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        result.update(nothing_done())
        try:
            result.update(self._adopt(task_vars or {}))
        except AnsibleConnectionFailure as error:
            result.update(lost("adopt the swarm", self._task.delegate_to, error))
        except (SwarmError, OSError) as error:
            found = failure_of("adopt the swarm", error)
            result.update(failed=True, msg=found.message, failure=found.as_failure())
        return result

    def _adopt(self, task_vars: dict[str, Any]) -> dict[str, Any]:
        wrong = bad_options(ADOPT_OPTIONS, self._task.args, ADOPT_LIMITS)
        if wrong is not None:
            raise wrong
        # Not validate_argument_spec: it knows nothing of the options of the connection, which the module checks.
        args = dict(self._task.args)
        to = str(args.get("to") or "").strip()
        if not to:
            raise SwarmError(
                "bad_option",
                "Could not adopt the swarm: swarm_adopt_to is empty. Set it to a new folder on this machine, for example"
                " -e swarm_adopt_to=inventories/production.",
            )
        observed = args.pop("observed", None) or {}
        answer = self._read(args, task_vars)
        if answer.get("failed") or "swarm" not in answer:
            return answer
        data = answer.pop("swarm")
        adoption = self._adoption(data, observed, task_vars)
        target, cluster_id = Target(to), data["cluster_id"]
        files = contents(adoption, cluster_id)
        differs = target.differs(files, cluster_id)
        lines = adoption.lines(cluster_id, self._acting(task_vars), str(target.path))
        Display().display("\n" + "\n".join(lines))
        if not self._task.check_mode:
            differs = target.write(files, cluster_id)
        return {
            "changed": differs,
            "to": str(target.path),
            "cluster_id": cluster_id,
            "files": sorted(files),
            "stacks": [file.name for file in adoption.compose if file.managed],
            "not_managed": [file.name for file in adoption.compose if not file.managed],
            "hosts": adoption.hosts,
            "remarks": list(adoption.remarks),
            "plan": lines,
        }

    def _read(self, args: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        """The answer of the module. It has the environment of services, which no output at any verbosity shows."""
        # The connection has a context of its own where the task is delegated.
        contexts = [self._play_context, getattr(self._connection, "_play_context", None)]
        before = [(one, one.no_log) for one in contexts if one is not None]
        for one, _hidden in before:
            one.no_log = True
        try:
            answer: dict[str, Any] = self._execute_module(module_args=args, task_vars=task_vars)
        finally:
            for one, hidden in before:
                one.no_log = hidden
        # Without the tags that newer versions of Ansible give to values.
        return dict(json.loads(json.dumps(answer, default=str)))

    def _adoption(
        self, data: dict[str, Any], observed: Mapping[str, Any], task_vars: dict[str, Any]
    ) -> Adoption:
        every = task_vars.get("hostvars") or {}
        by_node: dict[str, dict[str, Any]] = {}
        addresses: dict[str, str] = {}
        # What the user has named comes first.
        for name, found in observed.items():
            row = json.loads(json.dumps(found, default=str))
            node_id = ((row or {}).get("swarm") or {}).get("node_id")
            if node_id and node_id not in by_node:
                by_node[node_id] = row
                where = every[name].get("ansible_host") if name in every else None
                addresses[node_id] = str(where or name)
        kept, secret = connection_of(self._variables(task_vars))
        return adopt(data, by_node, addresses, kept, secret)

    def _variables(self, task_vars: dict[str, Any]) -> dict[str, Any]:
        """The connection variables of the manager, also those that only the command line has."""
        every = task_vars.get("hostvars") or {}
        acting = self._acting(task_vars)
        # Not get: before ansible-core 2.19, it gives something undefined for a name that is missing.
        source = every[acting] if acting in every else task_vars  # noqa: SIM401
        found = {}
        for name in list(source):
            if str(name).startswith("ansible_"):
                found[str(name)] = source[name]
        for option, name in _COMMAND_LINE.items():
            value = context.CLIARGS.get(option)
            # The method and the user of become have defaults.
            used = not option.startswith("become") or context.CLIARGS.get("become")
            if value and used and name not in found:
                found[name] = value
        return dict(json.loads(json.dumps(found, default=lambda _other: None)))

    def _acting(self, task_vars: dict[str, Any]) -> str:
        return str(self._task.delegate_to or task_vars.get("inventory_hostname") or "")
