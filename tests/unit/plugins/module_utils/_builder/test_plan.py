# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which commit is built, by which builder, and when."""

from __future__ import annotations

import itertools
from dataclasses import asdict, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.flotilla.swarm.plugins.module_utils._builder.plan import (
    ADOPT,
    BUILD,
    BUILT,
    FAILED,
    HISTORY,
    UNCHANGED,
    WAIT,
    Build,
    Claim,
    Head,
    Memory,
    after_error,
    as_record,
    choose,
    claim_tag,
    claim_until,
    is_idle,
    is_paused,
    latest_good,
    matters,
    next_move,
    noticed,
    parse_claim,
    parse_record,
    ranked,
    version_key,
)
from ansible_collections.flotilla.swarm.plugins.module_utils._builder.sources import Source
from ansible_collections.flotilla.swarm.plugins.module_utils._registry.reference import is_tag

SHOP = Source("shop", "shop", "registry.lab:5000/shop")
OLD, NEW = "a" * 40, "b" * 40
NOW = 1_796_000_000.0
BUILDERS = ["b1", "b2", "b3"]
ORDER = ranked("shop", BUILDERS)
names = st.lists(st.text(min_size=1, max_size=8), min_size=1, max_size=8, unique=True)


# Which commit


def test_the_head_of_a_branch() -> None:
    assert choose(SHOP, {"refs/heads/main": NEW}) == Head(NEW, "refs/heads/main")
    assert choose(SHOP, {"refs/heads/other": NEW}) is None


def test_the_highest_version_of_tags() -> None:
    source = replace(SHOP, tag_pattern="v*")
    refs = {
        f"refs/tags/{tag}": tag.ljust(40, "0")
        for tag in ("v1.9.0", "v1.10.0", "v1.10.0-rc.1", "vintage", "v1.9.9")
    }
    assert choose(source, refs) == Head("v1.10.0".ljust(40, "0"), "refs/tags/v1.10.0", "v1.10.0")
    assert choose(source, {}) is None


def test_the_order_of_versions() -> None:
    order = [
        *("nightly-2", "nightly-10", "1.0.0-alpha", "1.0.0-alpha.1", "1.0.0-alpha.beta"),
        *("1.0.0-beta.2", "1.0.0-beta.11", "v1.0.0", "2.0.0", "10.0.0"),
    ]
    for seed in range(5):
        assert sorted(order[seed:] + order[:seed], key=version_key) == order


@given(st.text(max_size=30), st.text(max_size=30))
def test_every_tag_has_a_place(one: str, other: str) -> None:
    assert (version_key(one) < version_key(other)) != (version_key(other) <= version_key(one))


@pytest.mark.parametrize(
    ("paths", "changed", "expected"),
    [
        ((), [], True),
        ((".",), ["x"], True),
        (("app",), ["app/main.py"], True),
        (("app",), ["application/main.py"], False),
        (("app",), ["app"], True),
        (("app", "Dockerfile"), ["README.md", "Dockerfile"], True),
        (("app",), ["README.md"], False),
        (("app",), [], False),
    ],
)
def test_paths_that_matter(paths: tuple[str, ...], changed: list[str], expected: bool) -> None:
    assert matters(replace(SHOP, paths=paths), changed) is expected


# Which builder


@given(names, st.text(max_size=8))
def test_builders_agree_on_their_order(builders: list[str], source: str) -> None:
    order = ranked(source, builders)
    assert sorted(order) == sorted(builders)
    assert ranked(source, reversed(builders)) == order
    # One that goes changes nothing for the others.
    assert ranked(source, builders[1:]) == [name for name in order if name != builders[0]]


def test_sources_are_spread_over_builders() -> None:
    firsts = [ranked(f"source-{number}", BUILDERS)[0] for number in range(300)]
    assert all(firsts.count(name) > 60 for name in BUILDERS)


@given(names)
def test_claims_have_tags_of_their_own(builders: list[str]) -> None:
    tags = {claim_tag("shop", name) for name in builders}
    assert len(tags) == len(builders)
    assert all(map(is_tag, tags))


def move_of(me: str, **changes: Any) -> tuple[str, str]:
    given: dict[str, Any] = dict(
        source=SHOP, head=Head(NEW, "refs/heads/main"), memory=Memory("", NEW, NOW), me=me,
        builders=BUILDERS, takeover=600, record=None, claims=[], now=NOW, asked=False,
    )  # fmt: skip
    move = next_move(**{**given, **changes})
    return move.kind, move.why


def test_the_first_builds_at_once_and_the_others_wait_in_their_order() -> None:
    for rank, me in enumerate(ORDER):
        assert move_of(me)[0] == (BUILD if rank == 0 else WAIT)
        assert move_of(me, now=NOW + rank * 600)[0] == BUILD
        if rank:
            kind, why = move_of(me, now=NOW + rank * 600 - 1)
            assert (kind, why) == (WAIT, f"{ORDER[rank - 1]} comes before this builder")
    # One that the list does not have comes in as well, at its place.
    assert move_of("stranger", now=NOW + 3 * 600)[0] == BUILD


def test_a_record_is_the_end_unless_somebody_asks() -> None:
    for state in (BUILT, FAILED, UNCHANGED):
        for me in ORDER:
            assert move_of(me, record=Build(NEW, state))[0] == ADOPT
            assert move_of(me, record=Build(NEW, state), asked=True)[0] == BUILD
    assert move_of(ORDER[0], record=Build(OLD, BUILT))[0] == BUILD


def test_a_claim_of_another_builder_counts_until_it_is_stale() -> None:
    for commit in (OLD, NEW):
        claim = Claim(ORDER[1], commit, NOW + 1)
        for asked in (False, True):
            assert move_of(ORDER[0], claims=[claim], asked=asked)[0] == WAIT
        assert move_of(ORDER[0], claims=[claim], now=NOW + 1)[0] == BUILD
        assert move_of(ORDER[1], claims=[claim], now=NOW + 600)[0] == BUILD


@given(st.data())
def test_of_two_builders_that_begin_together_at_most_one_goes_on(data: st.DataObject) -> None:
    """Each writes its claim and then reads the others', in any order of these steps. Who sees another one gives way."""
    steps = data.draw(
        st.permutations(["write b1", "read b1", "write b2", "read b2", "write b3", "read b3"])
    )
    for builder in BUILDERS:
        write, read = steps.index(f"write {builder}"), steps.index(f"read {builder}")
        if write > read:
            steps[write], steps[read] = steps[read], steps[write]
    written: list[Claim] = []
    going = []
    for step in steps:
        verb, builder = step.split()
        if verb == "write":
            written.append(Claim(builder, NEW, NOW + 100))
        elif not any(claim.builder != builder and claim.fresh(NOW) for claim in written):
            going.append(builder)
    assert len(going) <= 1


def test_a_claim_outlives_every_limit_of_its_build() -> None:
    assert claim_until(SHOP, NOW) > NOW + SHOP.timeout
    assert claim_until(replace(SHOP, test=("x",)), NOW) > NOW + 2 * SHOP.timeout


def test_claims_of_the_registry() -> None:
    claim = Claim("b1", NEW, NOW)
    assert parse_claim(asdict(claim)) == claim
    for document in (
        None,
        {},
        {"builder": "b1"},
        {"builder": "b1", "commit": NEW, "until": "soon"},
    ):
        assert parse_claim(document) is None


# What a builder remembers


def test_memory() -> None:
    head = Head(NEW, "refs/heads/main")
    memory = noticed(Memory(OLD, OLD, 1.0, 3, 50.0), head, NOW)
    assert memory == Memory(OLD, NEW, NOW)
    assert noticed(memory, head, NOW + 9) is memory
    assert not is_idle(memory, head, False)
    assert is_idle(replace(memory, handled=NEW), head, False)
    assert not is_idle(replace(memory, handled=NEW), head, True)


def test_attempts_after_errors_are_further_and_further_apart() -> None:
    memory = Memory(seen=NEW)
    pauses = []
    for _number in range(20):
        memory = after_error(memory, NOW)
        pauses.append(memory.not_before - NOW)
    assert pauses[:3] == [30, 60, 120]
    assert max(pauses) == 600
    assert is_paused(memory, NOW, False)
    assert not is_paused(memory, NOW, True)
    assert not is_paused(memory, NOW + 3600, False)
    assert (memory.handled, memory.seen) == ("", NEW)


# Records


def test_a_record_keeps_a_bounded_history() -> None:
    document: dict[str, Any] | None = None
    for number in range(HISTORY + 5):
        state = FAILED if number % 2 else BUILT
        build = Build(
            f"{number:040x}", state, "i", ("i", "j"), builder="b1", at=1.0, steps={"build": 2.0}
        )
        document = as_record(build, document)
        assert parse_record(document) == build
    assert document
    assert len(document["history"]) == HISTORY
    good = latest_good(document)
    assert good
    assert good.commit == f"{HISTORY + 4:040x}"


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=6,
)


@given(st.dictionaries(st.sampled_from([*asdict(Build("", "")), "history"]), json_values))
def test_a_damaged_record_breaks_nothing(document: dict[str, Any]) -> None:
    for each in (document, {**document, "state": BUILT, "commit": NEW}):
        parse_record(each)
        latest_good(each)
        as_record(Build(NEW, BUILT), each)


def test_the_latest_good_build_can_be_unchanged() -> None:
    document = as_record(Build(OLD, UNCHANGED, "registry.lab/shop:1", digest="d"), None)
    document = as_record(Build(NEW, FAILED), document)
    good = latest_good(document)
    assert good
    assert (good.commit, good.image, good.digest) == (OLD, "registry.lab/shop:1", "d")


def test_builders_of_one_source_never_all_wait_for_each_other() -> None:
    """Whatever has died, after the time of all ranks and claims somebody builds."""
    for alive in (
        set(each) for size in (1, 2, 3) for each in itertools.combinations(BUILDERS, size)
    ):
        claims = [Claim(name, NEW, claim_until(SHOP, NOW)) for name in set(BUILDERS) - alive]
        late = claim_until(SHOP, NOW) + 3 * 600
        assert any(move_of(me, claims=claims, now=late)[0] == BUILD for me in alive)
