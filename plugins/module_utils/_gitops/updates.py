# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""Image updates: which tag or digest a policy wants, and the Compose and env files with it. No I/O.

The caller asks the registry. What changes is the reference of the image, at its place. All other bytes of a file stay.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .._common.errors import SwarmError, shown
from .._common.fields import Fields
from .._registry.reference import is_digest, is_tag, parse_image
from .._stack.compose import variables_in
from .._stack.compose_file import image_places, read
from . import semver
from .patterns import bounded_matches, pattern_problem

SEMVER, NUMBER, NAME = "semver", "number", "name"
# A registry can have more tags; the policy then has to be a narrower one.
MOST_TAGS = 10000
# What a pattern takes the order from: its group of this name, or its first one, or all of the tag.
_GROUP = "order"
_REPOSITORY = r"[A-Za-z0-9][A-Za-z0-9._:/-]*"
_WITH_VARIABLE = re.compile(r"(?P<name>[^$]+):\$(\{(?P<braced>\w+)(:?-[^}]*)?\}|(?P<plain>\w+))")


@dataclass(frozen=True)
class ImagePolicy:
    """Which tag of an image an application wants: the newest in `versions`, or among those that have the `pattern`; or the digest of
    the tag `digest_of`."""

    image: str  # the repository with its registry, without tag and digest
    versions: str = ""  # a range such as ">=1.2 <2"
    pattern: str = ""  # a regular expression for the whole tag
    order: str = SEMVER
    digest_of: str = ""  # a tag
    # The tag is the value of this variable in an env file, and not in the Compose files.
    variable: str = ""
    file: str = ""


@dataclass(frozen=True)
class Answer:
    """What a registry says about the image of a policy: its tags, or the digest of a tag; or why it says nothing."""

    tags: tuple[str, ...] = ()
    digest: str = ""
    problem: str = ""


@dataclass(frozen=True)
class Update:
    """One image of one service, before and after."""

    subject: str  # the service, such as shop_web
    image: str
    old: str
    new: str

    def line(self) -> str:
        """The line of the commit's message."""
        return f"Update {self.subject}: {self.image} {self.old} -> {self.new}"


@dataclass(frozen=True)
class Updates:
    """What a commit would change: the new texts of files by path, a line for each update, and what could not be done."""

    texts: Mapping[str, str] = field(default_factory=dict)
    updates: tuple[Update, ...] = ()
    problems: tuple[str, ...] = ()

    def message(self) -> str:
        """The message of the commit; several updates are one commit."""
        lines = list(dict.fromkeys(update.line() for update in self.updates))
        return (
            lines[0] if len(lines) == 1 else "\n".join([f"Update {len(lines)} images", "", *lines])
        )


def together(several: Iterable[Updates]) -> Updates:
    """The updates of several applications of a repository, as one commit."""
    several = list(several)
    return Updates(
        {path: text for each in several for path, text in each.texts.items()},
        tuple(update for each in several for update in each.updates),
        tuple(problem for each in several for problem in each.problems),
    )


def ask(
    policy: ImagePolicy,
    tags: Callable[[str], Sequence[str]],
    digest: Callable[[str, str], str | None],
) -> Answer:
    """Ask the registry what a policy needs to know: `tags` of a repository, or the `digest` of a tag in it. Raises what these raise."""
    image = parse_image(policy.image)
    if not policy.digest_of:
        return Answer(tags=tuple(tags(image.repository)))
    found = digest(image.repository, policy.digest_of)
    if found is None:
        return Answer(problem=f"{policy.image} has no tag {policy.digest_of}")
    return Answer(digest=found)


# --- Which tag --------------------------------------------------------------------------------------------


# What two tags are compared by.
Key = tuple[Any, ...]


def keys_of(policy: ImagePolicy, tags: Iterable[str]) -> dict[str, Key]:
    """The tags that a policy allows, each with what it is ordered by. Raises no_update."""
    parts = {tag: tag for tag in tags if is_tag(tag)}
    if policy.pattern:
        parts = bounded_matches(policy.pattern, parts, _GROUP)
    found: dict[str, Key] = {}
    wanted = semver.parse_range(policy.versions) if policy.versions else None
    for tag, part in parts.items():
        key: Key | None = (part,)
        if policy.order == NUMBER:
            key = (int(part),) if re.fullmatch("[0-9]{1,40}", part) else None
        elif policy.order == SEMVER:
            version = semver.parse_version(part)
            inside = version is not None and (wanted is None or wanted.contains(version))
            # Of 1.2 and 1.2.0, which are the same version, the longer tag is the one that stays what it is.
            key = (version.key, len(tag)) if version is not None and inside else None
        if key is not None:
            found[tag] = key
    return found


def newest(policy: ImagePolicy, old: str, tags: Iterable[str]) -> str:
    """The tag that takes the place of the `old` one; the old one if none is newer. Raises no_update."""
    # A range that the old tag has left still has an order.
    own = keys_of(ImagePolicy(policy.image, pattern=policy.pattern, order=policy.order), [old])
    if old not in own:
        raise SwarmError(
            "no_update",
            f"its tag {shown(old)} is none that the policy can compare; set a first one by hand",
        )
    keys = keys_of(policy, tags)
    best = max(keys, key=lambda tag: (keys[tag], tag), default=old)
    # The same version in a longer tag is not newer.
    return best if best in keys and keys[best][0] > own[old][0] else old


# --- Where it is written ----------------------------------------------------------------------------------


def plan_updates(
    stack: str,
    policies: Iterable[ImagePolicy],
    compose: Mapping[str, str],
    env_files: Mapping[str, str],
    answers: Mapping[ImagePolicy, Answer],
) -> Updates:
    """The updates of one application, given the texts of its Compose files, and of its env files, by path.

    An answer that is missing, because it is not time to ask, changes nothing.
    """
    texts = {**env_files, **compose}
    updates: list[Update] = []
    problems: list[str] = []
    for policy in policies:
        answer = answers.get(policy)
        if answer is None:
            continue
        try:
            if answer.problem:
                raise SwarmError("no_update", answer.problem)
            texts, new = _with_policy(stack, policy, answer, texts, tuple(compose))
            updates += new
        except SwarmError as error:
            problems.append(
                f"Could not look for updates of image {policy.image} of {stack}: {error.message.rstrip('.')}."
            )
    before = {**env_files, **compose}
    changed = {path: text for path, text in texts.items() if text != before[path]}
    return Updates(changed, tuple(updates), tuple(problems))


def _with_policy(
    stack: str,
    policy: ImagePolicy,
    answer: Answer,
    texts: Mapping[str, str],
    compose: Iterable[str],
) -> tuple[dict[str, str], list[Update]]:
    """The texts with the updates of one policy: all of its places, or none."""
    result = dict(texts)
    updates: list[Update] = []
    known = False
    for path in compose:
        text, found, more = _with_image(stack, policy, answer, path, texts[path])
        known = known or found
        result[path] = text
        updates += more
    if policy.variable:
        users = [
            f"{stack}_{place.service}"
            for path in compose
            for place in image_places(texts[path])
            if _uses_variable(place.image, policy)
        ]
        known = known or bool(users)
        if users:
            result[policy.file], more = _with_variable(users, policy, answer, texts)
            updates += more
    if not known:
        raise SwarmError("no_update", "no service uses it; correct image in app.yml")
    return result, updates


def _with_image(
    stack: str, policy: ImagePolicy, answer: Answer, path: str, text: str
) -> tuple[str, bool, list[Update]]:
    """A Compose file with the updates of one policy, and whether a service has the image."""
    updates: list[Update] = []
    edits: dict[tuple[int, int], str] = {}
    images: dict[str, str] = {}
    known = False
    name = parse_image(policy.image).name
    for place in image_places(text):
        if "$" in place.image:
            if _variable_of(place.image, name) and not policy.variable:
                raise SwarmError(
                    "no_update",
                    f"service {place.service} has {shown(place.image, 100)}; name the variable and its env file in the policy",
                )
            continue
        image = parse_image(place.image)
        if image.name != name:
            continue
        known = True
        new = _reference(policy, answer, place.image)
        if new == place.image:
            continue
        part = text[place.start : place.end]
        if part.count(place.image) != 1:
            raise SwarmError(
                "no_update",
                f"service {place.service} in {path} writes its image with escapes or over several lines; write it plainly",
            )
        edits[place.start, place.end] = part.replace(place.image, new)
        images[place.service] = new
        old, short = _short(place.image, policy), _short(new, policy)
        updates.append(Update(f"{stack}_{place.service}", policy.image, old, short))
    pieces, position = [], 0
    for (start, end), part in sorted(edits.items()):
        pieces += [text[position:start], part]
        position = end
    result = "".join([*pieces, text[position:]])
    if edits:
        _check(path, text, result, images)
    return result, known, updates


def _check(path: str, before: str, after: str, images: Mapping[str, str]) -> None:
    """The file must say what it said before, apart from these images; an anchor can be used elsewhere too."""
    wanted, found = read(before).document, read(after).document
    services = {
        name: {**service, "image": images[name]} if name in images else service
        for name, service in wanted["services"].items()
    }
    if found.get("services") != services or any(
        found.get(key) != value for key, value in wanted.items() if not _may_differ(key, value)
    ):
        raise SwarmError(
            "no_update",
            f"{path} uses the image in other places too, by an anchor; write it out",
        )


def _may_differ(key: str, value: Any) -> bool:
    """Extensions hold what services use by an anchor, and have no meaning of their own."""
    return key == "services" or key.startswith("x-")


def _reference(policy: ImagePolicy, answer: Answer, old: str) -> str:
    """The image of a service with its new tag or digest, its name as it is written."""
    image = parse_image(old)
    bare = old.partition("@")[0]
    head, slash, last = bare.rpartition("/")
    name = f"{head}{slash}{last.partition(':')[0]}"
    if policy.digest_of:
        if not is_digest(answer.digest):
            raise SwarmError("no_update", f"the registry gives no digest for {policy.digest_of}")
        if (image.digest, image.tag) == (answer.digest, policy.digest_of):
            return old
        return f"{name}:{policy.digest_of}@{answer.digest}"
    if image.digest and not image.tag:
        raise SwarmError("no_update", "it has a digest and no tag; set a first tag by hand")
    tag = newest(policy, image.tag, _few(answer.tags))
    return old if tag == image.tag else f"{name}:{tag}"


def _few(tags: tuple[str, ...]) -> tuple[str, ...]:
    if len(tags) > MOST_TAGS:
        raise SwarmError("no_update", f"it has {len(tags)} tags, {MOST_TAGS} are looked at")
    return tags


def _short(image: str, policy: ImagePolicy) -> str:
    """The part of an image that an update changes, for a message."""
    parsed = parse_image(image)
    if not policy.digest_of:
        return parsed.tag
    return f"{parsed.tag}@{parsed.digest[:19]}" if parsed.digest else parsed.tag


def _variable_of(image: str, name: str) -> str:
    """The variable that is the tag of an image with this name; empty if it has another form or name."""
    match = _WITH_VARIABLE.fullmatch(image)
    if match is None or parse_image(match["name"]).name != name:
        return ""
    return match["braced"] or match["plain"]


def _uses_variable(image: str, policy: ImagePolicy) -> bool:
    return _variable_of(image, parse_image(policy.image).name) == policy.variable


def _with_variable(
    users: list[str], policy: ImagePolicy, answer: Answer, texts: Mapping[str, str]
) -> tuple[str, list[Update]]:
    """The env file with the new tag as the value of its variable, in the line where it is."""
    text = texts.get(policy.file)
    if text is None:
        raise SwarmError("no_update", f"{policy.file} is none of its env files")
    old = variables_in(policy.file, text).get(policy.variable, "")
    if not old:
        raise SwarmError("no_update", f"{policy.file} does not set {policy.variable}")
    image = _reference(policy, answer, f"{policy.image}:{old}")
    new = image.rpartition("/")[2].partition(":")[2]
    if new == old:
        return text, []
    line = re.compile(
        rf"^(?P<before>[ \t]*(?:export[ \t]+)?{policy.variable}[ \t]*=[ \t]*(?P<quote>['\"]?)){re.escape(old)}(?=(?P=quote)[ \t]*\r?$)",
        re.MULTILINE,
    )
    result, count = line.subn(lambda match: match["before"] + new, text)
    if count != 1 or variables_in(policy.file, result).get(policy.variable) != new:
        raise SwarmError(
            "no_update",
            f"{policy.file} sets {policy.variable} {count} times in a plain way; set it once",
        )
    short = [_short(f"{policy.image}:{value}", policy) for value in (old, new)]
    return result, [Update(user, policy.image, *short) for user in users]


# --- app.yml ----------------------------------------------------------------------------------------------


def parse_policies(
    fields: Fields,
    folder: str,
    path_in: Callable[[str, str], str | None],
    problems: list[str],
) -> tuple[ImagePolicy, ...]:
    """The policies in the key `images` of an app.yml."""
    found = []
    for where, entry in fields.entries("images"):
        one = Fields(entry, where, problems)
        policy = ImagePolicy(
            image=one.text("image", "", _REPOSITORY, "registry.example/shop"),
            versions=one.text("versions", "", ".+", "'>=1.2 <2'", 200),
            pattern=one.text("pattern", "", ".+", "'main-(?P<order>[0-9]+)'", 200),
            order=one.choice("order", SEMVER, (SEMVER, NUMBER, NAME)),
            digest_of=one.text("digest_of", "", "[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}", "stable"),
            variable=one.text("variable", "", "[A-Za-z_][A-Za-z0-9_]*", "TAG"),
            file=_file(one, folder, path_in),
        )
        for words in _policy_problems(policy, one):
            problems.append(f"{where} {words}")
        one.finish()
        found.append(policy)
    return tuple(found)


def _file(one: Fields, folder: str, path_in: Callable[[str, str], str | None]) -> str:
    path = one.text("file", "", ".+", ".env")
    return (path_in(folder, path) or "") if path else ""


def _policy_problems(policy: ImagePolicy, one: Fields) -> Iterable[str]:
    if one.given("image") is None:
        yield "has no image; name its repository, such as registry.example/shop"
    elif ":" in policy.image.rpartition("/")[2] or "@" in policy.image:
        yield "names an image with a tag; leave the tag out"
    kinds = [key for key in ("versions", "pattern", "digest_of") if one.given(key) is not None]
    if not kinds or ("digest_of" in kinds and len(kinds) > 1):
        yield "must have versions, pattern (also both), or digest_of"
    if policy.versions and policy.order != SEMVER:
        yield f"has versions, whose order is {SEMVER}; remove order"
    if policy.versions:
        try:
            semver.parse_range(policy.versions)
        except ValueError as error:
            yield f"has versions {shown(policy.versions)}: {error}; use a range such as '>=1.2 <2'"
    if policy.pattern and (problem := pattern_problem(policy.pattern)):
        yield f"has a pattern that is not a regular expression: {problem}"
    if (one.given("variable") is None) != (one.given("file") is None):
        yield "must have both variable and file, or none of them"
