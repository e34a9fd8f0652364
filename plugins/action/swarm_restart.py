# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Prints the plan, and the progress while the module runs."""

from __future__ import annotations

from ..plugin_utils._rollout import RolloutAction


class ActionModule(RolloutAction):
    pass
