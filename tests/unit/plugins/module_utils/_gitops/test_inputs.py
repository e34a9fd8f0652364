# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The inputs of an application: what a repository may name, and what identifies a deploy."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ansible_collections.flotilla.swarm.plugins.module_utils._common.errors import SwarmError
from ansible_collections.flotilla.swarm.plugins.module_utils._gitops.app import App
from ansible_collections.flotilla.swarm.plugins.module_utils._gitops.decrypt import Keys
from ansible_collections.flotilla.swarm.plugins.module_utils._gitops.inputs import Inputs, load

COMPOSE = """\
services:
  web: {image: "shop:${TAG}", env_file: [web.env]}
secrets:
  password: {file: ./password.txt}
"""
FILES = {
    "apps/shop/compose.yml": COMPOSE,
    "apps/shop/web.env": "A=1\n",
    "apps/shop/password.txt": "s3cret",
    "apps/shop/tags.env": "TAG=1.2\n",
    "other": "x",
}
SHOP = App(
    "shop",
    "deploy",
    folder="apps/shop",
    compose=("apps/shop/compose.yml",),
    env_files=("apps/shop/tags.env",),
)


def inputs(app: App = SHOP, **files: str) -> Inputs:
    everything = {**FILES, **files}

    def read(path: str) -> bytes:
        if path not in everything:
            raise SwarmError("not_found", f"no file {path}")
        return everything[path].encode()

    return load(app, read, Keys())


def with_compose(text: str) -> Inputs:
    return inputs(SHOP, **{"apps/shop/compose.yml": text})


def test_files_start_at_the_folder_of_the_first_compose_file() -> None:
    found = inputs().source
    assert found.environment == {"TAG": "1.2"}
    assert found.files == {"./password.txt": b"s3cret", "web.env": b"A=1\n"}
    assert found.rotate == {"secrets": {"password": "./password.txt"}}


def test_what_is_deployed_decides_and_nothing_else() -> None:
    same = inputs().desired
    assert same == inputs(SHOP, other="y").desired
    assert same == inputs(replace(SHOP, deadline=9, sync="manual", suspend=True, wave=3)).desired
    for name, text in (("password.txt", "n3w"), ("web.env", "A=2\n"), ("tags.env", "TAG=2\n")):
        assert inputs(SHOP, **{f"apps/shop/{name}": text}).desired != same
    assert inputs(replace(SHOP, environment={"B": "1"})).desired != same
    assert inputs(replace(SHOP, prune=True)).desired != same


@pytest.mark.parametrize(
    "path",
    ["/etc/shadow", "~/.ssh/id", "../../../etc/shadow", "${HOME}/x", "$x", "a/../../../../x"],
)
def test_a_file_outside_of_the_repository_is_refused(path: str) -> None:
    for text in (
        f"secrets: {{s: {{file: '{path}'}}}}",
        f"configs: {{s: {{file: '{path}'}}}}",
        f"services: {{w: {{env_file: '{path}'}}}}",
        f"services: {{w: {{env_file: [{{path: '{path}'}}]}}}}",
        f"x: &x {{file: '{path}'}}\nsecrets: {{s: {{file: password.txt, <<: *x}}}}",
        f"secrets: {{s: {{file: password.txt, file: '{path}'}}}}",
    ):
        with pytest.raises(SwarmError) as failure:
            with_compose(text)
        assert failure.value.code == "bad_path", text


def test_a_file_elsewhere_in_the_repository_can_be_named() -> None:
    found = inputs(
        SHOP, **{"apps/shop/compose.yml": "configs: {c: {file: ../shared/c}}", "apps/shared/c": "x"}
    )
    assert found.source.files == {"../shared/c": b"x"}


@pytest.mark.parametrize(
    "name",
    ["LD_PRELOAD", "PATH", "HOME", "DOCKER_HOST", "DOCKER_CONFIG", "GODEBUG", "https_proxy",
     "SSL_CERT_FILE", "GCONV_PATH", "ld_library_path"],
)  # fmt: skip
def test_a_variable_that_programs_obey_is_refused(name: str) -> None:
    for app, files in (
        (replace(SHOP, environment={name: "x"}), {}),
        (SHOP, {"apps/shop/tags.env": f"TAG=1\n{name}=x\n"}),
    ):
        with pytest.raises(SwarmError) as failure:
            inputs(app, **files)
        assert failure.value.code == "bad_environment"


@pytest.mark.parametrize(
    "name", ["TAG", "GOAL_KEEPER", "PATHS", "HOMEPAGE", "SHOP_PATH", "LANGUAGES"]
)
def test_other_variables_are_those_of_the_application(name: str) -> None:
    assert inputs(replace(SHOP, environment={name: "x"})).source.environment[name] == "x"


def test_too_much_is_refused() -> None:
    with pytest.raises(SwarmError) as failure:
        inputs(SHOP, **{"apps/shop/web.env": "A=" + "x" * (17 << 20)})
    assert failure.value.code == "git_too_large"


def test_what_is_ignored_comes_after_the_compose_files() -> None:
    definition = inputs(replace(SHOP, ignore_replicas=("web",))).definition
    assert len(definition) == 2
    assert "web" in definition[1]["services"]
