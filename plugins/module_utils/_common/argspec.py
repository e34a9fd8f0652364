# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""A module of this collection: the options of the connection, named as in community.docker, and what is wrong with the
values of options, in plain words."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Union
from urllib.parse import urlsplit

from ansible.module_utils import basic
from ansible.module_utils.basic import AnsibleModule, env_fallback
from ansible.module_utils.common.parameters import set_fallbacks

from .errors import SwarmError, shorten, shown

DEFAULT_DOCKER_HOST = "unix:///var/run/docker.sock"

# The minimum of an option by its name, or minimum and maximum. Any other number must be 0 or more. A list that is here
# must not be empty.
Limits = Mapping[str, Union[int, tuple[int, int]]]
_EVERYWHERE: Limits = {"timeout": 1}
# Seconds, about 11 days. A socket cannot wait longer than 2**31 ms, and Python raises an exception for much longer times.
_LONGEST_TIMEOUT = 10**6


class Module(AnsibleModule):
    """Checks the options before Ansible does, whose own check accepts negative numbers and raises exceptions for some values."""

    def __init__(
        self,
        argument_spec: dict[str, Any],
        limits: Limits | None = None,
        private: Sequence[str] = (),
        **rules: Any,
    ) -> None:
        """`private` names the arguments that only the action plugin of the module passes. They are no options."""
        self.private: dict[str, Any] = dict.fromkeys(private)
        given = dict(basic._load_params() or {})
        set_fallbacks(argument_spec, given)
        error = bad_options(argument_spec, given, limits)
        if error is None:
            super().__init__(argument_spec=argument_spec, **rules)
            return
        # Only to fail in the usual way: Ansible accepts any value, and logs none.
        anything = {
            name: {"type": "raw", "aliases": option.get("aliases") or []}
            for name, option in argument_spec.items()
        }
        super().__init__(argument_spec=anything, no_log=True, supports_check_mode=True)
        # The values may be secret, and the message does not have them. If Ansible hid them, it would hide words of the message.
        self.params: dict[str, Any] = {}
        self.fail_json(msg=error.message, failure=error.as_failure())

    def _load_params(self) -> None:
        """Take the private arguments out before Ansible validates, logs and returns the rest."""
        super()._load_params()
        self.private = {name: self.params.pop(name, None) for name in self.private}

    def fail_json(self, msg: str, **result: Any) -> Any:
        """Fail with the message in a readable length, and with these keys of the result."""
        super().fail_json(msg=shorten(msg), **result)

    def take_out(self, *names: str) -> dict[str, Any]:
        """Remove options from what the module returns and logs, and return their values by name.

        They are `no_log`, which keeps them out of the host's journal. But Ansible also hides the values of such options
        wherever they occur in the result, and a number of replicas or a service name can be such a value.
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
    """One failure, bad_option, for everything that is wrong with the given options and that Ansible does not report in plain
    words; None if nothing is. Pure."""
    problems = list(_problems(spec, given, {**_EVERYWHERE, **(limits or {})}, ""))
    if not problems:
        return None
    return SwarmError(
        "bad_option", f"Could not start: {'; '.join(problems)}. Correct it and run again."
    )


def _problems(
    spec: Mapping[str, Any], given: Mapping[str, Any], limits: Limits, where: str
) -> Iterator[str]:
    for name, option in spec.items():
        for key in (name, *option.get("aliases", ())):
            if given.get(key) is not None:
                yield from _value_problems(option, given[key], limits, name, where + key)


def _value_problems(
    option: Mapping[str, Any], value: Any, limits: Limits, name: str, where: str
) -> Iterator[str]:
    """What is wrong with a value that is not null."""
    kind = option.get("type", "str")
    options = option.get("options") or {}
    if kind in ("int", "float"):
        limit = limits.get(name, 0)
        if name.endswith("timeout") and not isinstance(limit, tuple):
            limit = (limit, _LONGEST_TIMEOUT)
        yield from _number_problems(kind, value, limit, where)
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
            yield f"{where} is empty, it must have an entry, or be omitted"
        for number, entry in enumerate(entries if isinstance(entries, list) else [entries]):
            part = f"{where}[{number}]"
            if entry is None or (isinstance(entry, str) and not entry.strip()):
                yield f"{part} is empty, set it or remove it"
            else:
                element = {"type": option.get("elements", "raw"), "options": options}
                yield from _value_problems(element, entry, limits, name, part)
        return
    elif kind in ("str", "path") and isinstance(value, (list, Mapping)):
        yield f"{where} is {shown(value)}, it must be a string"
    elif name in _FORMATS and isinstance(value, str) and value != option.get("default"):
        yield from _FORMATS[name](value, where)
    yield from (f"{place} has a NUL character, remove it" for place in _with_nul(value, where))


def _number_problems(
    kind: str, value: Any, limit: int | tuple[int, int], where: str
) -> Iterator[str]:
    low, high = limit if isinstance(limit, tuple) else (limit, None)
    try:
        number = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    whole = kind == "float" or number.is_integer()
    # NaN fails every comparison, so it never fits.
    if whole and low <= number < math.inf and (high is None or number <= high):
        return
    kinds = "a number" if kind == "float" else "a whole number"
    fits = f"{low} or more" if high is None else f"from {low} to {high}"
    yield f"{where} is {shown(value)}, it must be {kinds}, {fits}"


def _version_problems(value: str, where: str) -> Iterator[str]:
    if not re.fullmatch(r"auto|[0-9]+\.[0-9]+", value):
        yield f"{where} is {shown(value)}, it must be auto or a version such as 1.41"


def _host_problems(value: str, where: str) -> Iterator[str]:
    """An empty address means the default, as an empty DOCKER_HOST does."""
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


# The checks of options whose strings have a format.
_FORMATS = {"api_version": _version_problems, "docker_host": _host_problems}


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
    """The argument spec of a module with the options of the connection: these, and its own `options`."""
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
