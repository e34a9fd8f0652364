# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Refuses an unlock key that Ansible would write into a file on the host."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..plugin_utils._pipelining import SecretAction


class ActionModule(SecretAction):
    attempt = "change the membership"
    # Not join_token: site.yml must work with Ansible's defaults, which have no pipelining, and a token can be rotated.
    secrets = ("unlock_key",)
    nothing: Mapping[str, Any] = {"member": {}, "steps": [], "needs_restart": None}
