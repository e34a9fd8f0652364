# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""A module of this collection: the options of the connection, named as in community.docker so that habits carry
over, and what is wrong with the options that it is given, in words."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from typing import Any, Union
from urllib.parse import urlsplit

from ansible.module_utils import basic
from ansible.module_utils.basic import AnsibleModule, env_fallback
from ansible.module_utils.common.parameters import set_fallbacks

from ansible_collections.flotilla.swarm.plugins.module_utils._errors import (
    SwarmError,
    abbreviate,
    shown,
)

DEFAULT_DOCKER_HOST = "unix:///var/run/docker.sock"

# The least value of an option by its name, or the least and the most. Any other number must be 0 or more. A list that is
# here must not be empty, where an empty one would be none and nobody can mean that.
Limits = Mapping[str, Union[int, tuple[int, int]]]
_EVERYWHERE: Limits = {"timeout": 1}


class Module(AnsibleModule):
    """Looks at the options before Ansible does, whose own check lets negative numbers pass and ends in an exception at others."""

    def __init__(
        self, argument_spec: dict[str, Any], limits: Limits | None = None, **rules: Any
    ) -> None:
        given = dict(basic._load_params() or {})
        set_fallbacks(argument_spec, given)
        error = bad_options(argument_spec, given, limits)
        if error is None:
            super().__init__(argument_spec=argument_spec, **rules)
            return
        # Only to fail in the usual way: Ansible takes any value, and logs none.
        anything = {
            name: {"type": "raw", "aliases": option.get("aliases") or []}
            for name, option in argument_spec.items()
        }
        super().__init__(argument_spec=anything, no_log=True, supports_check_mode=True)
        # What was given may be secret, and the message has nothing of that. To blank its values in it would spoil the words.
        self.params: dict[str, Any] = {}
        self.fail_json(msg=error.message, failure=error.as_failure())

    def fail_json(self, msg: str, **result: Any) -> Any:
        """No message repeats more of what it was given than a person reads."""
        super().fail_json(msg=abbreviate(msg), **result)

    def take_out(self, *names: str) -> dict[str, Any]:
        """Take arguments out of what the module returns and logs, and return them.

        They are `no_log`, which keeps them out of the host's journal. But `no_log` also blanks their values
        wherever they occur in the result, and a replica count or a service name is such a value.
        """
        taken = {name: self.params[name] for name in names}
        self.no_log_values.clear()
        for name, value in taken.items():
            if value is not None:
                self.params[name] = "VALUE_SPECIFIED_IN_NO_LOG_PARAMETER"
        return taken


def bad_options(
    spec: Mapping[str, Any], given: Mapping[str, Any], limits: Limits | None = None
) -> SwarmError | None:
    """All that is wrong with the options, where Ansible has no word for it or one that only programmers read. Pure."""
    problems = list(_problems(spec, given, {**_EVERYWHERE, **(limits or {})}, ""))
    if not problems:
        return None
    return SwarmError(
        "bad_option", f"Could not begin: {'; '.join(problems)}. Correct it and run again."
    )


def _problems(
    spec: Mapping[str, Any], given: Mapping[str, Any], limits: Limits, where: str
) -> Iterator[str]:
    for name, option in spec.items():
        for key in (name, *option.get("aliases", ())):
            if given.get(key) is not None:
                yield from _wrong(option, given[key], limits, name, where + key)


def _wrong(
    option: Mapping[str, Any], value: Any, limits: Limits, name: str, where: str
) -> Iterator[str]:
    """What is wrong with a value that is there."""
    kind = option.get("type", "str")
    options = option.get("options") or {}
    if kind in ("int", "float"):
        yield from _wrong_number(kind, value, limits.get(name, 0), where)
    elif kind == "dict" and not isinstance(value, (Mapping, str)):
        yield f"{where} is {shown(value)}, it must be a dictionary"
    elif kind == "dict" and isinstance(value, Mapping) and options:
        yield from _problems(options, value, limits, f"{where}.")
        return
    elif kind == "list" and isinstance(value, (bool, Mapping)):
        yield f"{where} is {shown(value)}, it must be a list"
    elif kind == "list":
        entries = value.split(",") if isinstance(value, str) else value
        if entries == [] and name in limits:
            yield f"{where} is empty, name one or leave it out"
        for number, entry in enumerate(entries if isinstance(entries, list) else [entries]):
            part = f"{where}[{number}]"
            if entry is None or (isinstance(entry, str) and not entry.strip()):
                yield f"{part} is empty, take it out or fill it in"
            else:
                element = {"type": option.get("elements", "raw"), "options": options}
                yield from _wrong(element, entry, limits, name, part)
        return
    elif kind in ("str", "path") and isinstance(value, (list, Mapping)):
        yield f"{where} is {shown(value)}, it must be a text"
    elif name in _WORDED and isinstance(value, str) and value != option.get("default"):
        yield from _WORDED[name](value, where)
    yield from (
        f"{place} has a NUL character in it, which no name, path or variable can have: take it out"
        for place in _with_nul(value, where)
    )


def _wrong_number(kind: str, value: Any, limit: int | tuple[int, int], where: str) -> Iterator[str]:
    low, high = limit if isinstance(limit, tuple) else (limit, None)
    try:
        number = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    whole = kind == "float" or number.is_integer()
    # Written so that what is no number at all, which is less and more than nothing, does not fit.
    if whole and low <= number < math.inf and (high is None or number <= high):
        return
    kinds = "a number" if kind == "float" else "a whole number"
    fits = f"{low} or more" if high is None else f"from {low} to {high}"
    yield f"{where} is {shown(value)}, it must be {kinds}, {fits}"


def _wrong_version(value: str, where: str) -> Iterator[str]:
    if not re.fullmatch(r"auto|[0-9]+\.[0-9]+", value):
        yield f"{where} is {shown(value)}, it must be auto or a version such as 1.41"


def _wrong_host(value: str, where: str) -> Iterator[str]:
    """An empty one is that of the SDK, which is what an empty DOCKER_HOST means everywhere."""
    if not value:
        return
    try:
        url = urlsplit(value)
        host, port = url.hostname, url.port
    except ValueError:
        host, port = None, None
    fits = {
        "unix": value.startswith("unix:///"),
        "npipe": value.startswith("npipe://"),
        "ssh": bool(host),
        **dict.fromkeys(("tcp", "http", "https"), bool(host and port)),
    }
    if not fits.get(value.partition("://")[0], False):
        yield (
            f"{where} is {shown(value)}, it must be an address such as {DEFAULT_DOCKER_HOST} or"
            " tcp://192.0.2.23:2376"
        )


# What texts of these names have to be.
_WORDED = {"api_version": _wrong_version, "docker_host": _wrong_host}


def _with_nul(value: Any, where: str) -> Iterator[str]:
    if isinstance(value, str):
        if "\0" in value:
            yield where
    elif isinstance(value, Mapping):
        for key, item in value.items():
            name = str(key).replace("\0", "\\0")
            if "\0" in str(key):
                yield f"the name {where}.{name}"
            yield from _with_nul(item, f"{where}.{name}")
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from _with_nul(item, f"{where}[{number}]")


def docker_argument_spec(**options: Any) -> dict[str, Any]:
    """The argument spec of a module: its own options and those of the connection."""
    return dict(
        docker_host=dict(
            type="str",
            default=DEFAULT_DOCKER_HOST,
            fallback=(env_fallback, ["DOCKER_HOST"]),
            aliases=["docker_url"],
        ),
        tls=dict(type="bool", default=False, fallback=(env_fallback, ["DOCKER_TLS"])),
        validate_certs=dict(
            type="bool",
            default=False,
            fallback=(env_fallback, ["DOCKER_TLS_VERIFY"]),
            aliases=["tls_verify"],
        ),
        tls_hostname=dict(type="str", fallback=(env_fallback, ["DOCKER_TLS_HOSTNAME"])),
        ca_path=dict(type="path", aliases=["ca_cert", "tls_ca_cert", "cacert_path"]),
        client_cert=dict(type="path", aliases=["tls_client_cert", "cert_path"]),
        client_key=dict(type="path", aliases=["tls_client_key", "key_path"]),
        api_version=dict(
            type="str",
            default="auto",
            fallback=(env_fallback, ["DOCKER_API_VERSION"]),
            aliases=["docker_api_version"],
        ),
        timeout=dict(type="int", default=60, fallback=(env_fallback, ["DOCKER_TIMEOUT"])),
        **options,
    )
