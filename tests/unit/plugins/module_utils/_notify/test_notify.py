# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Notifications: limits as pure decisions, and receivers that are real programs and servers, also those that misbehave."""

from __future__ import annotations

import json
import os
import ssl
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.flotilla.swarm.plugins.module_utils._notify import send as module
from ansible_collections.flotilla.swarm.plugins.module_utils._notify.events import (
    Event,
    as_json,
    body,
    title,
)
from ansible_collections.flotilla.swarm.plugins.module_utils._notify.limits import (
    Memory,
    admit,
    as_text,
    from_text,
    not_taken,
)
from ansible_collections.flotilla.swarm.plugins.module_utils._notify.send import (
    NotifyConfig,
    parse_notify,
    send,
)

NOW = 1_800_000_000.0
FAILED = Event(
    "failed", "shop", "web: crash", "1234567890" * 4, "Raise replicas", "Ann", NOW, "prod"
)


# Events


def test_an_event_as_people_read_it() -> None:
    assert title(FAILED) == "prod: shop could not be deployed"
    assert body(FAILED) == (
        "web: crash\nCommit 123456789012 by Ann: Raise replicas\nAt 2027-01-15 08:00:00 UTC"
    )
    assert title(Event("something_new", "x")) == "x something new"
    assert body(Event("drift", "x", suppressed=3)) == "3 more like this were not sent"
    document = json.loads(as_json(FAILED))
    assert (document["kind"], document["subject"], document["title"]) == (
        "failed",
        "shop",
        title(FAILED),
    )


@given(st.text(), st.text())
def test_no_event_has_more_than_one_line_as_title(subject: str, cause: str) -> None:
    event = Event("failed", subject, cause, "c", cause, cause, 0, subject)
    assert len(title(event).splitlines()) == 1
    assert len(title(event)) <= 200
    assert len(body(event).splitlines()) <= 3
    json.loads(as_json(event))


# Limits


def test_one_of_a_kind_and_subject_at_a_time() -> None:
    memory, sent = admit(Memory(), [FAILED, FAILED, Event("deployed", "shop")], 300, 30, NOW)
    assert [event.key for event in sent] == ["failed shop", "deployed shop"]
    memory, sent = admit(memory, [FAILED], 300, 30, NOW + 299)
    assert sent == []
    memory, sent = admit(memory, [FAILED], 300, 30, NOW + 300)
    assert [event.suppressed for event in sent] == [2]
    _memory, sent = admit(memory, [FAILED], 300, 30, NOW + 600)
    assert [event.suppressed for event in sent] == [0]


def test_no_more_than_a_number_in_an_hour() -> None:
    many = [Event("drift", f"app{number}") for number in range(10)]
    memory, sent = admit(Memory(), many, 0, 4, NOW)
    assert len(sent) == 4
    memory, sent = admit(memory, many[4:], 0, 4, NOW + 3599)
    assert sent == []
    _memory, sent = admit(memory, many[4:6], 0, 4, NOW + 3601)
    assert [event.suppressed for event in sent] == [2, 2]


def test_a_clock_that_is_put_back_holds_nothing_back() -> None:
    memory, _sent = admit(Memory(), [FAILED], 300, 1, NOW)
    _memory, sent = admit(memory, [FAILED], 300, 1, NOW - 86400)
    assert len(sent) == 1


def test_what_nobody_took_is_counted_and_holds_nothing_back() -> None:
    memory, sent = admit(Memory(), [FAILED], 300, 30, NOW)
    _memory, sent = admit(not_taken(memory, sent), [FAILED], 300, 30, NOW + 1)
    assert [event.suppressed for event in sent] == [1]


events = st.builds(Event, st.sampled_from(["failed", "drift"]), st.sampled_from("abc"))


@given(
    st.lists(st.tuples(st.lists(events, max_size=4), st.integers(0, 2000))),
    st.integers(0, 600),
    st.integers(1, 5),
)
def test_no_event_is_lost_without_being_counted(rounds: list[Any], every: int, most: int) -> None:
    memory, now, given_events, told = Memory(), NOW, 0, 0
    times: dict[str, float] = {}
    for several, seconds in rounds:
        now += seconds
        memory, sent = admit(memory, several, every, most, now)
        assert from_text(as_text(memory)) == memory
        given_events += len(several)
        told += sum(1 + event.suppressed for event in sent)
        for event in sent:
            assert now - times.get(event.key, -every) >= every
            times[event.key] = now
        assert len([when for when in memory.times if when > now - 3600]) <= most
    assert given_events == told + sum(memory.held.values())


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "null",
        '{"latest": 1}',
        '{"latest": {"a": "x"}, "times": [], "held": {}, "failing": []}',
        "[" * 100_000,
    ],
)
def test_an_unreadable_memory_is_an_empty_one(text: str) -> None:
    assert from_text(text) == Memory()


def test_the_memory_is_bounded() -> None:
    memory = Memory()
    for number in range(5):
        many = [Event("drift", f"{number}-{n}") for n in range(400)]
        memory, _sent = admit(memory, many, 300, 200, NOW + number)
    assert len(memory.latest) <= 500
    assert len(memory.held) <= 500


# A webhook


class Hook(BaseHTTPRequestHandler):
    """Takes events; `mode` says how it misbehaves."""

    mode = ""
    seen: ClassVar[list[dict[str, Any]]]
    stop: ClassVar[threading.Event]

    def log_message(self, *_args: Any) -> None:
        pass

    def do_POST(self) -> None:
        data = self.rfile.read(int(self.headers["Content-Length"]))
        self.seen.append(
            {
                "path": self.path,
                "token": self.headers.get("Authorization"),
                "event": json.loads(data),
            }
        )
        if self.mode == "hang":
            self.stop.wait(30)
        elif self.mode == "drip":
            self.send_response(200)
            self.flush_headers()
            while not self.stop.wait(0.1):
                self.wfile.write(b"X-A: b\r\n")
        elif self.mode == "nonsense":
            self.wfile.write(b"nonsense\r\n\r\n")
        elif self.mode == "redirect":
            self.send_response(307)
            self.send_header("Location", "https://attacker.example/take")
            self.end_headers()
        else:
            self.send_response(int(self.mode or 204))
            self.end_headers()


class Server(ThreadingHTTPServer):
    """Says nothing about clients that go away."""

    daemon_threads = True

    def handle_error(self, *_args: Any) -> None:
        pass


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("tls")
    key, cert = folder / "key.pem", folder / "cert.pem"
    words = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-nodes",
        "-days",
        "2",
    ]
    words += [
        "-subj",
        "/CN=localhost",
        "-addext",
        "subjectAltName=DNS:localhost",
        "-keyout",
        str(key),
        "-out",
        str(cert),
    ]
    subprocess.run(words, check=True, capture_output=True)
    return key, cert


@pytest.fixture
def hook(certificate: tuple[Path, Path]) -> Iterator[tuple[type[Hook], int]]:
    key, cert = certificate

    class Own(Hook):
        seen: ClassVar[list[dict[str, Any]]] = []
        stop = threading.Event()

    server = Server(("127.0.0.1", 0), Own)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    server.socket = context.wrap_socket(
        server.socket, server_side=True, do_handshake_on_connect=False
    )
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    yield Own, server.server_address[1]
    Own.stop.set()
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def config(
    hook: tuple[type[Hook], int], certificate: tuple[Path, Path], tmp_path: Path
) -> Callable[..., NotifyConfig]:
    token = tmp_path / "token"
    token.write_text("s3cret-token\n")

    def make(**more: Any) -> NotifyConfig:
        given_values: dict[str, Any] = {
            "webhook": f"https://localhost:{hook[1]}/hooks/path-secret?key=query-secret",
            "token_file": str(token),
            "ca_file": str(certificate[1]),
            "memory": str(tmp_path / "state" / "notify.json"),
            **more,
        }
        return NotifyConfig(**given_values)

    return make


def test_a_webhook_gets_the_event_with_its_token(
    hook: tuple[type[Hook], int], config: Callable[..., NotifyConfig]
) -> None:
    assert send(config(), [FAILED]) == []
    (got,) = hook[0].seen
    assert got["path"] == "/hooks/path-secret?key=query-secret"
    assert got["token"] == "Bearer s3cret-token"
    assert got["event"]["cause"] == "web: crash"
    # The memory is for root alone, and holds the next one back.
    memory = Path(config().memory)
    assert stat.S_IMODE(memory.stat().st_mode) == 0o600
    assert send(config(), [FAILED]) == []
    assert len(hook[0].seen) == 1
    assert send(config(every=0), [FAILED]) == []
    assert hook[0].seen[1]["event"]["suppressed"] == 1


@pytest.mark.parametrize(
    ("mode", "words"),
    [
        ("hang", "it did not answer within 1 s"),
        ("drip", "it did not answer within 1 s"),
        ("nonsense", "it does not answer as a web server does"),
        ("redirect", "it redirects to attacker.example, which is not followed; name that one"),
        ("500", "it answers with status 500"),
        ("404", "it answers with status 404"),
    ],
)
def test_a_webhook_that_misbehaves_costs_little_and_is_named_once(
    hook: tuple[type[Hook], int], config: Callable[..., NotifyConfig], mode: str, words: str
) -> None:
    hook[0].mode = mode
    began = time.monotonic()
    (line,) = send(config(every=0), [FAILED], deadline=1)
    assert time.monotonic() - began < 3
    assert words in line
    assert line.startswith("Could not notify webhook localhost: ")
    assert "secret" not in line
    assert send(config(every=0), [FAILED], deadline=1) == []
    hook[0].mode = ""
    assert send(config(every=0), [FAILED]) == ["Notifying webhook localhost works again."]
    assert hook[0].seen[-1]["event"]["suppressed"] == 2


def test_a_webhook_that_is_not_there_or_not_trusted(
    config: Callable[..., NotifyConfig], tmp_path: Path
) -> None:
    (line,) = send(config(webhook="https://localhost:1/x"), [FAILED])
    assert "Connection refused" in line
    (line,) = send(config(ca_file="", memory=str(tmp_path / "b")), [FAILED])
    assert "its certificate is not accepted (CERTIFICATE_VERIFY_FAILED)" in line
    (line,) = send(config(ca_file="/nowhere", memory=str(tmp_path / "c")), [FAILED])
    assert "No such file" in line
    (line,) = send(config(token_file="/nowhere", memory=str(tmp_path / "d")), [FAILED])
    assert "the token in /nowhere is empty or cannot be read" in line


def test_a_memory_that_cannot_be_written_is_named(
    config: Callable[..., NotifyConfig], tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    (line,) = send(config(memory=str(tmp_path / "file" / "x")), [FAILED])
    assert line.startswith("Could not remember what was notified in ")


def test_without_receivers_or_events_nothing_is_written(
    config: Callable[..., NotifyConfig],
) -> None:
    assert send(config(webhook=""), [FAILED]) == []
    assert send(config(), []) == []
    assert not os.path.exists(config().memory)


# Apprise


def test_apprise_gets_its_file_and_the_texts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    program = f"import sys; open({str(out)!r}, 'w').write(sys.argv[1] + ' ' + sys.stdin.read())"
    monkeypatch.setattr(module, "_APPRISE", program)
    config = NotifyConfig(apprise_file="/etc/x/apprise.conf", memory=str(tmp_path / "memory"))
    assert send(config, [FAILED, Event("deployed", "blog")]) == []
    path, _space, messages = out.read_text().partition(" ")
    assert path == "/etc/x/apprise.conf"
    assert json.loads(messages) == [
        {"title": title(FAILED), "body": body(FAILED), "notify_type": "failure"},
        {"title": "blog is deployed", "body": "blog is deployed", "notify_type": "success"},
    ]


LIBRARY = """
class AppriseConfig:
    def add(self, path):
        self.path = path
class Apprise:
    def add(self, config):
        self.path = config.path
    def notify(self, body, title, notify_type, body_format):
        print("json://ann:token@hooks.example", title)
        return "shop" not in title
"""


def test_the_program_for_apprise_reports_what_was_not_sent(tmp_path: Path) -> None:
    (tmp_path / "apprise.py").write_text(LIBRARY)
    found = {}
    for subject in ("shop", "blog"):
        messages = [
            {"title": f"{name} is deployed", "body": "x", "notify_type": "info"}
            for name in ("a", subject)
        ]
        done = subprocess.run(
            [sys.executable, "-c", module._APPRISE, "/etc/x"],
            input=json.dumps(messages).encode(),
            cwd=tmp_path,
            capture_output=True,
            check=False,
        )
        found[subject] = done.returncode
    assert found == {"shop": 1, "blog": 0}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            "import sys; print('https://token@hooks.example', file=sys.stderr); sys.exit(3)",
            "Apprise ended with code 3",
        ),
        ("import time; time.sleep(60)", "did not answer within 1 s|its limit of time"),
        ("import subprocess; subprocess.Popen(['sleep', '60'])", None),
        ("while True: print('y' * 1000)", "did not answer within 1 s|its limit of "),
        ("raise SystemExit(69)", "install the package apprise"),
    ],
)
def test_an_apprise_that_misbehaves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, words: str | None
) -> None:
    monkeypatch.setattr(module, "_APPRISE", text)
    config = NotifyConfig(apprise_file="/etc/x", memory=str(tmp_path / "memory"))
    began = time.monotonic()
    lines = send(config, [FAILED], deadline=10 if words is None or "limit" not in words else 1)
    assert time.monotonic() - began < 9
    assert "token" not in "".join(lines)
    if words is None:
        assert lines == []
    else:
        assert any(part in lines[0] for part in words.split("|"))


def test_one_receiver_does_not_stop_the_other(
    hook: tuple[type[Hook], int],
    config: Callable[..., NotifyConfig],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "_APPRISE", "raise SystemExit(69)")
    (line,) = send(config(apprise_file="/etc/x"), [FAILED])
    assert line.startswith("Could not notify Apprise: ")
    assert "install the package apprise" in line
    assert len(hook[0].seen) == 1
    # Somebody got it, so it is not counted as lost.
    assert from_text(Path(config().memory).read_text()).held == {}


# The configuration


def test_the_configuration_is_read_with_all_that_is_wrong() -> None:
    problems: list[str] = []
    right = {
        "webhook": "https://hooks.example/x?y=z",
        "token_file": "/etc/t",
        "every": 60,
        "most": 5,
    }
    assert parse_notify(right, "notify", problems) == NotifyConfig(
        webhook="https://hooks.example/x?y=z", token_file="/etc/t", every=60, most=5
    )
    assert parse_notify(None, "notify", problems) == NotifyConfig()
    assert problems == []
    wrong = {"webhook": "http://hooks.example", "token_file": "t", "most": 0, "url": "x"}
    parse_notify(wrong, "notify", problems)
    assert [problem.partition(" ")[0] for problem in problems] == [
        "notify.webhook",
        "notify.token_file",
        "notify.most",
        "notify.url",
    ]
    problems = []
    parse_notify({"webhook": "https://ann:secret@hooks.example/"}, "notify", problems)
    assert len(problems) == 1
    assert "secret" not in problems[0]
