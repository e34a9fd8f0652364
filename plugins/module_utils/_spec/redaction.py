# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""Which values are credentials, by their name or by their form, and texts without them. No I/O.

A value that is hidden without need costs a look into the file; one that is shown stays in a log. So what might be a
credential is hidden, as long as a plan stays readable.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

HIDDEN = "(hidden)"

# --- Names ----------------------------------------------------------------------------------------------

_CREDENTIAL = re.compile(
    # Anywhere in a name.
    r"passw|passphrase|passcode|pwd|secret|token|credential|(private|api|access|account|shared)[_.-]?key"
    r"|auth(?!ors?([^a-z]|$))|salt|cookie|conn(ection)?[_.-]?str"
    # As a word of it.
    r"|(^|[^a-z])(pw|pass|creds?|jwt|[th]?otp|psk|pat|pin|bearer|hmac|sas|webhook)([^a-z]|$)"
    # At its end.
    r"|(pw|pass|creds?)\d*$|(^|[^a-z])(keys?|dsn)[_.-]?\d*$",
    re.IGNORECASE,
)
# The path of a file with a credential is not a credential.
_NOT_CREDENTIAL = re.compile(
    r"(_|-|\.)(file|path|dir|name|(?<!secret.)id|ttl|timeout|enabled)$", re.IGNORECASE
)
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


def is_credential(name: str) -> bool:
    """Whether the value of a variable, label, option or argument with this name is a credential."""
    words = _CAMEL.sub("_", name)
    return any(map(_CREDENTIAL.search, (name, words))) and not _NOT_CREDENTIAL.search(words)


# --- Values ---------------------------------------------------------------------------------------------

_WORD = r"(?:\"[^\"]*\"?|'[^']*'?|[^\s\"']+)"
# Credentials by their form. Lengths are bounded, so that no text takes long.
_FORMS = (
    # A private key, whole or cut off.
    re.compile(
        r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY[A-Z ]*-----.*?(?:-----END [A-Z0-9 ]*-----|\Z)", re.DOTALL
    ),
    # scheme://user:password@host; the password may have unescaped @, : and /.
    re.compile(
        r"(?P<before>\w://[^\s/?#@:]{0,200}:)(?:[^\s/?#]{0,1000}|(?!\d+(?:[/?#\s]|$))\S{0,1000})(?P<after>@)"
    ),
    # A token in place of a user.
    re.compile(r"(?P<before>\w://)[^\s/?#@:]{16,1000}(?P<after>@)"),
    # user:password@host without a scheme. The digest of an image looks like it.
    re.compile(
        r"(?P<before>(?:^|[\s\"'=,])[\w.+-]{1,200}:)[^\s/]\S{0,1000}(?P<after>@(?!sha\d+:)[\w(\[])"
    ),
    # curl -u user:password
    re.compile(
        r"(?P<before>(?:^|\s)(?:-u|-U|--user|--proxy-user)[\s=]+[^\s:]{1,200}:)(?P<after>)" + _WORD
    ),
    # Authorization: Bearer token
    re.compile(r"(?P<before>\b(?:Bearer|Basic)\s+)(?P<after>)[\w.~+/=-]+", re.IGNORECASE),
    # -pvalue, and -p value unless that is a port or a path.
    re.compile(r"(?P<before>(?:^|\s)-p)(?P<after>)(?![\s=])" + _WORD),
    re.compile(r"(?P<before>(?:^|\s)-p[\s=]+)(?P<after>)(?!\d{1,5}(?:[\s:]|$)|[./-])" + _WORD),
    # Tokens with a known prefix.
    re.compile(
        r"\b(?:gh[a-z]_|github_pat_|glpat-|xox[a-z]-|npm_|hf_|dckr_pat_|sk[-_]|AKIA|SWMTKN-|SWMKEY-|AGE-SECRET-KEY-)[\w-]{12,}"
        r"|\beyJ[\w-]{8,}\.[\w-]+\.[\w-]*"
    ),
    # Random strings: long, with letters of both cases and digits, and not a path.
    re.compile(
        r"(?<![\w+/=.-])(?=[\w+/-]*[a-z])(?=[\w+/-]*[A-Z])(?=(?:[\w+/-]*?\d){2})(?!\w*(?:/\w+){2,}\b)[\w+/-]{24,}={0,2}"
    ),
)
# Credentials by the name before them: the name, and how far the value goes.
_NAMED = (
    # name=value in a query, a connection string, an argument, a shell's command.
    (
        re.compile(r"(?<![\w.\[\]-])([\w.\[\]-]+)="),
        re.compile(r".*?(?=[&;#]|[\s,]{1,4}-{0,2}[\w.-]{1,80}=|\Z)", re.DOTALL),
    ),
    # name: value in JSON, YAML or a header.
    (
        re.compile(r"(?<![\w.-])([\w.-]+)(?:[\"']\s{0,4}:\s{0,4}|:\s{1,4})"),
        re.compile(r"\"(?:[^\"\\]|\\.)*\"?|'[^']*'?|[^,}\n]+", re.DOTALL),
    ),
    # --name value in a shell's command.
    (re.compile(r"(?<!\S)(--?[\w.-]+)\s+(?!-)"), re.compile(_WORD)),
)


def hide(text: str) -> str:
    """The text without credentials: values that have the form of one, or the name of one before them."""
    for form in _FORMS:
        text = form.sub(_but_what_surrounds, text)
    for name, value in _NAMED:
        text = _without_named(text, name, value)
    return text


def _but_what_surrounds(match: re.Match[str]) -> str:
    around = match.groupdict()
    return f"{around.get('before') or ''}{HIDDEN}{around.get('after') or ''}"


def _without_named(text: str, name: re.Pattern[str], value: re.Pattern[str]) -> str:
    pieces, position = [], 0
    for match in name.finditer(text):
        if match.start() < position or not is_credential(match.group(1)):
            continue
        found = value.match(text, match.end())
        if found and found.group():
            pieces += [text[position : match.end()], HIDDEN]
            position = found.end()
    return "".join([*pieces, text[position:]])


# Options whose value is the next argument.
_TAKES_LOGIN = ("-p", "-u", "-U", "--user", "--proxy-user")


def hide_arguments(arguments: Iterable[str]) -> Iterator[str]:
    """The arguments of a command without credentials, such as the one after `--password`."""
    last = ""
    for argument in arguments:
        if last in _TAKES_LOGIN:
            yield hide(f"{last} {argument}")[len(last) + 1 :]
        elif last.startswith("-") and "=" not in last and is_credential(last):
            yield HIDDEN
        else:
            yield hide(argument)
        last = argument
