# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""An application: what `app.yml` says beside the Compose files of a stack, and the inventory's word on it. Pure.

What comes from a repository is data. Nothing in it is a template, and no key names anything outside of the repositories.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from .._common.errors import SwarmError, shown
from .._common.fields import Fields
from .._model.labels import REPLICAS_LABEL
from .updates import ImagePolicy, parse_policies
from .windows import Window, parse_windows

APP_FILE = "app.yml"
AUTOMATIC, MANUAL = "automatic", "manual"
ROLLBACK, KEEP = "rollback", "keep"
NAME_FORM = "[A-Za-z0-9][A-Za-z0-9_-]{0,62}"
# A band that every number of replicas is in.
_ANY_REPLICAS = "0-999999"


@dataclass(frozen=True)
class Retry:
    """How often a deploy that failed is tried again without a change, and how many seconds lie between: backoff, backoff x factor,
    and so on, up to `longest`."""

    limit: int = 3
    backoff: int = 60
    factor: int = 2
    longest: int = 3600

    def wait(self, attempts: int) -> float:
        """The seconds from the last of so many attempts to the next one."""
        # A power of a large number takes long, and the longest wait is reached after 12 doublings.
        return float(min(self.longest, self.backoff * self.factor ** min(max(attempts - 1, 0), 16)))


@dataclass(frozen=True)
class AppCheck:
    """A job that must succeed after a deploy: one task, on networks of the stack."""

    name: str
    image: str
    command: tuple[str, ...] = ()
    networks: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    timeout: int = 60


@dataclass(frozen=True)
class App:
    """An application. All paths are in its repository, and `name` is that of its stack."""

    name: str
    repository: str
    folder: str = ""
    # The repositories that say that it exists: its own, and those of the apps of apps that list it.
    sources: tuple[str, ...] = ()
    compose: tuple[str, ...] = ("compose.yml",)
    environment: Mapping[str, str] = field(default_factory=dict)
    env_files: tuple[str, ...] = ()
    rotate: bool = True
    wave: int = 0
    sync: str = AUTOMATIC
    prune: bool = False
    self_heal: bool = False
    # Lists of windows that must all be open: its own, and that of the inventory.
    windows: tuple[tuple[Window, ...], ...] = ()
    deadline: int = 300
    on_failure: str = ROLLBACK
    retry: Retry = Retry()
    keep_revisions: int = 5
    ignore_replicas: tuple[str, ...] = ()
    suspend: bool = False
    with_registry_auth: bool = True
    checks: tuple[AppCheck, ...] = ()
    images: tuple[ImagePolicy, ...] = ()

    @property
    def automatic(self) -> bool:
        """Whether a new commit is deployed without being asked for."""
        return self.sync == AUTOMATIC


# A folder with an app.yml: the repository and the path in it.
Place = tuple[str, str]


def path_in(folder: str, path: str) -> str | None:
    """The path in the repository of a file that is named relative to a folder; None if it is outside of the repository."""
    if path.startswith("/") or "\0" in path or "\\" in path:
        return None
    found = posixpath.normpath(posixpath.join(folder, path))
    return None if found.startswith("..") and (found + "/").startswith("../") else found


def parse_app(document: Any, folder: str, repository: str) -> App:
    """The application in an app.yml; raises bad_app, with everything that is wrong."""
    problems: list[str] = []
    fields = Fields(document, "", problems)
    app = App(
        name=fields.text("name", posixpath.basename(folder), NAME_FORM, "shop"),
        repository=repository,
        folder=folder,
        sources=(repository,),
        compose=_paths(fields, "compose", folder, ("compose.yml",)),
        environment=fields.variables("environment"),
        env_files=_paths(fields, "env_files", folder, ()),
        rotate=fields.flag("rotate", True),
        ignore_replicas=fields.texts("ignore_replicas", (), NAME_FORM, "web"),
        with_registry_auth=fields.flag("with_registry_auth", True),
        checks=_checks(fields, problems),
        images=parse_policies(fields, folder, path_in, problems),
    )
    problems += _useless_variables(app)
    app = _policy(app, fields, problems)
    fields.finish()
    if fields.given("name") is None and not re.fullmatch(NAME_FORM, app.name):
        problems.append(
            f"name is missing, and no stack can have that of the folder, {shown(app.name)}; set one such as shop"
        )
    if not app.compose:
        problems.append("compose is empty, it must have a file, or be omitted")
    _refuse(repository, folder, problems)
    return app


def with_override(app: App, override: Any) -> App:
    """The application as the inventory changes it; raises bad_option. `may` is not part of it, see `settings`."""
    problems: list[str] = []
    fields = Fields(override, f"swarm_gitops_apps.{app.name}", problems)
    fields.given("may")
    changed = _policy(replace(app, windows=()), fields, problems)
    environment = {**app.environment, **fields.variables("environment")}
    fields.finish()
    if problems:
        raise SwarmError(
            "bad_option", f"Could not read the settings of GitOps: {'; '.join(problems)}."
        )
    return replace(changed, windows=app.windows + changed.windows, environment=environment)


def _policy(app: App, fields: Fields, problems: list[str]) -> App:
    """What a repository can say, and the inventory can change."""
    retry = Fields(fields.given("retry"), fields.name("retry"), problems)
    windows = parse_windows(fields.entries("windows"), problems)
    changed = replace(
        app,
        wave=fields.number("wave", app.wave, -1000, 1000),
        sync=fields.choice("sync", app.sync, (AUTOMATIC, MANUAL)),
        prune=fields.flag("prune", app.prune),
        self_heal=fields.flag("self_heal", app.self_heal),
        windows=app.windows + ((windows,) if windows else ()),
        deadline=fields.number("deadline", app.deadline, 10, 7200),
        on_failure=fields.choice("on_failure", app.on_failure, (ROLLBACK, KEEP)),
        retry=Retry(
            limit=retry.number("limit", app.retry.limit, 0, 100),
            backoff=retry.number("backoff", app.retry.backoff, 10, 86400),
            factor=retry.number("factor", app.retry.factor, 1, 10),
            longest=retry.number("max", app.retry.longest, 10, 604800),
        ),
        keep_revisions=fields.number("keep_revisions", app.keep_revisions, 1, 50),
        suspend=fields.flag("suspend", app.suspend),
    )
    retry.finish()
    return changed


def _paths(fields: Fields, key: str, folder: str, default: tuple[str, ...]) -> tuple[str, ...]:
    found = []
    for path in fields.texts(key, default):
        place = path_in(folder, path)
        if place is None:
            fields.wrong(
                key, f"has {shown(path)}, it must be a path in the repository, such as compose.yml"
            )
        else:
            found.append(place)
    return tuple(found)


def _checks(fields: Fields, problems: list[str]) -> tuple[AppCheck, ...]:
    found = []
    for where, entry in fields.entries("checks"):
        one = Fields(entry, where, problems)
        check = AppCheck(
            name=one.text("name", "", NAME_FORM, "smoke"),
            image=one.text("image", "", "[A-Za-z0-9][A-Za-z0-9._:/@-]*", "curl:8"),
            command=one.texts("command"),
            networks=one.texts("networks", ("default",), NAME_FORM, "default"),
            environment=one.variables("environment"),
            timeout=one.number("timeout", 60, 1, 3600),
        )
        for key in ("name", "image"):
            if one.given(key) is None:
                one.wrong(key, "is missing; set it")
        one.finish()
        found.append(check)
    names = [check.name for check in found]
    for name in sorted({name for name in names if names.count(name) > 1}):
        fields.wrong("checks", f"has {shown(name)} twice; give each check a name of its own")
    return tuple(found)


def _useless_variables(app: App) -> list[str]:
    """Policies for a variable that no Compose file gets from there."""
    problems = []
    for number, policy in enumerate(app.images):
        if policy.variable and policy.file and policy.file not in app.env_files:
            problems.append(f"images[{number}].file is none of env_files; add it there")
        if policy.variable in app.environment:
            problems.append(
                f"environment sets {policy.variable}, which hides that of images[{number}].file; remove it"
            )
    return problems


def _refuse(repository: str, folder: str, problems: list[str]) -> None:
    if problems:
        where = posixpath.join(folder, APP_FILE)
        raise SwarmError(
            "bad_app",
            f"Could not read {where} in repository {repository}: {'; '.join(problems[:20])}. Correct it and push.",
        )


def children_of(document: Any, folder: str, repository: str) -> tuple[Place, ...] | None:
    """The folders that an app of apps lists; None if it is an application. Raises bad_app."""
    if not isinstance(document, Mapping) or document.get("apps") is None:
        return None
    problems: list[str] = []
    fields = Fields(document, "", problems)
    found: list[Place] = []
    for where, entry in fields.entries("apps"):
        given = entry if isinstance(entry, Mapping) else {"folder": entry}
        one = Fields(given, where, problems)
        path = one.text("folder", "", ".+", "../shop")
        other = one.text("repository", repository, NAME_FORM, "team-a")
        one.finish()
        # In another repository, paths start at its top.
        place = path_in(folder if other == repository else "", path) if path else None
        if place is None:
            problems.append(f"{where} must be a folder in the repository, such as ../shop")
        else:
            found.append((other, "" if place == "." else place))
    fields.finish()
    _refuse(repository, folder, problems)
    return tuple(found)


def overlay_of(app: App) -> dict[str, Any] | None:
    """A Compose file for after the others, which leaves the replicas alone that the application ignores; None if it ignores none."""
    if not app.ignore_replicas:
        return None
    labels = {"deploy": {"labels": {REPLICAS_LABEL: _ANY_REPLICAS}}}
    return {"version": "3.8", "services": dict.fromkeys(app.ignore_replicas, labels)}
