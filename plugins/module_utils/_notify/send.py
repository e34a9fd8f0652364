# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""Sends events to people: to a webhook, and to everything that Apprise knows.

A receiver that hangs, fails or answers with nonsense costs a bounded time, and never raises.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import socket
import ssl
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlsplit

from .._common.errors import SwarmError
from .._common.fields import Fields
from .._host.commands import run
from .._host.files import text_of, write_whole
from .events import Event, as_json, body, title
from .limits import admit, as_text, from_text, not_taken

# Seconds: for all receivers together, and for one step of a connection.
DEADLINE = 30.0
_STEP = 10.0
# Bytes of a file with a token, and of an answer.
_LARGEST_TOKEN, _LARGEST_ANSWER = 4096, 65536
# The program that sends the messages on its input, and how it ends where there is no Apprise.
_NO_APPRISE = 69
_APPRISE = f"""
import json, sys
try:
    import apprise
except ImportError:
    sys.exit({_NO_APPRISE})
config = apprise.AppriseConfig()
config.add(sys.argv[1])
receivers = apprise.Apprise()
receivers.add(config)
sent = [receivers.notify(body_format="text", **each) for each in json.load(sys.stdin)]
sys.exit(not all(sent))
"""
# How Apprise marks an event.
_TYPES = {
    **dict.fromkeys(("failed", "build_failed"), "failure"),
    **dict.fromkeys(("rolled_back", "drift", "trouble"), "warning"),
    **dict.fromkeys(("deployed", "healed", "built"), "success"),
}


@dataclass(frozen=True)
class NotifyConfig:
    """The receivers, and how many events they get. URLs of Apprise and tokens are in files that only root can read."""

    apprise_file: str = ""  # a configuration of Apprise with its URLs
    webhook: str = ""  # https://...
    token_file: str = ""  # of the webhook: sent as a bearer token
    ca_file: str = ""  # of the webhook, if no public CA has signed its certificate
    every: int = 300  # seconds between two events of the same kind and subject
    most: int = 30  # events in an hour
    memory: str = "/var/lib/flotilla.swarm/notify.json"  # the file that remembers what was sent


def parse_notify(
    document: Mapping[str, Any] | None, where: str, problems: list[str]
) -> NotifyConfig:
    """The configuration in a dictionary with these keys; `where` is its name in messages."""
    fields = Fields(document, where, problems)
    default = NotifyConfig()
    path = "/.+"
    config = NotifyConfig(
        apprise_file=fields.text("apprise_file", "", path, "/etc/flotilla.swarm/apprise.conf"),
        # The path of a webhook is often a secret.
        webhook=fields.text(
            "webhook", "", r"https://[^\s@]+", "https://hooks.example/swarm", 2000, private=True
        ),
        token_file=fields.text("token_file", "", path, "/etc/flotilla.swarm/webhook.token"),
        ca_file=fields.text("ca_file", "", path, "/etc/flotilla.swarm/webhook.pem"),
        every=fields.number("every", default.every, 0, 86400),
        most=fields.number("most", default.most, 1, 1000),
        memory=fields.text("memory", default.memory, path, default.memory),
    )
    fields.finish()
    return config


def send(
    config: NotifyConfig,
    events: Sequence[Event],
    now: float | None = None,
    deadline: float = DEADLINE,
) -> list[str]:
    """Send the events that the limits let through. Returns lines for the journal; never raises, and ends at the deadline.

    A receiver that does not work is named once, and again when it works.
    """
    receivers = _receivers(config)
    if not receivers or not events:
        return []
    memory, due = admit(
        from_text(text_of(config.memory)),
        events,
        config.every,
        config.most,
        time.time() if now is None else now,
    )
    results = _send_all(receivers, due, deadline) if due else {}
    lines = [
        f"Could not notify {name}: {why}. It is tried again at the next event."
        for name, why in sorted(results.items())
        if why and name not in memory.failing
    ]
    lines += [
        f"Notifying {name} works again."
        for name, why in sorted(results.items())
        if not why and name in memory.failing
    ]
    if due:
        failing = tuple(sorted(name for name, why in results.items() if why))
        memory = replace(memory, failing=failing)
        if len(failing) == len(receivers):
            memory = not_taken(memory, due)
    try:
        os.makedirs(os.path.dirname(config.memory), mode=0o700, exist_ok=True)
        write_whole(config.memory, as_text(memory).encode())
    except OSError as error:
        lines.append(f"Could not remember what was notified in {config.memory}: {error.strerror}.")
    return lines


# Sends events, until the time on the monotonic clock. Raises SwarmError with the reason.
Receiver = Callable[[Sequence[Event], float], None]


def _receivers(config: NotifyConfig) -> dict[str, Receiver]:
    """By the name in the journal, which has no path and no query of a URL: these are often secrets."""
    found: dict[str, Receiver] = {}
    if config.webhook:
        host = urlsplit(config.webhook).hostname or "?"
        found[f"webhook {host}"] = lambda events, end: _post_all(config, events, end)
    if config.apprise_file:
        found["Apprise"] = lambda events, end: _apprise(config, events, end)
    return found


def _send_all(
    receivers: Mapping[str, Receiver], events: Sequence[Event], seconds: float
) -> dict[str, str]:
    """Send to all receivers at once; by their names why one failed, or nothing."""
    end = time.monotonic() + seconds
    results = dict.fromkeys(receivers, f"it did not answer within {seconds:g} s")

    def work(name: str, receiver: Receiver) -> None:
        try:
            receiver(events, end)
            results[name] = ""
        except SwarmError as error:
            results[name] = error.message
        except Exception:
            # Whatever a receiver answers, a sync must not fail.
            results[name] = "its answer cannot be read"

    # Daemons, because nothing can interrupt a look-up of a name, and the process must end without it.
    threads = [threading.Thread(target=work, args=each, daemon=True) for each in receivers.items()]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, end - time.monotonic()))
    return dict(results)


def _post_all(config: NotifyConfig, events: Sequence[Event], end: float) -> None:
    for event in events:
        _post(config, event, end)


def _post(config: NotifyConfig, event: Event, end: float) -> None:
    """Send an event to the webhook. A redirect is not followed: its host would get the token."""
    url = urlsplit(config.webhook)
    headers = {"Content-Type": "application/json", "User-Agent": "flotilla.swarm"}
    if config.token_file:
        headers["Authorization"] = f"Bearer {_token(config.token_file)}"
    left = end - time.monotonic()
    if left <= 0:
        raise _failed("the events before it took all of the time")
    limit = min(_STEP, left)
    try:
        context = ssl.create_default_context(cafile=config.ca_file or None)
        connection = http.client.HTTPSConnection(
            url.hostname or "", url.port, timeout=limit, context=context
        )
        with contextlib.closing(connection):
            path = f"{url.path or '/'}{f'?{url.query}' if url.query else ''}"
            connection.request("POST", path, as_json(event), headers)
            answer = connection.getresponse()
            answer.read(_LARGEST_ANSWER)
    except ssl.SSLError as error:
        raise _failed(f"its certificate is not accepted ({error.reason or error})") from error
    except socket.timeout as error:
        raise _failed(f"it did not answer within {max(1, round(limit))} s") from error
    except OSError as error:
        raise _failed(error.strerror or "its connection broke") from error
    except http.client.HTTPException as error:
        raise _failed("it does not answer as a web server does") from error
    if answer.status // 100 == 3:
        where = urlsplit(answer.getheader("Location") or "").hostname or "another place"
        raise _failed(f"it redirects to {where[:100]}, which is not followed; name that one")
    if answer.status // 100 != 2:
        raise _failed(f"it answers with status {answer.status}")


def _token(path: str) -> str:
    token = text_of(path)[:_LARGEST_TOKEN].strip()
    if not token or not token.isascii() or not token.isprintable():
        raise _failed(f"the token in {path} is empty or cannot be read")
    return token


def _apprise(config: NotifyConfig, events: Sequence[Event], end: float) -> None:
    """Send events with the library of Apprise, in a process of its own that can be ended. It takes seconds to start, so it starts once.

    Its URLs are in its file, and never in arguments. Its output can have them, and is not shown.
    """
    messages = [
        {
            "title": title(event),
            "body": body(event) or title(event),
            "notify_type": _TYPES.get(event.kind, "info"),
        }
        for event in events
    ]
    words = [sys.executable, "-I", "-c", _APPRISE, config.apprise_file]
    environment = {"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", "HOME": "/nonexistent"}
    left = max(0.1, end - time.monotonic())
    try:
        done = run(words, left, stdin=json.dumps(messages).encode(), environment=environment)
    except OSError as error:
        raise _failed(f"{sys.executable} cannot be started") from error
    if done.code == _NO_APPRISE:
        raise _failed("this host lacks Apprise; install the package apprise")
    if not done.ok:
        reason = f"its limit of {done.limit}" if done.limit else f"code {done.code}"
        raise _failed(
            f"Apprise ended with {reason}; run apprise -v --config={config.apprise_file} --body=test on this host"
        )


def _failed(why: str) -> SwarmError:
    return SwarmError("not_notified", why)
