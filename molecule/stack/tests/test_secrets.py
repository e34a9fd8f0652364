# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""No output and no list of processes has the data of secrets, credentials or logins, at any verbosity."""

from __future__ import annotations

import base64
import os
import subprocess
import sys
from pathlib import Path

import pytest
import testinfra
import yaml

SECRETS = ("hidden-data", "hidden-variable", "a-password-of-the-lab", "hidden-argument")
# What a user of the host can see during a run: every command line, many times a second.
WATCH = (
    "import glob, os, time\n"
    "seen = set()\n"
    "while not os.path.exists('/run/watch.stop'):\n"
    "    for path in glob.glob('/proc/[0-9]*/cmdline') + glob.glob('/tmp/ansible*/*'):\n"
    "        try:\n"
    "            seen.add(open(path, 'rb').read().replace(b'\\0', b' '))\n"
    "        except OSError:\n"
    "            pass\n"
    "    time.sleep(0.01)\n"
    "open('/run/watch.seen', 'wb').write(b'\\n'.join(seen))\n"
)


def test_they_are_seen_nowhere(request: pytest.FixtureRequest, tmp_path: Path) -> None:
    inventory = request.config.getoption("--ansible-inventory")
    manager = testinfra.get_host("ansible://m1", ansible_inventory=inventory)
    encoded = base64.b64encode(b"hidden-data").decode()
    tmp_path.joinpath("key").write_text("hidden-data", encoding="utf-8")
    tmp_path.joinpath("stack.yml").write_text(
        yaml.safe_dump(
            {
                "version": "3.8",
                "services": {
                    "web": {
                        "image": "registry.lab:5001/hello:1",
                        "environment": {"DB_PASSWORD": "${WORD}"},
                        "command": ["sh", "-c", "sleep 1000", "--password=hidden-argument"],
                        "secrets": ["key"],
                        "stop_grace_period": "1s",
                    }
                },
                "secrets": {"key": {"file": "./key"}},
            }
        ),
        encoding="utf-8",
    )
    stack = {
        "name": "quiet",
        "compose": [str(tmp_path / "stack.yml")],
        "environment": {"WORD": "hidden-variable"},
        "rotate": True,
        "registries": [
            {"registry": "registry.lab:5001", "username": "lab", "password": SECRETS[2]}
        ],
    }
    play = [
        {
            "hosts": "m1",
            "gather_facts": False,
            "vars": {"swarm_stack_stacks": [stack], "swarm_stack_settle": 1},
            "roles": ["flotilla.swarm.swarm_stack"],
        }
    ]
    tmp_path.joinpath("play.yml").write_text(yaml.safe_dump(play), encoding="utf-8")
    manager.check_output("rm -f /run/watch.stop; nohup python3 -c %s > /dev/null 2>&1 &", WATCH)
    try:
        text = ""
        for flags in (["--check", "--diff"], ["--diff"], []):
            done = subprocess.run(
                [
                    Path(sys.executable).with_name("ansible-playbook"),
                    *("-i", inventory, "-vvv", *flags, tmp_path / "play.yml"),
                ],
                env={**os.environ, "ANSIBLE_NOCOLOR": "1"},
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                check=False,
            )
            assert done.returncode == 0, done.stdout[-3000:]
            text += done.stdout
    finally:
        manager.check_output("touch /run/watch.stop; sleep 1; docker stack rm quiet")
    lines = manager.check_output("LC_ALL=C tr -cd '\\11\\12\\40-\\176' < /run/watch.seen")
    manager.check_output("rm /run/watch.seen /run/watch.stop")
    assert "docker -H unix:///run/flotilla-stack-" in lines, "the CLI was not seen at all"
    assert "quiet_web" in text
    # The process of the task has the argument that the user has written.
    lines = "\n".join(
        line for line in lines.splitlines() if not line.startswith("sh -c sleep 1000")
    )
    for secret in (*SECRETS, encoded):
        assert secret not in text
        assert secret not in lines
    journal = manager.check_output("journalctl -q --no-pager -o cat -u ssh -u docker --since -5min")
    assert not [secret for secret in SECRETS if secret in journal]
