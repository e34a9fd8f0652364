# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The settings of a builder, and its files."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ansible_collections.flotilla.swarm.plugins.module_utils._builder.service import _parse
from ansible_collections.flotilla.swarm.plugins.module_utils._builder.settings import (
    CONFIG,
    KEYS,
    TIMER,
    parse_settings,
    settings_and_keys,
    wanted_files,
)
from ansible_collections.flotilla.swarm.plugins.module_utils._common.errors import SwarmError

REPOSITORY = {
    "name": "shop",
    "url": "ssh://git@git.example/shop.git",
    "deploy_key": "-----BEGIN KEY-----\r\nsecret-key\r\n",
    "known_hosts": "git.example ssh-ed25519 AAAA",
}
GIVEN: dict[str, Any] = {
    "name": "b1",
    "builders": ["b1", "b2"],
    "repositories": [REPOSITORY],
    "sources": [{"name": "shop", "repository": "shop", "image": "registry.lab:5000/shop"}],
    "sources_repository": "",
    "notify": {"webhook": "https://hooks.example/x", "token": "secret-token"},
}


def test_secrets_are_in_files_of_their_own() -> None:
    settings, keys = settings_and_keys(GIVEN)
    assert keys[f"{KEYS}/shop/deploy_key"] == b"-----BEGIN KEY-----\nsecret-key\n"
    assert keys[f"{KEYS}/notify.token"] == b"secret-token\n"
    assert json.loads(keys[f"{KEYS}/notify"])["token_file"] == f"{KEYS}/notify.token"
    files = wanted_files(
        b"code", settings, keys, [f"{KEYS}/old/deploy_key"], 60, "/usr/bin/python3"
    )
    public = b"".join(
        file.content or b"" for path, file in files.items() if not path.startswith(KEYS)
    )
    assert b"secret" not in public
    assert all(
        file.mode == 0o600
        for path, file in files.items()
        if path.startswith((KEYS, CONFIG)) and file.content
    )
    assert files[f"{KEYS}/old/deploy_key"].content is None
    # The keys are there before the settings that name them.
    assert list(files).index(f"{KEYS}/shop/deploy_key") < list(files).index(CONFIG)
    parsed = parse_settings(settings)
    assert parsed.repositories["shop"].key == f"{KEYS}/shop/deploy_key"
    assert "secret" not in GIVEN["sources"]


def test_without_an_interval_there_is_no_timer() -> None:
    settings, keys = settings_and_keys(GIVEN)
    files = wanted_files(b"code", settings, keys, [], 0, "/usr/bin/python3")
    assert files[f"/etc/systemd/system/{TIMER}"].content is None


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"name": "a b"}, "name is"),
        ({"repositories": "x"}, "repositories is"),
        ({"repositories": ["x"]}, "repositories[0] is"),
        ({"repositories": [{"url": "x"}]}, "repositories[0].name is missing"),
        ({"repositories": [{**REPOSITORY, "name": "../../etc"}]}, "repositories[0].name is"),
        ({"repositories": [{**REPOSITORY, "url": "ext::sh -c id"}]}, "not an address"),
        ({"repositories": [{**REPOSITORY, "url": "--upload-pack=id"}]}, "not an address"),
        (
            {"repositories": [{**REPOSITORY, "url": "https://u:secret-token@git.example/x"}]},
            "has a password",
        ),
        ({"repositories": [REPOSITORY, REPOSITORY]}, "another repository has this name"),
        ({"sources_repository": "none"}, "not one of repositories"),
        ({"sources_branch": "-x"}, "not the name of a branch"),
        ({"takeover": 0}, "takeover is"),
        ({"keep_logs": "many"}, "keep_logs is"),
        ({"sources": [{"name": "shop"}]}, "shop: repository is missing"),
        ({"unknown": 1}, "not a key"),
    ],
)
def test_what_is_wrong_is_named(changes: dict[str, Any], words: str) -> None:
    settings, _keys = settings_and_keys({**GIVEN, **changes})
    with pytest.raises(SwarmError) as caught:
        parse_settings(settings)
    assert words in caught.value.message
    assert caught.value.code == "bad_option"
    assert "secret" not in caught.value.message


def test_the_file_of_sources_is_data() -> None:
    assert _parse(b"sources: [{name: a, timeout: 5}]\n")["sources"][0]["name"] == "a"
    for text in (b"- x", b"a: [", b"\xff\xfe\x00", b"[" * 5000, b""):
        with pytest.raises(SwarmError) as caught:
            _parse(text)
        assert caught.value.code in ("bad_yaml", "bad_encoding")
        assert "Compose" not in caught.value.message
