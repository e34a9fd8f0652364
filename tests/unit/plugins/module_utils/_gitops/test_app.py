# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""app.yml: all keys, what is wrong with them, and applications of applications."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.flotilla.swarm.plugins.module_utils._common.errors import SwarmError
from ansible_collections.flotilla.swarm.plugins.module_utils._gitops.app import (
    App,
    AppCheck,
    Retry,
    children_of,
    overlay_of,
    parse_app,
    path_in,
    with_override,
)
from ansible_collections.flotilla.swarm.plugins.module_utils._gitops.catalog import (
    MOST_APPS,
    Found,
    Tree,
    find_apps,
)
from ansible_collections.flotilla.swarm.plugins.module_utils._gitops.settings import (
    May,
    RepositorySettings,
    Settings,
    parse_settings,
)
from ansible_collections.flotilla.swarm.plugins.module_utils._gitops.updates import ImagePolicy
from ansible_collections.flotilla.swarm.plugins.module_utils._gitops.windows import DENY, Window
from ansible_collections.flotilla.swarm.plugins.module_utils._stack.compose_file import read

WHOLE = """
name: shop
compose: [compose.yml, ../shared/logging.yml]
environment: {TIER: gold, DEBUG: false, PORT: 8080}
env_files: [.env]
rotate: false
wave: 2
sync: manual
prune: true
self_heal: yes
windows:
  - {kind: deny, days: [sat, sun]}
deadline: 600
on_failure: keep
retry: {limit: 5, backoff: 30, factor: 3, max: 900}
keep_revisions: 3
ignore_replicas: [web]
suspend: true
with_registry_auth: false
checks:
  - {name: smoke, image: "registry.example/curl:8", command: [curl, -f, "http://web/"], networks: [default], environment: {A: b}, timeout: 30}
images:
  - {image: registry.example/shop/web, versions: ">=1.2 <2"}
  - {image: registry.example/shop/api, digest_of: stable}
  - {image: registry.example/shop/job, pattern: "main-(?P<order>[0-9]+)", order: number, variable: TAG, file: .env}
"""


def parse(text: str, folder: str = "apps/shop") -> App:
    return parse_app(read(text).document, folder, "deploy")


def problems_of(text: str, folder: str = "apps/shop") -> str:
    with pytest.raises(SwarmError) as caught:
        parse(text, folder)
    assert caught.value.code == "bad_app"
    assert caught.value.message.startswith(
        f"Could not read {folder}/app.yml in repository deploy: "
    )
    return caught.value.message.partition(": ")[2].removesuffix(". Correct it and push.")


def test_every_key() -> None:
    assert parse(WHOLE) == App(
        name="shop",
        repository="deploy",
        folder="apps/shop",
        sources=("deploy",),
        compose=("apps/shop/compose.yml", "apps/shared/logging.yml"),
        environment={"TIER": "gold", "DEBUG": "false", "PORT": "8080"},
        env_files=("apps/shop/.env",),
        rotate=False,
        wave=2,
        sync="manual",
        prune=True,
        self_heal=True,
        windows=((Window(DENY, ("sat", "sun")),),),
        deadline=600,
        on_failure="keep",
        retry=Retry(5, 30, 3, 900),
        keep_revisions=3,
        ignore_replicas=("web",),
        suspend=True,
        with_registry_auth=False,
        checks=(
            AppCheck(
                "smoke",
                "registry.example/curl:8",
                ("curl", "-f", "http://web/"),
                ("default",),
                {"A": "b"},
                30,
            ),
        ),
        images=(
            ImagePolicy("registry.example/shop/web", versions=">=1.2 <2"),
            ImagePolicy("registry.example/shop/api", digest_of="stable"),
            ImagePolicy(
                "registry.example/shop/job",
                pattern="main-(?P<order>[0-9]+)",
                order="number",
                variable="TAG",
                file="apps/shop/.env",
            ),
        ),
    )


def test_an_empty_file_is_the_stack_of_its_folder() -> None:
    found = parse("{}")
    assert (found.name, found.compose, found.sync, found.rotate) == (
        "shop",
        ("apps/shop/compose.yml",),
        "automatic",
        True,
    )
    assert parse("name: x", "").compose == ("compose.yml",)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("snyc: manual", "snyc is not a key that this file can have; did you mean sync?"),
        ("name: -x", "name is '-x', which is not allowed; use one such as shop"),
        ("compose: []", "compose is empty, it must have a file, or be omitted"),
        (
            "compose: [/etc/passwd]",
            "compose has '/etc/passwd', it must be a path in the repository, such as compose.yml",
        ),
        (
            "compose: [../../../x]",
            "compose has '../../../x', it must be a path in the repository, such as compose.yml",
        ),
        (
            "retry: {limits: 1}",
            "retry.limits is not a key that this file can have; did you mean limit?",
        ),
        ("retry: 3", "retry is '3', it must be a dictionary"),
        ("deadline: 0", "deadline is '0', it must be a whole number from 10 to 7200"),
        ("checks: [{name: a}]", "checks[0].image is missing; set it"),
        (
            "checks: [{name: a, image: a}, {name: a, image: b}]",
            "checks has 'a' twice; give each check a name of its own",
        ),
        ("may: {privileged: true}", "may is not a key that this file can have; known are "),
        ("environment: [A=b]", "environment is a list, it must be a dictionary of variables"),
        ("images: [{image: a}]", "images[0] must have versions, pattern (also both), or digest_of"),
        (
            "images: [{image: 'a:1', versions: '1'}]",
            "images[0] names an image with a tag; leave the tag out",
        ),
        (
            "images: [{image: a, versions: '>>1'}]",
            "images[0] has versions '>>1': '>>1' is not a part of a range; use a range such as '>=1.2 <2'",
        ),
        (
            "images: [{image: a, pattern: '('}]",
            "images[0] has a pattern that is not a regular expression: ",
        ),
        (
            "images: [{image: a, versions: '1', variable: TAG}]",
            "images[0] must have both variable and file, or none of them",
        ),
        (
            "images: [{image: a, versions: '1', variable: TAG, file: .env}]",
            "images[0].file is none of env_files; add it there",
        ),
        (
            "{env_files: [.env], environment: {TAG: 1}, images: [{image: a, versions: '1', variable: TAG, file: .env}]}",
            "environment sets TAG, which hides that of images[0].file; remove it",
        ),
    ],
)
def test_what_is_wrong_is_named(text: str, words: str) -> None:
    assert problems_of(text).startswith(words)


def test_all_that_is_wrong_is_named_together() -> None:
    assert problems_of("{wave: x, sync: often, prune: maybe}").count("; ") == 2


def test_a_folder_without_a_name_needs_one() -> None:
    with pytest.raises(SwarmError, match="name is missing"):
        parse("{}", "")


def test_a_folder_whose_name_no_stack_can_have() -> None:
    assert parse("name: x", "apps/my shop").name == "x"
    with pytest.raises(SwarmError, match="name"):
        parse("{}", "apps/my shop")


@pytest.mark.parametrize(
    ("folder", "path", "found"),
    [
        ("apps/shop", "compose.yml", "apps/shop/compose.yml"),
        ("apps/shop", "./a/../b.yml", "apps/shop/b.yml"),
        ("apps/shop", "../../b.yml", "b.yml"),
        ("apps/shop", "../../../b.yml", None),
        ("", "..", None),
        ("", "..a", "..a"),
        ("", "/etc/passwd", None),
        ("", "a\\b", None),
        ("", "a\0b", None),
    ],
)
def test_paths_stay_in_the_repository(folder: str, path: str, found: str | None) -> None:
    assert path_in(folder, path) == found


def test_the_inventory_has_the_last_word() -> None:
    app = parse(
        "{sync: automatic, environment: {A: a, B: b}, retry: {limit: 9}, windows: [{kind: deny}]}"
    )
    found = with_override(
        app,
        {
            "sync": "manual",
            "environment": {"B": "c"},
            "retry": {"backoff": 10},
            "windows": [{"kind": "allow"}],
            "may": {},
        },
    )
    assert (found.sync, found.environment) == ("manual", {"A": "a", "B": "c"})
    assert found.retry == Retry(limit=9, backoff=10)
    assert len(found.windows) == 2
    assert with_override(app, None) == app
    with pytest.raises(SwarmError, match=r"apps.shop.compose is not a key"):
        with_override(app, {"compose": ["x"]})


def test_replicas_that_are_ignored_are_any_within_the_band() -> None:
    assert overlay_of(parse("{}")) is None
    overlay = overlay_of(parse("ignore_replicas: [web, api]"))
    assert overlay is not None
    assert overlay["services"]["api"]["deploy"]["labels"] == {"flotilla.swarm.replicas": "0-999999"}


def test_a_retry_waits_longer_each_time_up_to_its_limit() -> None:
    assert [Retry(9, 60, 2, 300).wait(n) for n in (1, 2, 3, 4, 10**9)] == [60, 120, 240, 300, 300]


# All applications

documents = st.recursive(
    st.none() | st.booleans() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
    ),
    max_leaves=8,
)
KEYS = (
    "name",
    "compose",
    "environment",
    "env_files",
    "windows",
    "retry",
    "checks",
    "images",
    "apps",
    "wave",
    "suspend",
)


@given(st.dictionaries(st.sampled_from(KEYS), documents) | documents)
def test_nothing_in_a_repository_raises_anything_else(document: Any) -> None:
    error = None
    try:
        if children_of(document, "apps", "deploy") is None:
            parse_app(document, "apps/shop", "deploy")
    except SwarmError as caught:
        error = caught
    assert error is None or (error.code == "bad_app" and len(error.message) < 20_000)


def repositories(*names: str, path: str = "apps", **more: Any) -> Settings:
    return Settings(
        tuple(RepositorySettings(name, "ssh://git@git.example/x.git", path=path) for name in names),
        **more,
    )


def tree(**files: str) -> Tree:
    """The app.yml of folders, with __ for a slash."""
    texts = {folder.replace("__", "/").strip("_"): text for folder, text in files.items()}
    return Tree(tuple(texts), lambda folder: read(texts[folder]).document)


def names(found: Found) -> list[str]:
    return [app.name for app in found.apps]


def test_each_folder_below_the_path_is_an_application() -> None:
    found = find_apps(
        repositories("deploy"),
        {"deploy": tree(apps__shop="{}", apps__blog="{}", other__x="{}", apps__shop__old="{}")},
    )
    assert names(found) == ["blog", "shop"]
    assert found.problems == ()


def test_an_app_of_apps_lists_folders_and_other_repositories() -> None:
    settings = repositories("root", "team", path="")
    trees = {
        "root": tree(
            _="apps: [one, ./two, {repository: team, folder: services/three}]",
            one="{}",
            two="{}",
            hidden="{}",
        ),
        "team": tree(services__three="{}", services__four="{}"),
    }
    found = find_apps(settings, trees)
    assert names(found) == ["one", "three", "two"]
    assert {app.name: app.sources for app in found.apps} == {
        "one": ("root",),
        "two": ("root",),
        "three": ("root", "team"),
    }
    # A repository that cannot be read takes its applications with it, and is no problem of the list.
    left = find_apps(settings, {"root": trees["root"]})
    assert (names(left), left.problems) == (["one", "two"], ())


def test_lists_that_go_round_in_circles_or_nowhere() -> None:
    settings = repositories("root", path="")
    files = {"_": "apps: [a, nowhere, {repository: other, folder: x}]", "a": "apps: [., ../a, ..]"}
    found = find_apps(settings, {"root": tree(**files)})
    assert names(found) == []
    messages = [problem.message for problem in found.problems]
    assert messages == [
        "Could not read an application in repository 'other': it is not in swarm_gitops_repositories. Add it there.",
        "Could not read an application in repository root: it has no file nowhere/app.yml.",
    ]
    with pytest.raises(SwarmError, match=r"apps\[0\] must be a folder in the repository"):
        children_of({"apps": ["../../up"]}, "apps", "root")
    with pytest.raises(SwarmError, match="name is not a key"):
        children_of({"apps": ["x"], "name": "shop"}, "", "root")


def test_two_applications_of_one_name_are_both_refused() -> None:
    found = find_apps(
        repositories("a", "b"),
        {"a": tree(apps__shop="{}", apps__blog="{}"), "b": tree(apps__x="name: shop")},
    )
    assert names(found) == ["blog"]
    assert [problem.repository for problem in found.problems] == ["a", "b"]
    assert (
        "apps/shop in repository a and apps/x in repository b have this name"
        in found.problems[0].message
    )


def test_one_broken_file_breaks_no_other() -> None:
    found = find_apps(
        repositories("deploy"),
        {"deploy": tree(apps__shop="wave: x", apps__blog="{}", apps__bad="a: [")},
    )
    assert names(found) == ["blog"]
    assert [problem.folder for problem in found.problems] == ["apps/bad", "apps/shop"]


def test_applications_have_what_the_inventory_says() -> None:
    window = Window(DENY)
    settings = repositories("deploy", apps={"shop": {"wave": 3}}, windows=(window,))
    (app,) = find_apps(settings, {"deploy": tree(apps__shop="{}")}).apps
    assert (app.wave, app.windows) == (3, ((window,),))
    wrong = repositories("deploy", apps={"shop": {"waves": 3}})
    found = find_apps(wrong, {"deploy": tree(apps__shop="{}", apps__blog="{}")})
    assert names(found) == ["blog"]


def test_the_number_of_applications_is_bounded() -> None:
    many = tree(**{f"apps__a{number}": "{}" for number in range(MOST_APPS + 100)})
    found = find_apps(repositories("deploy"), {"deploy": many})
    assert len(found.apps) == MOST_APPS
    assert len(found.problems) == 1


# The inventory


def test_settings_are_read() -> None:
    may = {"registries": ["registry.example"]}
    settings = parse_settings(
        {
            "repositories": [
                {
                    "name": "deploy",
                    "url": "git@git.example:shop/deploy.git",
                    "branch": "release/1",
                    "path": "apps/",
                    "deploy_key": "x",
                    "known_hosts": "y",
                    "allowed_signers": "z",
                    "may": may,
                },
                {"name": "team", "url": "https://git.example/team.git"},
            ],
            "apps": {"blog": {"may": {"privileged": True}, "sync": "manual"}, "shop": None},
            "windows": [{"kind": "deny"}],
            "max_removals": 3,
            "interval": 30,
        }
    )
    assert settings.repositories == (
        RepositorySettings(
            "deploy",
            "git@git.example:shop/deploy.git",
            "release/1",
            "apps",
            True,
            May(registries=("registry.example",)),
        ),
        RepositorySettings("team", "https://git.example/team.git"),
    )
    assert settings.max_removals == 3
    assert settings.may(App("shop", "deploy")) == May(registries=("registry.example",))
    assert settings.may(App("blog", "deploy")) == May(privileged=True)
    assert settings.may(App("shop", "team")) == May()


def wrong(**document: Any) -> str:
    with pytest.raises(SwarmError) as caught:
        parse_settings(document)
    assert caught.value.code == "bad_option"
    return caught.value.message


@pytest.mark.parametrize(
    "url",
    [
        "-oProxyCommand=x",
        "--upload-pack=x",
        "ext::sh -c x",
        "file:///etc",
        "git://git.example/x",
        "http://git.example/x",
        "ssh://-oProxyCommand=x/y",
        "git@-x:y",
        "git@git.example:-x",
        "ssh://git.example",
        "https://ann:secret@git.example/x",
        "https://git.example/a b",
        "git@git.example:a\nb",
    ],
)
def test_urls_that_run_programs_or_have_logins_are_refused(url: str) -> None:
    message = wrong(repositories=[{"name": "deploy", "url": url}])
    assert "swarm_gitops_repositories[0].url" in message
    assert "secret" not in message


def test_a_password_is_sent_over_https_alone() -> None:
    one = {"name": "a", "url": "http://git.example/x", "allowed_signers": "x"}
    assert parse_settings({"repositories": [one]})
    assert "use https://" in wrong(repositories=[{**one, "password": "secret"}])


@pytest.mark.parametrize(
    "url",
    [
        "ssh://git@git.example:2222/a/b.git",
        "git@git.example:a/b.git",
        "https://git.example/a.git",
        "ssh://git.example/~ann/x",
    ],
)
def test_urls_of_repositories(url: str) -> None:
    assert parse_settings({"repositories": [{"name": "a", "url": url}]}).repositories[0].url == url


@pytest.mark.parametrize(
    "branch",
    ["-x", "a..b", "a//b", "a b", "a@{1}", "a.lock", "a/", "../x", "a~1", "a:b", "a."],
)
def test_branches_that_git_reads_in_another_way_are_refused(branch: str) -> None:
    assert "branch" in wrong(
        repositories=[{"name": "a", "url": "https://git.example/a", "branch": branch}]
    )


def test_settings_with_all_that_is_wrong() -> None:
    message = wrong(
        repositories=[
            {"name": "a", "url": "https://x.example/a"},
            {"name": "a", "url": "https://x.example/a", "paht": "x"},
            {},
        ],
        apps={"shop": {"may": {"ports": []}, "wave": "x"}, "a b": {}},
        max_removals=-1,
    )
    for words in (
        "swarm_gitops_repositories[1].paht is not a key",
        "repositories[2].name is missing",
        "repositories has 'a' twice",
        "apps.shop.may.ports is not a key",
        "apps.shop.wave is 'x'",
        "the name 'a b'",
        "max_removals is -1",
    ):
        assert words in message, words
    assert "repositories is" in wrong(repositories="x")
    assert "apps is" in wrong(apps=["x"])
