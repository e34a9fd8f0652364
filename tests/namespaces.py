# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Tests that make network namespaces, and whether they can."""

from __future__ import annotations

import os
import shutil
import subprocess

import pytest


def possible() -> bool:
    """Whether this user can make network namespaces here, and has the programs for it."""
    if os.geteuid() or not all(map(shutil.which, ("ip", "bridge", "iptables", "nsenter"))):
        return False
    name = f"fp{os.getpid()}-try"
    made = subprocess.run(["ip", "netns", "add", name], capture_output=True).returncode == 0
    subprocess.run(["ip", "netns", "del", name], capture_output=True)
    return made


needs_namespaces = pytest.mark.skipif(
    not possible(), reason="network namespaces cannot be made here"
)
