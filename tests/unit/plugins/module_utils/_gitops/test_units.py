# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a manager has for GitOps: no secret is in the settings, and nothing is left of what nobody uses."""

from __future__ import annotations

import json
from typing import Any

from ansible_collections.flotilla.swarm.plugins.module_utils._gitops.units import (
    CONFIG,
    KEYS,
    TIMER,
    settings_and_keys,
    wanted_files,
)
from ansible_collections.flotilla.swarm.plugins.module_utils._host.units import UNIT_DIR

GIVEN: dict[str, Any] = {
    "repositories": [
        {
            "name": "deploy",
            "url": "ssh://git@git.example/deploy.git",
            "deploy_key": "S3CRET-key\r\nmore",
            "password": "S3CRET-password",
        },
        {"name": "open", "url": "https://git.example/open.git"},
    ],
    "vault_passwords": ["S3CRET-vault"],
    "age_key": "AGE-SECRET-KEY-S3CRET",
    "notify": {
        "webhook": "https://hooks.example/S3CRET",
        "apprise": ["json://S3CRET"],
        "every": 60,
    },
    "max_removals": 2,
}


def test_secrets_are_in_files_and_not_in_the_settings() -> None:
    settings, keys = settings_and_keys(GIVEN)
    assert "S3CRET" not in json.dumps(settings)
    assert keys[f"{KEYS}/deploy/deploy_key"] == b"S3CRET-key\nmore\n"
    assert settings["repositories"][0]["deploy_key"] == f"{KEYS}/deploy/deploy_key"
    assert settings["repositories"][1] == GIVEN["repositories"][1]
    assert json.loads(keys[settings["vault_passwords"]]) == ["S3CRET-vault"]
    receivers = json.loads(keys[settings["notify"]])
    assert receivers["apprise_file"] == f"{KEYS}/notify.apprise"
    assert keys[receivers["apprise_file"]] == b"json://S3CRET\n"
    assert receivers["webhook"].startswith("https://")


def test_keys_come_first_and_old_ones_go() -> None:
    settings, keys = settings_and_keys(GIVEN)
    wanted = wanted_files(
        b"code", settings, keys, [f"{KEYS}/old/deploy_key"], 30, "/usr/bin/python3"
    )
    paths = list(wanted)
    assert paths.index(f"{KEYS}/deploy/deploy_key") < paths.index(CONFIG)
    assert wanted[f"{KEYS}/old/deploy_key"].content is None
    assert all(wanted[path].mode == 0o600 for path in keys)
    timer = wanted[f"{UNIT_DIR}/{TIMER}"].content
    assert timer is not None
    assert b"OnUnitInactiveSec=30s" in timer


def test_without_repositories_there_is_no_timer() -> None:
    settings, keys = settings_and_keys({"repositories": []})
    wanted = wanted_files(b"", settings, keys, [], 0, "/usr/bin/python3")
    assert wanted[f"{UNIT_DIR}/{TIMER}"].content is None
