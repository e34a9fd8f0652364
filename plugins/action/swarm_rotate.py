# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Calls the module for one stage after the other, copies the escrow to the controller between them, and shows the progress."""

from __future__ import annotations

import base64
import contextlib
import os
import tempfile
import time
from typing import Any

from ansible.errors import AnsibleActionFail, AnsibleConnectionFailure
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

from ..plugin_utils._ca import new_ca
from ..plugin_utils._delegated import lost
from ..plugin_utils._pipelining import in_a_file

ATTEMPT = "rotate"
# The documented keys of the result.
NOTHING: dict[str, Any] = {"plan": [], "steps": [], "escrowed": [], "nodes": {}}


class Stopped(Exception):
    """A stage has failed; the result has the reason."""


class ActionModule(ActionBase):
    _supports_check_mode = True

    def run(self, tmp: Any = None, task_vars: Any = None) -> dict[str, Any]:
        self._result: dict[str, Any] = {**super().run(tmp, task_vars), **NOTHING, "changed": False}
        self._task_vars = task_vars
        self._run = os.getppid()
        # Where nothing else says so, a wrong option is what stops the run.
        with contextlib.suppress(Stopped):
            todo = self._plan()
            if todo and not self._task.check_mode:
                self._carry_out(todo)
        return self._result

    def _plan(self) -> dict[str, Any]:
        found, todo = self._call({"name": "plan"}, {})
        plan = found.get("plan") or []
        if plan and not (self._task.diff and found.get("changed")):
            Display().display("\n" + "\n".join(plan))
        self._result.update(found)
        self._stop_after(found)
        self._result["changed"] = False
        self._check_folder()
        if todo.get("makes_ca"):
            what = "the key of the new CA"
            self._stop_after(in_a_file(self, ATTEMPT, ["ca"], what, self._task_vars) or {})
        # In check mode, what the run would do.
        self._result["changed"] = bool(self._task.check_mode and found.get("changed"))
        return todo if todo.get("kinds") or todo.get("waits") else {}

    def _carry_out(self, todo: dict[str, Any]) -> None:
        """The stages of the plan."""
        kinds, acting = todo["kinds"], todo["acting"]
        ca = new_ca() if todo["makes_ca"] else {}
        base = {"kinds": kinds, "acting": acting}
        if kinds:
            self._step({"name": "escrow", **base}, ca)
        # The tokens come after the CA, because its end gives new ones.
        if todo["waits"]:
            self._wait_for_ca({})
        for kind in kinds:
            self._step({"name": "rotate", "kind": kind, **base}, ca)
            copies = [each["path"] for each in self._result["escrowed"] if each["kind"] == kind]
            where = f", escrow on {acting}: {', '.join(copies)}" if copies else ""
            if kind == "ca":
                Display().display(f"ca    the swarm has the new one{where}")
                self._wait_for_ca(ca)
            Display().display(f"DONE  {kind}{'' if kind == 'ca' else where}")

    def _step(self, stage: dict[str, Any], ca: dict[str, str]) -> None:
        found, _more = self._call(stage, ca)
        self._keep(found.pop("escrowed", []))
        self._result["changed"] = self._result["changed"] or bool(found.get("changed"))
        self._stop_after(found)

    def _wait_for_ca(self, ca: dict[str, str]) -> None:
        """Wait until every node follows the new CA, and say how far it is."""
        limit = int(self._task.args.get("wait_timeout") or 300)
        deadline = time.monotonic() + limit
        said = ""
        while True:
            # Without the key, which the module does not need any more.
            asked = {"cert": ca["cert"]} if ca else {}
            left = max(0.0, deadline - time.monotonic())
            found, seen = self._call({"name": "wait", "seconds": left}, asked)
            self._stop_after(found)
            self._result["nodes"] = found["nodes"]
            if seen["progress"] != said:
                said = seen["progress"]
                Display().display(said)
            if seen["over"] and not seen["ours"]:
                self._stop_after(
                    {
                        "failed": True,
                        "msg": "Could not rotate the CA: another run has given the swarm another CA at the same time, so the new one in"
                        " the escrow is not in use. Run again to have the CA of the swarm in the escrow.",
                        "failure": {"code": "out_of_sequence", "details": {}},
                    }
                )
            if seen["over"]:
                return
            if time.monotonic() >= deadline:
                late = ", ".join(found["nodes"]["behind"]) or "the managers"
                self._stop_after(
                    {
                        "failed": True,
                        "msg": f"Could not finish the rotation of the CA within {limit} s: behind: {late}. The rotation goes on:"
                        " bring these nodes back, and run again to wait for it.",
                        "failure": {
                            "code": "timeout",
                            "details": {"behind": found["nodes"]["behind"]},
                        },
                    }
                )

    def _call(
        self, stage: dict[str, Any], ca: dict[str, str]
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """One stage: its result, and what is for this plugin alone."""
        # Ansible's workers are in sessions of their own, and outlive a killed run.
        if os.getppid() != self._run:
            raise AnsibleActionFail("The run has ended, so nothing more is rotated.")
        args = {**self._task.args, "_stage": {**stage, "ca": ca}}
        try:
            found = self._execute_module(module_args=args, task_vars=self._task_vars)
        except AnsibleConnectionFailure as error:
            found = lost(ATTEMPT, self._task.delegate_to, error)
            # It may have done a part of the stage.
            found["changed"] = stage["name"] == "rotate"
        return found, found.pop("_stage", None) or {}

    def _stop_after(self, found: dict[str, Any]) -> None:
        if found.get("failed"):
            kept = {key: self._result[key] for key in (*NOTHING, "changed")}
            self._result.update({**found, **kept})
            raise Stopped

    # The copies on the controller

    def _folder(self) -> str:
        told = self._task.args.get("escrow_dir")
        return str(self._loader.path_dwim(os.path.expanduser(str(told)))) if told else ""

    def _check_folder(self) -> None:
        """Before anything is rotated, and in check mode too: whether the controller can write there."""
        folder = self._folder()
        if not folder or not self._task.args.get("recipients"):
            return
        try:
            if not self._task.check_mode:
                os.makedirs(folder, mode=0o700, exist_ok=True)
            # In check mode, the folder in which it would be.
            while not os.path.lexists(folder):
                folder = os.path.dirname(folder)
            with tempfile.TemporaryFile(dir=folder):
                pass
        except OSError as error:
            self._stop_after(self._unwritable(self._folder(), error))

    def _keep(self, escrowed: list[dict[str, Any]]) -> None:
        for each in escrowed:
            content = base64.b64decode(each.pop("content"))
            each["copy"] = None
            self._result["escrowed"].append(each)
            if not self._folder():
                continue
            folder = os.path.join(self._folder(), os.path.basename(os.path.dirname(each["path"])))
            try:
                each["copy"] = write_copy(folder, os.path.basename(each["path"]), content)
            except OSError as error:
                self._stop_after(self._unwritable(folder, error))

    @staticmethod
    def _unwritable(folder: str, error: OSError) -> dict[str, Any]:
        return {
            "failed": True,
            "msg": f"Could not copy the escrow to the controller: {folder}: {error.strerror}. Set swarm_escrow_dir to a folder that"
            " this user can write.",
            "failure": {"code": "os_error", "details": {}},
        }


def write_copy(folder: str, name: str, content: bytes) -> str:
    """A file that is complete or not there, and its path."""
    os.makedirs(folder, mode=0o700, exist_ok=True)
    path = os.path.join(folder, name)
    with tempfile.NamedTemporaryFile(dir=folder, prefix=".flotilla-", delete=False) as part:
        try:
            part.write(content)
            part.flush()
            os.fsync(part.fileno())
            os.replace(part.name, path)
        except BaseException:
            os.unlink(part.name)
            raise
    return path
