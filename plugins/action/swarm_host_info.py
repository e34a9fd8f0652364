# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Adds to what a host says of itself how its clock compares with the controller's."""

from __future__ import annotations

import time
from typing import Any

from ansible.plugins.action import ActionBase


class ActionModule(ActionBase):
    _supports_check_mode = True

    def run(self, tmp: Any = None, task_vars: Any = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        before = time.time()
        result.update(self._execute_module(task_vars=task_vars))
        after = time.time()
        said = (result.get("host") or {}).get("time")
        if said is not None:
            # The host read its clock at some moment between the two: within them there is no skew.
            skew = said - after if said > after else min(0.0, said - before)
            result["clock"] = {"skew": round(skew, 1)}
        return result
