# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Prints the states of all builds as one table, or as JSON."""

from __future__ import annotations

import json
import time
from typing import Any

from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

from ..module_utils._builder.report import report
from ..module_utils._common.argspec import bad_options
from ..module_utils._common.errors import SwarmError

SPEC = dict(
    found=dict(type="dict", required=True),
    format=dict(type="str", choices=["table", "json"], default="table"),
)


class ActionModule(ActionBase):
    _supports_check_mode = True
    _requires_connection = False

    def run(self, tmp: Any = None, task_vars: Any = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        result.update(changed=False, sources=[], wrong=[], notes=[], lines=[])
        wrong = bad_options(SPEC, self._task.args)
        if wrong is not None:
            return {**result, **_failed(wrong)}
        _spec, args = self.validate_argument_spec(argument_spec=SPEC)
        found = args["found"]
        # A builder that answers has a result, also of a failure.
        answers = {name: each for name, each in found.items() if each and "builder" in each}
        made = report(answers, [name for name in found if name not in answers], time.time())
        shown = dict(sources=list(made.sources), wrong=list(made.wrong), notes=list(made.notes))
        if args["format"] == "json":
            Display().display(json.dumps(shown, sort_keys=True))
        else:
            Display().display("\n" + "\n".join(made.lines))
        result.update(shown, lines=list(made.lines))
        if not any("failure" not in each for each in answers.values()):
            why = "; ".join(made.notes) or "the group swarm_builders is empty"
            error = SwarmError("no_answer", f"Could not read the states of builds: {why}.")
            return {**result, **_failed(error)}
        if made.wrong:
            error = SwarmError(
                "build_failed",
                f"Not all sources are built: {', '.join(made.wrong)}. The table has the causes.",
                sources=list(made.wrong),
            )
            return {**result, **_failed(error)}
        return result


def _failed(error: SwarmError) -> dict[str, Any]:
    return {"failed": True, "msg": error.message, "failure": error.as_failure()}
