# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Sources as people write them, and the tags of their images."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.flotilla.swarm.plugins.module_utils._builder.sources import (
    Source,
    image_tags,
    parse_source,
    parse_sources,
)
from ansible_collections.flotilla.swarm.plugins.module_utils._registry.reference import is_tag

SHOP = {"name": "shop", "repository": "shop", "image": "registry.lab:5000/shop"}
COMMIT = "2f1c0a9d1d4b6b0f6a3a4c2b5e8d7f9a0b1c2d3e"


def problems_of(**changes: Any) -> list[str]:
    problems: list[str] = []
    parse_source({**SHOP, **changes}, {"shop"}, problems)
    return problems


def test_a_source_needs_three_keys() -> None:
    problems: list[str] = []
    assert parse_source(SHOP, {"shop"}, problems) == Source(
        "shop", "shop", "registry.lab:5000/shop"
    )
    assert not problems
    for key in SHOP:
        found: list[str] = []
        parse_source({name: value for name, value in SHOP.items() if name != key}, {"shop"}, found)
        assert found == [f"{key} is missing, set it"]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"name": "-x"}, "name is '-x'"),
        ({"name": "a" * 41}, "41 characters"),
        ({"name": ["x"]}, "must be a string"),
        ({"repository": "other"}, "does not know; its repositories are shop"),
        ({"repository": "ssh://git@git.example/x"}, "repository is"),
        ({"image": "shop"}, "must begin with a registry"),
        ({"image": "registry.lab:5000/shop:1"}, "must have no tag"),
        ({"image": "registry.lab:5000/shop@sha256:" + "a" * 64}, "must have no tag"),
        ({"image": "registry.lab:5000/Shop"}, "no valid repository"),
        ({"image": "--help/x"}, "no valid repository"),
        ({"branch": "-x"}, "not the name of a branch"),
        ({"branch": "a..b"}, "not the name of a branch"),
        ({"branch": "main", "tag_pattern": "v*"}, "are both set"),
        ({"tag_pattern": "--upload-pack=x"}, "tag_pattern is"),
        ({"paths": ["../x"]}, "path within the repository"),
        ({"paths": "app"}, "must be a list"),
        ({"context": "/etc"}, "path within the repository"),
        ({"context": "a/../../b"}, "path within the repository"),
        ({"dockerfile": "../Dockerfile"}, "path within the repository"),
        ({"target": "-x"}, "target is"),
        ({"args": {"NPM_TOKEN": "x"}}, "looks like a credential"),
        ({"args": {"a-b": "x"}}, "args has the name"),
        ({"args": ["x"]}, "must be a dictionary"),
        ({"test": "make test"}, "must be a list"),
        ({"tags": []}, "is empty"),
        ({"tags": ["{nothing}"]}, "has {nothing}"),
        ({"tags": ["{tag}"]}, "has {tag}"),
        ({"tags": ["flotilla-{commit}"]}, "reserved"),
        ({"tags": ["a b"]}, "not a tag"),
        ({"tags": ["x"] * 11}, "10 are allowed"),
        ({"platforms": ["arm64"]}, "platforms[0] is"),
        ({"timeout": 0}, "timeout is"),
        ({"memory_mb": -1}, "memory_mb is"),
        ({"memory_mb": "much"}, "memory_mb is"),
        ({"size_mb": 1 << 30}, "size_mb is"),
        ({"test_network": 3}, "test_network is"),
        ({"contekst": "x"}, "did you mean context?"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named(changes: dict[str, Any], words: str) -> None:
    found = problems_of(**changes)
    assert any(words in problem for problem in found), found


def test_a_bad_source_does_not_stop_the_others() -> None:
    document = [SHOP, {**SHOP, "name": "cart", "timeout": 0}, "x", {**SHOP, "name": "till"}]
    found, wrong = parse_sources({"sources": document}, {"shop"})
    assert [source.name for source in found] == ["shop", "till"]
    assert sorted(wrong) == ["cart", "sources[2]"]
    # Of two with one name, neither is built.
    for twice in ([SHOP, SHOP], [SHOP, SHOP, SHOP], [{**SHOP, "timeout": 0}, SHOP]):
        found, wrong = parse_sources(twice, {"shop"})
        assert not found
        assert sorted(wrong) == ["shop"]


@pytest.mark.parametrize("document", [None, "x", 3, {"source": []}, {"sources": {}}, [None] * 201])
def test_what_is_no_list_of_sources(document: Any) -> None:
    found, wrong = parse_sources(document, {"shop"})
    assert not found
    assert list(wrong) == ["sources.yml"]


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
        lambda inner: (
            st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
        ),
        max_leaves=8,
    )
)
def test_no_document_breaks_the_reader(document: Any) -> None:
    for key in ("name", "paths", "args", "tags", "image", "timeout", "context", "test"):
        parse_sources([{**SHOP, key: document}], {"shop"})
    parse_sources(document, {"shop"})


def test_tags_come_from_the_commit_alone() -> None:
    source = Source(
        "shop", "shop", "registry.lab/shop", tag_pattern="v*",
        tags=("{commit}", "{date}", "{tag}", "{version}", "x-{version}", "latest"),
    )  # fmt: skip
    assert image_tags(source, COMMIT, "v1.2.3+b", 1_796_000_000) == [
        "2f1c0a9d1d4b", "20261130-005320", "v1.2.3-b", "1.2.3-b", "x-1.2.3-b", "latest",
    ]  # fmt: skip


@given(st.text(max_size=200), st.integers(0, 1 << 35))
def test_every_tag_is_one(tag: str, at: int) -> None:
    source = Source("shop", "shop", "registry.lab/shop", tags=("a{tag}", "b-{branch}"), branch=tag)
    assert all(map(is_tag, image_tags(source, COMMIT, tag, at)))
