# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The registry of a host: the checks of its options, its files, and what a run changes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from ansible_collections.flotilla.swarm.plugins.module_utils._common.errors import SwarmError
from ansible_collections.flotilla.swarm.plugins.module_utils._host.units import InstallPlan
from ansible_collections.flotilla.swarm.plugins.module_utils._registry import settings
from ansible_collections.flotilla.swarm.plugins.module_utils._registry.inventory import (
    registry_of,
    with_logins,
)
from ansible_collections.flotilla.swarm.plugins.module_utils._registry.plan import (
    Held,
    Observed,
    plan_registry,
)

ROLE = Path(settings.__file__).resolve().parents[3] / "roles" / "registry"
DAY = 86400.0
USERS = [{"name": "swarm", "password": "hidden-word"}, {"name": "ci", "password": "other-word"}]


def options(**more: Any) -> dict[str, Any]:
    defaults = yaml.safe_load((ROLE / "defaults" / "main.yml").read_text())
    plain = {name[len("registry_") :]: value for name, value in defaults.items()}
    return {**plain, "name": "registry.lab", "users": USERS, **more}


def wanted(**more: Any) -> settings.Wanted:
    return settings.parse_wanted(options(**more))


def a_certificate(key: str = "k", age: float = 0, days: int = 365) -> settings.Certificate:
    begins = 1e9 - age * DAY
    return settings.Certificate(begins, begins + days * DAY, frozenset({"registry.lab"}), key)


def observed(**more: Any) -> Observed:
    """A host on which nothing is to be done."""
    held = Held(a_certificate("c", days=3650), "c", a_certificate(), "k", issued=True)
    running = frozenset({settings.SERVICE})
    fine: dict[str, Any] = dict(
        now=1e9,
        held=held,
        passwords={"swarm": True, "ci": True},
        running=running,
        enabled=running,
    )
    return Observed(**{**fine, **more})


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": ""},
        {"name": "-rf"},
        {"name": "a b"},
        {"name": "registry.lab:5000"},
        {"name": "fe80::1"},
        {"name": "a" * 300},
        {"port": 0},
        {"port": 65536},
        {"users": []},
        {"users": [*USERS, USERS[0]]},
        {"users": [{"name": "a:b", "password": "x"}]},
        {"users": [{"name": "-B", "password": "x"}]},
        {"users": [{"name": "a", "password": ""}]},
        {"users": [{"name": "a", "password": "hidden\nword"}]},
        {"users": [{"name": "a", "password": "hidden" * 13}]},
        {"login": "nobody"},
        {"storage": "/"},
        {"storage": "/etc/registry"},
        {"storage": "/var/lib/../../etc"},
        {"storage": "/var/lib/a b"},
        {"storage": "relative"},
        {"certificate": "-----BEGIN CERTIFICATE-----"},
        {"ca_certificate": "-----BEGIN CERTIFICATE-----"},
        {"certificate": "x", "certificate_key": "y"},
        {"mirror_of": "ftp://hub"},
        {"mirror_of": "https://user:hidden@hub"},
        {"mirror_of": "https://registry.lab:5000"},
        {"mirror_of": "https://registry.lab:5001/"},
        {"mirror_of": "https://hub", "mirror_port": 5000},
        {"mirror_of": "https://hub", "mirror_storage": "/var/lib/docker-registry/mirror"},
        {"mirror_of": "https://hub", "mirror_username": "me"},
        {"gc_timeout": 5},
    ],
)
def test_a_wrong_value_is_refused_in_a_sentence_without_a_password(wrong: dict[str, Any]) -> None:
    with pytest.raises(SwarmError) as caught:
        wanted(**wrong)
    assert caught.value.code == "bad_option"
    assert "registry_" in caught.value.message
    assert "hidden" not in caught.value.message or "mirror" in caught.value.message


def test_the_address_without_a_run_is_that_of_the_defaults() -> None:
    defaults = yaml.safe_load((ROLE / "defaults" / "main.yml").read_text())
    assert (defaults["registry_port"], defaults["registry_mirror_port"]) == (
        settings.PORT,
        settings.MIRROR_PORT,
    )
    found = registry_of("r1", {"ansible_host": "192.0.2.5", "registry_users": USERS})
    assert (found["address"], found["username"]) == ("192.0.2.5:5000", "swarm")
    assert found["trust"] == {}
    with pytest.raises(SwarmError):
        registry_of("r1", {"registry_users": "none"})


def test_a_login_of_the_stack_itself_takes_precedence() -> None:
    own = [{"registry": "192.0.2.5:5000", "username": "me", "password": "mine"}]
    found = registry_of("r1", {"ansible_host": "192.0.2.5", "registry_users": USERS})
    assert with_logins(own, [found]) == own
    assert [each["username"] for each in with_logins([], [found])] == ["swarm"]


def test_files_have_no_password_and_the_read_only_registry_differs_in_that_alone() -> None:
    files = settings.registry_files(
        wanted(mirror_of="https://hub", mirror_username="me", mirror_password="hidden-word")
    )
    assert not [path for path, file in files.items() if b"hidden-word" in (file.content or b"")]
    config, read_only = (
        json.loads(files[path].content or b"") for path in (settings.CONFIG, settings.READ_ONLY)
    )
    assert config["storage"]["maintenance"]["readonly"] == {"enabled": False}
    assert read_only["storage"]["maintenance"]["readonly"] == {"enabled": True}
    for each in (config, read_only):
        del each["storage"]["maintenance"]
    assert config == read_only
    assert settings.registry_files(wanted())[settings.MIRROR_CONFIG].content is None


def test_nothing_is_to_be_done() -> None:
    assert plan_registry(observed(), wanted()).steps == []


@pytest.mark.parametrize(
    ("seen", "step"),
    [
        ({"passwords": {"swarm": False, "ci": True}}, "set the password of user swarm"),
        ({"passwords": {"swarm": True}}, "set the password of user ci"),
        ({"passwords": {"swarm": True, "ci": True, "old": False}}, "remove user old"),
        ({"running": frozenset()}, "restart flotilla-registry.service: it does not run"),
        ({"enabled": frozenset()}, "restart flotilla-registry.service: it would not start at boot"),
        ({"silent": frozenset({settings.SERVICE})}, "restart flotilla-registry.service: it does not answer"),
        ({"restart_due": True}, "restart flotilla-registry.service: an earlier run was interrupted"),
        ({"left_read_only": True}, "leave the read-only mode of an interrupted garbage collection"),
        ({"held": Held()}, "create the certificate authority, for 3650 days"),
        ({"files": InstallPlan("t", write=(settings.CONFIG,))}, "restart flotilla-registry.service: its files change"),
    ],
)  # fmt: skip
def test_what_differs_is_put_right(seen: dict[str, Any], step: str) -> None:
    assert step in plan_registry(observed(**seen), wanted()).steps


@pytest.mark.parametrize(
    ("age", "days", "step"),
    [
        (242, 365, None),
        (245, 365, "issue a certificate for 365 days: its time is almost over"),
        (2430, 3650, None),
        (2440, 3650, "renew the certificate authority, for 3650 days"),
    ],
)
def test_certificates_are_renewed_in_the_last_third_of_their_time(
    age: float, days: int, step: str | None
) -> None:
    old = {"ca" if days == 3650 else "certificate": a_certificate("kc"[days == 3650], age, days)}
    held = observed().held
    steps = plan_registry(observed(held=Held(**{**vars(held), **old})), wanted()).steps
    assert [each for each in steps if "restart" not in each] == ([step] if step else [])


def test_another_registry_on_the_host_is_left_alone() -> None:
    with pytest.raises(SwarmError) as caught:
        plan_registry(observed(foreign=True), wanted())
    assert caught.value.code == "conflict"
