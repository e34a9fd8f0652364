# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Keeps the unlock key out of files on the host."""

from __future__ import annotations

from ..plugin_utils._pipelining import SecretAction


class ActionModule(SecretAction):
    attempt = "observe the host"
    secrets = ("unlock_key",)
