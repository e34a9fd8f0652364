# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Brings the layers that a host lacks from the controller, each as a file of its own, so that an interrupted run can be resumed."""

from __future__ import annotations

import os
import shlex
import tempfile
from collections.abc import Mapping
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase

from ..module_utils._common.errors import SwarmError, failure_of
from ..module_utils._images.archive import LayerFolder
from ..module_utils._images.source import extract


class ActionModule(ActionBase):
    _supports_check_mode = True

    def run(self, tmp: Any = None, task_vars: Any = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        args = {**self._task.args}
        missing = args.get("missing") or {}
        if not isinstance(missing, Mapping):
            raise AnsibleActionFail(
                "missing must be a dictionary, as swarm_ship returns it in layers"
            )
        given = bool(args.get("archive") or args.get("names"))
        if missing and given and not self._task.check_mode:
            try:
                args["_incoming"] = self._bring({str(k): int(v) for k, v in missing.items()}, args)
            except (SwarmError, OSError) as error:
                failure = failure_of("read the images on the controller", error)
                nothing: dict[str, Any] = dict(
                    present=[], missing=[], layers={}, loaded=[], bytes=0
                )
                return {
                    **result,
                    **nothing,
                    "failed": True,
                    "changed": False,
                    "msg": failure.message,
                    "failure": failure.as_failure(),
                }
        result.update(self._execute_module(module_args=args, task_vars=task_vars))
        return result

    def _bring(self, missing: dict[str, int], args: dict[str, Any]) -> dict[str, str]:
        """Copy the layers into a folder of the user on the host; their paths there."""
        temporary = self.get_shell_option("remote_tmp", default="~/.ansible/tmp")
        folder = os.path.join(self._remote_expand_user(temporary), "flotilla-ship")
        there = self._there(folder)
        paths = {diff_id: os.path.join(folder, diff_id.rpartition(":")[2]) for diff_id in missing}
        left = {d: s for d, s in missing.items() if there.get(os.path.basename(paths[d])) != s}
        if left:
            with tempfile.TemporaryDirectory(prefix="flotilla-ship-") as here:
                layers = LayerFolder(here)
                names = list(args.get("names") or [])
                host = args.get("controller_host") or "unix:///var/run/docker.sock"
                extract(names, self._archive(args), host, layers, left)
                for diff_id in sorted(left):
                    file = layers.file(diff_id)
                    if os.path.exists(file):
                        self._transfer_file(file, paths[diff_id])
                        os.unlink(file)
        return paths

    def _archive(self, args: Mapping[str, Any]) -> str:
        return os.path.expanduser(str(args.get("archive") or ""))

    def _there(self, folder: str) -> dict[str, int]:
        """The files of an earlier run in the folder, with their sizes."""
        where = shlex.quote(folder)
        done = self._low_level_execute_command(
            f"mkdir -p -m 700 {where} && cd {where} && wc -c -- * 2> /dev/null; true",
            sudoable=False,
        )
        rows = [line.split() for line in str(done.get("stdout") or "").splitlines()]
        return {row[1]: int(row[0]) for row in rows if len(row) == 2 and row[0].isdigit()}
