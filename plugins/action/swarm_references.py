# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Reports a lost connection to the acting manager as a failure."""

from __future__ import annotations

from ..plugin_utils._delegated import DelegatedAction


class ActionModule(DelegatedAction):
    attempt = "read what the swarm refers to"
