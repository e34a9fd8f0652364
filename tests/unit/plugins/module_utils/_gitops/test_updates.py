# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Image updates: which tag is newer, and that nothing else in a file changes."""

from __future__ import annotations

import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.flotilla.swarm.plugins.module_utils._common.errors import SwarmError
from ansible_collections.flotilla.swarm.plugins.module_utils._gitops.patterns import bounded_matches
from ansible_collections.flotilla.swarm.plugins.module_utils._gitops.semver import (
    parse_range,
    parse_version,
)
from ansible_collections.flotilla.swarm.plugins.module_utils._gitops.updates import (
    MOST_TAGS,
    Answer,
    ImagePolicy,
    Updates,
    ask,
    newest,
    plan_updates,
    together,
)
from ansible_collections.flotilla.swarm.plugins.module_utils._stack.compose_file import read

WEB = "registry.example/shop/web"
DIGEST, OTHER = "sha256:" + "a" * 64, "sha256:" + "b" * 64


# Versions and ranges, as npm has them (node-semver: test/fixtures)


@pytest.mark.parametrize(
    ("wanted", "inside", "outside"),
    [
        (
            ">=1.2 <2",
            ["1.2.0", "1.2", "1.99.99", "v1.5.0"],
            ["1.1.9", "2.0.0", "2.0.0-rc.1", "1.3.0-rc.1"],
        ),
        ("^1.2.3", ["1.2.3", "1.9.0"], ["1.2.2", "2.0.0", "1.2.3-beta"]),
        ("^0.2.3", ["0.2.3", "0.2.9"], ["0.3.0", "0.2.2"]),
        ("^0.0.3", ["0.0.3"], ["0.0.4"]),
        ("^0", ["0.9.9"], ["1.0.0"]),
        ("^2", ["2.0.0", "2.5"], ["3.0.0", "1.9.9"]),
        ("^1.x", ["1.0.0", "1.9.0"], ["2.0.0"]),
        ("^0.0", ["0.0.1", "0.0.9"], ["0.1.0"]),
        ("~1.4", ["1.4.0", "1.4.9"], ["1.5.0", "1.3.9"]),
        ("~1", ["1.0.0", "1.9.0"], ["2.0.0"]),
        ("~1.2.3", ["1.2.3", "1.2.9"], ["1.3.0"]),
        ("1.2", ["1.2.0", "1.2.7"], ["1.3.0"]),
        ("1.x", ["1.2.0"], ["2.0.0"]),
        ("1.2.*", ["1.2.9"], ["1.3.0"]),
        ("*", ["0.0.1", "99.0.0"], ["1.0.0-rc.1"]),
        ("", ["1.0.0"], []),
        ("=1.2.3", ["1.2.3"], ["1.2.4"]),
        ("1.2.3", ["1.2.3"], ["1.2.4", "1.2.3-rc.1"]),
        (">1.2", ["1.3.0"], ["1.2.9"]),
        (">1.2.3", ["1.2.4"], ["1.2.3"]),
        ("<=1.2", ["1.2.9"], ["1.3.0"]),
        ("<=1.2.3", ["1.2.3"], ["1.2.4"]),
        ("<1.2", ["1.1.9"], ["1.2.0", "1.2.0-rc.1"]),
        ("1.2 - 1.4", ["1.2.0", "1.4.9"], ["1.1.9", "1.5.0"]),
        ("1.2.3 - 2", ["2.9.9"], ["1.2.2", "3.0.0"]),
        ("1.x || >=3", ["1.5.0", "4.0.0"], ["2.0.0"]),
        (">= 1.2, < 2", ["1.5.0"], ["2.0.0"]),
        (">=1.2.0-rc.1 <2", ["1.2.0-rc.1", "1.2.0-rc.2", "1.2.0"], ["1.2.0-beta", "1.3.0-rc.1"]),
        ("~1.2.3-beta.2", ["1.2.3-beta.4", "1.2.9"], ["1.2.4-beta.2", "1.3.0"]),
        (">=2024.01.05", ["2024.1.5", "2025.12.31"], ["2024.01.04"]),
    ],
)
def test_ranges(wanted: str, inside: list[str], outside: list[str]) -> None:
    found = parse_range(wanted)
    for text, is_inside in [
        *((each, True) for each in inside),
        *((each, False) for each in outside),
    ]:
        version = parse_version(text)
        assert version is not None
        assert found.contains(version) is is_inside, text


@pytest.mark.parametrize(
    "text", [">>1", "a", "1.2.3.4", ">x", "<*", "1 -", "~", "=> 1", "1.2.3 " * 30, "9" * 30]
)
def test_what_is_no_range(text: str) -> None:
    with pytest.raises(ValueError, match=r"part of a range|no version|too many parts"):
        parse_range(text)


def test_the_order_of_versions() -> None:
    # semver.org, item 11.
    ordered = "1.0.0-alpha 1.0.0-alpha.1 1.0.0-alpha.beta 1.0.0-beta 1.0.0-beta.2 1.0.0-beta.11 1.0.0-rc.1 1.0.0 1.0.1 1.2 1.10 2.0.0"
    versions = [parse_version(text) for text in ordered.split()]
    keys = [version.key for version in versions if version is not None]
    assert keys == sorted(keys)
    assert len(set(keys)) == len(versions)


@pytest.mark.parametrize(
    "text", ["", "latest", "1.2.3.4", "1..2", "v", "1.2-", "a1.2", "1.2 ", "\u0661.2"]
)
def test_what_is_no_version(text: str) -> None:
    assert parse_version(text) is None


versions = st.builds(
    "{}.{}.{}{}".format, *[st.integers(0, 12)] * 3, st.sampled_from(["", "", "-rc.1", "-alpine"])
)


@given(versions, st.lists(versions), st.sampled_from(["*", ">=1.2 <9", "^3", "~2.4", "1.x || 5"]))
def test_a_version_never_goes_down_and_stays_in_its_range(
    old: str, tags: list[str], wanted: str
) -> None:
    new = newest(ImagePolicy(WEB, versions=wanted), old, [*tags, "latest", "main"])
    before, after = parse_version(old), parse_version(new)
    assert before is not None
    assert after is not None
    if new == old:
        higher = [
            v
            for v in map(parse_version, tags)
            if v and parse_range(wanted).contains(v) and v.key > before.key
        ]
        assert higher == []
    else:
        assert after.key > before.key
        assert parse_range(wanted).contains(after)


# Which tag


def test_the_newest_tag_of_a_range() -> None:
    tags = ["1.2.0", "1.3.0", "1.10.0", "2.0.0", "1.11.0-rc.1", "latest", "v1.9.0", "1.10"]
    policy = ImagePolicy(WEB, versions="1.x")
    assert newest(policy, "1.2.0", tags) == "1.10.0"
    assert newest(policy, "1.10.0", tags) == "1.10.0"
    # The same version in another spelling is not newer, and neither is what has left the registry.
    assert newest(policy, "1.10", tags) == "1.10"
    assert newest(policy, "1.12.0", tags) == "1.12.0"
    assert newest(policy, "2.1.0", tags) == "2.1.0"
    assert newest(policy, "1.2.0", []) == "1.2.0"


def test_the_newest_tag_of_a_pattern() -> None:
    tags = ["main-9-abc", "main-10-def", "main-11-fix", "dev-99-xyz", "main--1"]
    numbers = ImagePolicy(WEB, pattern=r"main-(?P<order>\d+)-[0-9a-f]+", order="number")
    assert newest(numbers, "main-9-abc", tags) == "main-10-def"
    names = ImagePolicy(WEB, pattern=r"\d{4}-\d\d-\d\d", order="name")
    assert newest(names, "2026-09-30", ["2026-10-01", "2026-09-31", "x"]) == "2026-10-01"
    flavour = ImagePolicy(WEB, pattern=r"(\d+\.\d+\.\d+)-alpine", versions="<2")
    assert (
        newest(flavour, "1.2.3-alpine", ["1.3.0-alpine", "1.4.0", "2.0.0-alpine"]) == "1.3.0-alpine"
    )


@pytest.mark.parametrize(
    "policy",
    [ImagePolicy(WEB, versions="*"), ImagePolicy(WEB, pattern="main-([0-9]+)", order="number")],
)
def test_a_tag_that_cannot_be_compared_stays(policy: ImagePolicy) -> None:
    with pytest.raises(SwarmError, match="its tag 'latest' is none that the policy can compare"):
        newest(policy, "latest", ["1.0.0", "main-1"])


def test_a_pattern_cannot_take_forever() -> None:
    began = time.process_time()
    with pytest.raises(SwarmError) as caught:
        bounded_matches("(a+)+b", ["a" * 100], "order", seconds=0.2)
    assert caught.value.code == "no_update"
    assert time.process_time() - began < 2
    # Nothing is left of the limit.
    assert bounded_matches("(a+)b", ["aab", "b"], "order") == {"aab": "aa"}
    end = time.process_time() + 0.3
    while time.process_time() < end:
        pass


# Where it is written

COMPOSE = """\
# Web, and \u00e4 job
x-base: &base
    image:   'registry.example/shop/web:1.2.0'   # the web image
services:
    web:
        <<: *base
        environment: {IMAGE: "registry.example/shop/web:1.2.0"}
    api: {image: registry.example/shop/api:1.0.0, command: [run]}
    worker:
        image: "registry.example/shop/web:1.2.0@sha256:DIGEST"
    db:
        image: postgres:16
    cron:
        image: registry.example/shop/cron:${CRON_TAG:-1}
""".replace("DIGEST", "a" * 64)
RANGE = ImagePolicy(WEB, versions="1.x")


def plan(policy: ImagePolicy, answer: Answer, compose: str = COMPOSE, **env_files: str) -> Updates:
    return plan_updates("shop", [policy], {"compose.yml": compose}, env_files, {policy: answer})


def test_only_the_image_changes() -> None:
    found = plan(RANGE, Answer(tags=("1.2.0", "1.3.0")))
    assert found.problems == ()
    # That of the environment is no image, and stays.
    assert found.texts == {
        "compose.yml": COMPOSE.replace(
            "'registry.example/shop/web:1.2.0'", "'registry.example/shop/web:1.3.0'"
        ).replace(f"web:1.2.0@{DIGEST}", "web:1.3.0")
    }
    assert [update.line() for update in found.updates] == [
        "Update shop_web: registry.example/shop/web 1.2.0 -> 1.3.0",
        "Update shop_worker: registry.example/shop/web 1.2.0 -> 1.3.0",
    ]
    assert found.message() == (
        "Update 2 images\n\nUpdate shop_web: registry.example/shop/web 1.2.0 -> 1.3.0\n"
        "Update shop_worker: registry.example/shop/web 1.2.0 -> 1.3.0"
    )


def test_what_is_newest_already_changes_nothing() -> None:
    assert plan(RANGE, Answer(tags=("1.2.0", "1.1.0", "2.0.0"))) == Updates()
    assert plan(RANGE, Answer(tags=())) == Updates()


def test_a_registry_that_does_not_answer_changes_nothing_and_says_so() -> None:
    found = plan(RANGE, Answer(problem="Could not read the tags: no answer."))
    assert (found.texts, found.updates) == ({}, ())
    assert found.problems == (
        f"Could not look for updates of image {WEB} of shop: Could not read the tags: no answer.",
    )
    assert plan_updates("shop", [RANGE], {"compose.yml": COMPOSE}, {}, {}) == Updates()


def test_the_digest_of_a_tag() -> None:
    policy = ImagePolicy("registry.example/shop/api", digest_of="stable")
    found = plan(policy, Answer(digest=DIGEST))
    assert (
        f"api: {{image: registry.example/shop/api:stable@{DIGEST}, command: [run]}}"
        in found.texts["compose.yml"]
    )
    assert (
        found.message()
        == f"Update shop_api: registry.example/shop/api 1.0.0 -> stable@{DIGEST[:19]}"
    )
    again = plan(policy, Answer(digest=DIGEST), found.texts["compose.yml"])
    assert again == Updates()
    moved = plan(policy, Answer(digest=OTHER), found.texts["compose.yml"])
    assert moved.message().endswith(f"stable@{DIGEST[:19]} -> stable@{OTHER[:19]}")
    assert plan(policy, Answer(digest="sha256:no")).problems != ()


def test_a_short_name_stays_short() -> None:
    policy = ImagePolicy("docker.io/library/postgres", versions="^16")
    found = plan(policy, Answer(tags=("16.4", "17")))
    assert "        image: postgres:16.4\n" in found.texts["compose.yml"]


CRON = ImagePolicy("registry.example/shop/cron", versions="*", variable="CRON_TAG", file=".env")


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("CRON_TAG=1.0\n", "CRON_TAG=1.1\n"),
        (
            "# CRON_TAG=1.0\nA=1.0\r\nexport CRON_TAG = '1.0'  \r\nB=2\r\n",
            "# CRON_TAG=1.0\nA=1.0\r\nexport CRON_TAG = '1.1'  \r\nB=2\r\n",
        ),
        ('CRON_TAG="1.0"', 'CRON_TAG="1.1"'),
    ],
)
def test_a_variable_in_an_env_file(before: str, after: str) -> None:
    found = plan(CRON, Answer(tags=("1.0", "1.1")), **{".env": before})
    assert found.problems == ()
    assert found.texts == {".env": after}
    assert found.message() == "Update shop_cron: registry.example/shop/cron 1.0 -> 1.1"


@pytest.mark.parametrize(
    ("policy", "env", "words"),
    [
        (CRON, "OTHER=1\n", "does not set CRON_TAG"),
        (CRON, "CRON_TAG=1.0\nCRON_TAG=1.0\n", "sets CRON_TAG 2 times"),
        (CRON, "CRON_TAG=latest\n", "its tag 'latest' is none"),
        (CRON, "no variable\n", "is not NAME=value"),
        (
            ImagePolicy("registry.example/shop/cron", versions="*"),
            "",
            "name the variable and its env file in the policy",
        ),
        (ImagePolicy("registry.example/shop/none", versions="*"), "", "no service uses it"),
        (
            ImagePolicy("registry.example/shop/web", versions="*", variable="X", file="other"),
            "",
            None,
        ),
        (
            ImagePolicy(
                "registry.example/shop/cron", versions="*", variable="CRON_TAG", file="other"
            ),
            "",
            "other is none of its env files",
        ),
    ],
)
def test_what_cannot_be_updated_stays_and_is_named(
    policy: ImagePolicy, env: str, words: str | None
) -> None:
    found = plan(policy, Answer(tags=("1.1",)), **{".env": env})
    assert found.texts == {}
    if words is None:
        assert found.problems == ()
    else:
        assert len(found.problems) == 1
        assert words in found.problems[0]
        assert not found.problems[0].endswith("..")


@pytest.mark.parametrize(
    ("compose", "words"),
    [
        (
            'services: {web: {image: "registry.example/shop/\\x77eb:1.2.0"}}',
            "writes its image with escapes",
        ),
        (
            "services: {web: {image: &i registry.example/shop/web:1.2.0, command: [*i]}}",
            "uses the image in other places too",
        ),
        (
            "services: {web: {image: registry.example/shop/web@sha256:" + "a" * 64 + "}}",
            "it has a digest and no tag",
        ),
        ("services: {web: {image: registry.example/shop/web}}", "its tag 'latest' is none"),
        ("services: [", "is not YAML"),
    ],
)
def test_files_that_cannot_be_edited_safely_stay(compose: str, words: str) -> None:
    found = plan(RANGE, Answer(tags=("1.2.0", "1.3.0")), compose)
    assert (found.texts, found.updates) == ({}, ())
    assert words in found.problems[0]


def test_an_image_with_an_anchor_for_several_services_is_replaced_once() -> None:
    text = "services:\n  web: {image: &i registry.example/shop/web:1.2.0}\n  job: {image: *i}\n"
    found = plan(RANGE, Answer(tags=("1.3.0",)), text)
    assert found.texts == {"compose.yml": text.replace("1.2.0", "1.3.0")}
    assert [update.subject for update in found.updates] == ["shop_web", "shop_job"]


def test_a_file_with_a_byte_order_mark_and_other_line_ends() -> None:
    text = "\ufeffservices:\r\n  web:\r\n    image: registry.example/shop/web:1.2.0\r\n"
    assert plan(RANGE, Answer(tags=("1.3.0",)), text).texts == {
        "compose.yml": text.replace("1.2.0", "1.3.0")
    }


def test_several_updates_are_one_commit() -> None:
    api = ImagePolicy("registry.example/shop/api", versions="*")
    answers = {
        RANGE: Answer(tags=("1.3.0",)),
        api: Answer(tags=("1.1.0",)),
        CRON: Answer(problem="it is down"),
    }
    found = plan_updates("shop", [RANGE, api, CRON], {"compose.yml": COMPOSE}, {}, answers)
    assert found.message().splitlines()[0] == "Update 3 images"
    assert len(found.problems) == 1
    assert found.texts["compose.yml"].count("1.3.0") == 2
    assert "shop/api:1.1.0" in found.texts["compose.yml"]
    other = plan_updates("blog", [api], {"blog.yml": COMPOSE}, {}, answers)
    both = together([found, other])
    assert set(both.texts) == {"compose.yml", "blog.yml"}
    assert both.message().splitlines()[0] == "Update 4 images"


names = st.sampled_from(["web", "api", "job"])
tags = st.builds("{}.{}.{}".format, *[st.integers(0, 3)] * 3)
styles = st.sampled_from(
    [
        "image: {}",
        "image:   '{}' # x",
        'image: "{}"',
        "{{image: {}, command: [a]}}",
        "image: &{n} {}",
        "image: >-\n      {}",
    ]
)


@given(
    st.lists(st.tuples(names, tags, styles), min_size=1, max_size=5),
    st.lists(tags, max_size=5),
    st.booleans(),
)
def test_nothing_but_tags_of_the_image_ever_changes(
    services: list[Any], known: list[str], carriage: bool
) -> None:
    text = "services:\n"
    for number, (name, tag, style) in enumerate(services):
        image = f"registry.example/shop/{name}:{tag}"
        block = style.format(image, n=f"a{number}")
        text += (
            f"  s{number}: {block}\n" if block.startswith("{") else f"  s{number}:\n    {block}\n"
        )
    text = text.replace("\n", "\r\n") if carriage else text
    found = plan(RANGE, Answer(tags=tuple(known)), text)
    uses = any(name == "web" for name, _tag, _style in services)
    assert bool(found.problems) is not uses
    after = found.texts.get("compose.yml", text)
    old, new = read(text).document["services"], read(after).document["services"]
    for number, (name, tag, _style) in enumerate(services):
        was, now = old[f"s{number}"], new[f"s{number}"]
        best = newest(RANGE, tag, known) if name == "web" else tag
        assert now == {**was, "image": f"registry.example/shop/{name}:{best}"}
    # And byte for byte, what is between the tags stays.
    for _name, tag, _style in services:
        text = text.replace(tag, "")
    for tag in [*known, *(tag for _name, tag, _style in services)]:
        after = after.replace(tag, "")
    assert after == text


# The registry


def test_the_registry_is_asked_for_tags_or_for_a_digest() -> None:
    def tags_of(repository: str) -> list[str]:
        return [f"{repository}-1"]

    def digest(repository: str, tag: str) -> str | None:
        return DIGEST if (repository, tag) == ("shop/web", "stable") else None

    assert ask(RANGE, tags_of, digest) == Answer(tags=("shop/web-1",))
    assert ask(ImagePolicy(WEB, digest_of="stable"), tags_of, digest) == Answer(digest=DIGEST)
    assert ask(ImagePolicy(WEB, digest_of="x"), tags_of, digest).problem == f"{WEB} has no tag x"


def test_the_number_of_tags_is_bounded() -> None:
    found = plan(RANGE, Answer(tags=tuple(f"1.{n}.0" for n in range(MOST_TAGS + 1))))
    assert "10000 are looked at" in found.problems[0]
