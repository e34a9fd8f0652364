# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is asked on a host before an upgrade."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from ansible_collections.flotilla.swarm.plugins.module_utils._lifecycle.upgrade_info import (
    empty_info,
    upgrade_info,
)


def test_a_host_that_only_tells_of_its_engine_is_not_asked_for_packages() -> None:
    commands: list[str] = []

    def run_command(args: list[str], **_more: Any) -> tuple[int, str, str]:
        commands.append(" ".join(args))
        return 1, "", ""

    params = {
        "to": "26.1",
        "engine_only": True,
        "docker_host": "unix:///nowhere",
        "timeout": 1,
        "lock_timeout": 1,
    }
    found = upgrade_info(SimpleNamespace(params=params, run_command=run_command))
    assert found.keys() == empty_info().keys()
    assert found["problem"] is None
    assert not [command for command in commands if "apt" in command]
