# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The logins of a host: a fingerprint tells them apart, and others stay."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.flotilla.swarm.plugins.module_utils._host.logins import (
    LOGINS,
    auth_of,
    fingerprint,
    observe_logins,
    with_logins,
)
from ansible_collections.flotilla.swarm.plugins.module_utils._model.labels import LOGIN_LABEL
from ansible_collections.flotilla.swarm.plugins.module_utils._stack.login import with_login_label

AUTH = auth_of("swarm", "a:word")


def seen(content: bytes, root: Path) -> dict[str, str] | None:
    path = Path(f"{root}{LOGINS}")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return observe_logins(str(root))


@pytest.mark.parametrize(
    "before",
    [
        None,
        b"",
        b"{}",
        b'{"auths": null, "detachKeys": "ctrl-q"}',
        b'{"auths": {"registry.lab:5000": {"auth": "old"}, "other": {"auth": "x"}}}',
        b'{"credsStore": "pass"}',
        b'{"credHelpers": {"registry.lab:5000": "ecr"}}',
    ],
)
def test_a_login_is_there_afterwards_and_all_else_stays(
    before: bytes | None, tmp_path: Path
) -> None:
    after = with_logins(before, {"registry.lab:5000": AUTH})
    assert after is not None
    found = seen(after, tmp_path)
    assert found is not None
    assert found["registry.lab:5000"] == fingerprint("registry.lab:5000", AUTH)
    assert with_logins(after, {"registry.lab:5000": AUTH}) is None
    if before and before.strip():
        old, new = json.loads(before), json.loads(after)
        assert all(new.get(key) == old[key] for key in ("detachKeys", "credsStore") if key in old)


@pytest.mark.parametrize("content", [b"[]", b"nonsense", b'{"auths": [1]}', b'{"auths": "x"}'])
def test_a_file_that_is_no_configuration_is_left_alone(content: bytes, tmp_path: Path) -> None:
    assert seen(content, tmp_path) is None
    with pytest.raises(ValueError, match=r"(?i)expecting|configuration"):
        with_logins(content, {"a": AUTH})


# A fingerprint takes time on purpose.
@settings(max_examples=20)
@given(st.text(max_size=10), st.text(max_size=10))
def test_a_fingerprint_is_of_the_registry_and_the_login(one: str, other: str) -> None:
    assert (fingerprint("r", auth_of("u", one)) == fingerprint("r", auth_of("u", other))) == (
        one == other
    )
    assert fingerprint("a", AUTH) != fingerprint("b", AUTH)


def test_a_service_gets_the_label_of_the_login_of_its_own_registry() -> None:
    spec = {
        "Labels": {"a": "b"},
        "TaskTemplate": {"ContainerSpec": {"Image": "registry.lab:5000/shop:2@sha256:0"}},
    }
    logins = [{"registry": "registry.lab:5000", "username": "swarm", "password": "a:word"}]
    assert with_login_label(spec, [{**logins[0], "registry": "other:5000"}]) == spec
    labelled = with_login_label(spec, logins)
    assert labelled["Labels"] == {
        "a": "b",
        LOGIN_LABEL: fingerprint("registry.lab:5000", AUTH),
    }
    hub = {"TaskTemplate": {"ContainerSpec": {"Image": "nginx"}}}
    login = {"registry": "https://index.docker.io/v1/", "username": "u", "password": "p"}
    assert LOGIN_LABEL in with_login_label(hub, [login])["Labels"]
