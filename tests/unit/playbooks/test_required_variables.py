# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Playbooks that need a variable ask for it in a sentence before they ask a host for anything."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ansible_collections.flotilla.swarm.plugins.module_utils._common import argspec

COLLECTIONS = argspec.__file__.partition("/ansible_collections/")[0]
PLAYBOOKS = Path(argspec.__file__).resolve().parents[3] / "playbooks"


@pytest.mark.parametrize(
    ("playbook", "given", "words"),
    [
        (
            "drain_node",
            [],
            "Could not drain nodes: swarm_drain_nodes is empty. Set it, for example",
        ),
        ("drain_node", ["swarm_drain_nodes="], "Could not drain nodes: swarm_drain_nodes is empty"),
        ("scale_services", [], "swarm_scale_services must be a dictionary"),
        (
            "scale_services",
            ["swarm_scale_services=web"],
            "swarm_scale_services must be a dictionary",
        ),
        ("reboot_nodes", ["swarm_reboot_nodes="], "swarm_reboot_nodes is empty"),
        ("deploy_stacks", [], "swarm_stack_stacks is empty"),
        ("restore", [], "Could not restore a swarm: swarm_restore_from is empty"),
        ("restore", ["swarm_restore_from=x"], "swarm_restore_identity_file is empty"),
        ("back_up", [], "Could not back up the swarm: swarm_backup_recipients is empty"),
        ("back_up", ["swarm_backup_recipients="], "swarm_backup_recipients is empty"),
    ],
)
def test_a_variable_that_is_missing_is_asked_for(
    playbook: str, given: list[str], words: str, tmp_path: Path
) -> None:
    inventory = tmp_path / "hosts.yml"
    inventory.write_text("{swarm_managers: {hosts: {m1: {ansible_host: 192.0.2.1}}}}")
    extra = [word for value in given for word in ("-e", value)]
    done = subprocess.run(
        [
            *(sys.executable, "-m", "ansible", "playbook", "-i", str(inventory)),
            *(str(PLAYBOOKS / f"{playbook}.yml"), *extra),
        ],
        env={**os.environ, "ANSIBLE_COLLECTIONS_PATH": COLLECTIONS, "ANSIBLE_NOCOLOR": "1"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    assert words in " ".join((done.stdout + done.stderr).split())
    assert "' is undefined" not in done.stdout + done.stderr
