# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""Image updates: asks the registries, and commits to the repositories what has to change. The next look deploys it like any other commit."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from .._common.errors import SwarmError
from .._git.repository import PUSHES
from .._host.files import text_of, write_whole
from .._registry.api import RegistryClient, ca_of, login_of
from .._registry.reference import parse_image
from .access import STATE_DIR
from .app import App
from .decrypt import is_encrypted
from .repositories import Look
from .updates import Answer, ImagePolicy, Updates, ask, plan_updates, together

AUTHOR = "GitOps of the swarm <gitops@flotilla.invalid>"
_FILE = os.path.join(STATE_DIR, "images.json")
# Seconds until a registry answers.
_ANSWER = 20


class ImageUpdates:
    """The image updates of this host: when it has asked last, and what was wrong then."""

    def __init__(self, interval: float, say: Callable[[str], None]) -> None:
        self._interval, self._say = interval, say
        try:
            self._memory = dict(json.loads(text_of(_FILE)))
        except (ValueError, TypeError):
            self._memory = {}

    def due(self, now: float) -> float | None:
        """When the registries are asked next; None if it is time."""
        asked = self._memory.get("asked")
        if not isinstance(asked, (int, float)) or not asked <= now < asked + self._interval:
            return None
        return float(asked + self._interval)

    def run(
        self,
        apps: Iterable[App],
        looks: Mapping[str, Look],
        again: Callable[[str], Look],
        now: float,
    ) -> bool:
        """Ask for these applications, and push what has to change; whether anything was pushed.

        `again` looks once more at a repository that somebody else has pushed to meanwhile.
        """
        apps = list(apps)
        answers = _ask_all(policy for app in apps for policy in app.images)
        problems: list[str] = []
        pushed = False
        for name in sorted({app.repository for app in apps}):
            mine = [app for app in apps if app.repository == name]
            try:
                pushed |= self._update(mine, looks[name], again, answers, problems)
            except SwarmError as error:
                problems.append(error.message)
        self._remember(now, sorted(set(problems)))
        return pushed

    def _update(
        self,
        apps: list[App],
        look: Look,
        again: Callable[[str], Look],
        answers: Mapping[ImagePolicy, Answer],
        problems: list[str],
    ) -> bool:
        for _attempt in range(PUSHES):
            updates = _plan(apps, look, answers)
            problems += updates.problems
            if not updates.texts or look.trouble:
                return False
            files = {path: text.encode() for path, text in updates.texts.items()}
            try:
                commit = look.repository.push_change(
                    look.settings.branch,
                    look.head,
                    files,
                    updates.message(),
                    AUTHOR,
                    look.signing_key,
                )
            except SwarmError as error:
                if error.code != "git_raced":
                    raise
                # Made again, on top of what somebody else has pushed.
                look = again(look.settings.name)
                continue
            self._say(f"{look.settings.name}: commit {commit[:12]}: {updates.message()}")
            return True
        raise SwarmError(
            "git_raced",
            f"Could not update images in {look.settings.name}: its branch has moved during each of {PUSHES} attempts.",
        )

    def _remember(self, now: float, problems: list[str]) -> None:
        for problem in problems:
            if problem not in self._memory.get("problems", []):
                self._say(problem)
        self._memory = {"asked": now, "problems": problems}
        with contextlib.suppress(OSError):
            os.makedirs(STATE_DIR, mode=0o700, exist_ok=True)
            write_whole(_FILE, json.dumps(self._memory).encode())


def _ask_all(policies: Iterable[ImagePolicy]) -> dict[ImagePolicy, Answer]:
    """The answers of the registries. One that is silent is asked once, or it would hold up all deploys."""
    clients: dict[str, RegistryClient] = {}
    silent: dict[str, Answer] = {}
    answers = {}
    for policy in dict.fromkeys(policies):
        registry = parse_image(policy.image).registry
        if registry in silent:
            answers[policy] = silent[registry]
            continue
        try:
            if registry not in clients:
                clients[registry] = RegistryClient(
                    registry, login_of(registry), ca_of(registry), _ANSWER
                )
            answers[policy] = ask(policy, clients[registry].tags, clients[registry].digest)
        except SwarmError as error:
            answers[policy] = Answer(problem=error.message)
            if error.code == "registry_unreachable":
                silent[registry] = answers[policy]
    return answers


def _plan(apps: Iterable[App], look: Look, answers: Mapping[ImagePolicy, Answer]) -> Updates:
    """All updates of one repository. A file that cannot be read or is encrypted has none."""
    texts: dict[str, str] = {}

    def read(paths: Iterable[str]) -> dict[str, str]:
        found = {}
        for path in paths:
            with contextlib.suppress(SwarmError, UnicodeDecodeError):
                data: Any = texts.get(path)
                if data is None:
                    raw = look.repository.read(look.head, path)
                    data = "" if is_encrypted(raw) else raw.decode()
                texts[path] = found[path] = data
        return {path: text for path, text in found.items() if text}

    several = []
    for app in apps:
        updates = plan_updates(
            app.name, app.images, read(app.compose), read(app.env_files), answers
        )
        # Two applications can share a file.
        texts.update(updates.texts)
        several.append(updates)
    return together(several)
