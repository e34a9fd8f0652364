# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is wrong with variables, in sentences: by the argument specs of the roles themselves."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.flotilla.swarm.plugins.module_utils._cluster.variables import (
    RANGES,
    check_values,
    misspelt_names,
    resembles_ours,
)

ROLES = Path(__file__).resolve().parents[5] / "roles"
OPTIONS: dict[str, Any] = {}
for role in ("swarm", "docker_engine", "swarm_stack"):
    text = (ROLES / role / "meta" / "argument_specs.yml").read_text(encoding="utf-8")
    OPTIONS.update(yaml.safe_load(text)["argument_specs"]["main"]["options"])


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("swarm_zone", ["a", "b"], "swarm_zone is a list: it must be a string such as a"),
        (
            "swarm_zone",
            False,
            "swarm_zone is false: it must be a string: put it in quotes",
        ),
        ("swarm_removal_limit", -1, "swarm_removal_limit is -1: it must be a number from 0 to 1"),
        (
            "swarm_removal_limit",
            "20",
            "swarm_removal_limit is '20': it must be a number from 0 to 1",
        ),
        ("swarm_removal_limit", math.nan, "swarm_removal_limit is nan: it must be a number"),
        ("swarm_removal_limit", "nan", "swarm_removal_limit is 'nan': it must be a number"),
        ("swarm_removal_limit", "some", "swarm_removal_limit is 'some': it must be a number"),
        ("swarm_removal_down_after", -5, "swarm_removal_down_after is -5: it must be 0 or more"),
        ("swarm_wait_timeout", -1, "swarm_wait_timeout is -1: it must be 0 or more"),
        ("swarm_wait_timeout", 1.5, "swarm_wait_timeout is 1.5: it must be a whole number"),
        ("swarm_drain_timeout", 0, "swarm_drain_timeout is 0: it must be 1 or more"),
        ("swarm_drain_timeout", True, "swarm_drain_timeout is true: it must be a whole number"),
        (
            "swarm_availability",
            "off",
            "swarm_availability is 'off': it must be one of active, pause, drain, or empty",
        ),
        (
            "swarm_labels",
            ["a"],
            "swarm_labels is a list: it must be a dictionary such as {key: value}",
        ),
        (
            "swarm_accepted_risks",
            ["all"],
            (
                "swarm_accepted_risks[0] is 'all': it must be one of lost_margin, uneven_zones, homeless_services,"
                " lack_of_room"
            ),
        ),
        (
            "swarm_remove_unlisted",
            "maybe",
            "swarm_remove_unlisted is 'maybe': it must be true or false",
        ),
        ("docker_engine_hold", {}, "docker_engine_hold is a dictionary: it must be true or false"),
        (
            "docker_engine_address_pools",
            [{"base": "10.0.0.0/8", "size": 999}],
            "docker_engine_address_pools[0].size is 999: it must be a number from 1 to 128",
        ),
        ("swarm_stack_stacks", [{}], "swarm_stack_stacks[0].name is missing: set it"),
        (
            "swarm_stack_stacks",
            [{"name": "shop", "wait_timout": 3}],
            "swarm_stack_stacks[shop] has no key 'wait_timout': did you mean wait_timeout?",
        ),
        (
            "swarm_stack_stacks",
            [{"name": "shop", "state": "here", "environment": {"PASSWORD": "s3cret"}}],
            "swarm_stack_stacks[shop].state is 'here': it must be one of present, absent, rolled_back",
        ),
        ("docker_engine_version", "x" * 5000, None),
        (
            "swarm_wait_timeout",
            90.0,
            "swarm_wait_timeout is 90.0: it must be a whole number",
        ),
        (
            "docker_engine_sdk",
            "x" * 5000,
            "docker_engine_sdk is 'xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx...'",
        ),
    ],
)
def test_what_is_wrong_with_a_value_is_one_sentence(
    name: str, value: Any, sentence: str | None
) -> None:
    wrong = check_values({name: OPTIONS[name]}, {name: value})
    assert [text.partition(": it must be one of package")[0] for text in wrong] == (
        [sentence] if sentence else []
    )


def test_the_defaults_and_what_the_command_line_gives_are_fine() -> None:
    defaults = {name: option.get("default") for name, option in OPTIONS.items()}
    assert check_values({"swarm_labels": OPTIONS["swarm_labels"]}, {"swarm_labels": None}) != []
    assert check_values(OPTIONS, defaults) == []
    texts = {
        "swarm_wait_timeout": "90",
        "swarm_removal_limit": "0.5",
        "swarm_remove_unlisted": "false",
        "swarm_accepted_risks": "lost_margin,uneven_zones",
        "swarm_labels": '{"disk": "ssd"}',
        "swarm_zone": 3,
    }
    assert check_values(OPTIONS, texts) == []


def test_every_number_has_a_range() -> None:
    elsewhere = {"swarm_subnet_size", "swarm_data_path_port"}
    numbers = {name for name, option in OPTIONS.items() if option.get("type") in ("int", "float")}
    assert numbers - elsewhere <= RANGES.keys()


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3)
    ),
    max_leaves=6,
)


@settings(max_examples=600, deadline=None, derandomize=True)
@given(st.sampled_from(sorted(OPTIONS)), ANYTHING)
def test_what_we_take_ansible_takes_and_no_class_is_named(name: str, value: Any) -> None:
    wrong = check_values({name: OPTIONS[name]}, {name: value})
    for text in wrong:
        assert text.startswith(name)
        assert "<class" not in text
        assert len(text) < 400
    if not wrong:
        taken = ArgumentSpecValidator({name: OPTIONS[name]}).validate({name: value})
        assert taken.error_messages == []


KNOWN = {
    "swarm_zone", "swarm_labels", "swarm_availability", "swarm_wait_timeout", "swarm_stack_stacks", "swarm_drain_timeout",
    "docker_engine_source",
}  # fmt: skip


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("swarm_avail", "did you mean swarm_availability?"),
        ("swarm_zoen", "did you mean swarm_zone?"),
        ("swam_zone", "did you mean swarm_zone?"),
        ("dokcer_engine_source", "did you mean docker_engine_source?"),
        ("swarm_role", "by its group"),
    ],
)
def test_a_name_that_is_a_slip(name: str, words: str) -> None:
    assert resembles_ours(name)
    assert words in misspelt_names({name, "swarm_zone"}, KNOWN)[name]


@pytest.mark.parametrize(
    "name",
    [
        "swarm_labels_common",
        "swarm_stack",
        "swarm_team",
        "docker_users",
        "ansible_host",
        "smart_zone",
    ],
)
def test_names_of_others_are_left_alone(name: str) -> None:
    assert not (resembles_ours(name) and misspelt_names({name}, KNOWN))
