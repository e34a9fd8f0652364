# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The names of images."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.flotilla.swarm.plugins.module_utils._registry.reference import (
    ImageName,
    image_problem,
    parse_image,
)

DIGEST = "sha256:" + "a1" * 32


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("nginx", ImageName("docker.io", "library/nginx", "latest")),
        ("nginx:1.25", ImageName("docker.io", "library/nginx", "1.25")),
        ("docker.io/nginx", ImageName("docker.io", "library/nginx", "latest")),
        ("index.docker.io/library/nginx:1", ImageName("docker.io", "library/nginx", "1")),
        ("shop/web", ImageName("docker.io", "shop/web", "latest")),
        ("localhost/web:2", ImageName("localhost", "web", "2")),
        ("registry.lab:5000/hello", ImageName("registry.lab:5000", "hello", "latest")),
        ("registry.lab:5000/a/b:1", ImageName("registry.lab:5000", "a/b", "1")),
        ("web@sha256:aa", ImageName("docker.io", "library/web", "", "sha256:aa")),
        ("web:1@sha256:aa", ImageName("docker.io", "library/web", "1", "sha256:aa")),
        ("", ImageName("docker.io", "library/", "latest")),
    ],
)
def test_names_of_images_are_completed_as_the_engine_does(text: str, name: ImageName) -> None:
    assert parse_image(text) == name


@pytest.mark.parametrize(
    "text",
    [
        "nginx",
        "registry.lab:5000/a/b-c__d.e:1.0_x",
        f"shop/web:1@{DIGEST}",
        f"[fd00::1]:5000/x@{DIGEST}",
    ],
)
def test_good_names(text: str) -> None:
    assert not image_problem(text)


@pytest.mark.parametrize(
    "text",
    [
        *("", "-x", "--help", "a b", "registry.lab/Shop", "x:", "x:-1", "x:a/b", "../x", "a//b"),
        *("x@sha256:zz", "x@", "x\ny", "registry.lab:port/x", "-registry.lab/x", "x" * 256, "x:" + "t" * 129),
    ],
)  # fmt: skip
def test_bad_names(text: str) -> None:
    assert image_problem(text)


@given(st.text(max_size=40))
def test_a_name_that_is_accepted_stays_the_same_when_it_is_completed(text: str) -> None:
    if not image_problem(text):
        assert parse_image(str(parse_image(text))) == parse_image(text)
        assert not str(parse_image(text)).startswith("-")
