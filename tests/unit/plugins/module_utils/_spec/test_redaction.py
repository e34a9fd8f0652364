# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a plan shows of a value, and what it does not."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.flotilla.swarm.plugins.module_utils._spec.redaction import (
    HIDDEN,
    hide,
    hide_arguments,
    is_credential,
)


@pytest.mark.parametrize(
    "name",
    [
        *(
            "DB_PASSWORD",
            "db_pass",
            "API_TOKEN",
            "aws.secret.access",
            "SSH_KEY",
            "AUTH",
            "X-Api-Key",
        ),
        *(
            "DB_PW",
            "DBPW",
            "SMTP_CREDS",
            "smtpCreds",
            "JWT",
            "OTP",
            "TOTP_SEED",
            "JWT_SIGNING",
            "PGPASS",
        ),
        *(
            "Authorization",
            "authentication",
            "ENCRYPTION_KEYS",
            "SSH_KEY_2",
            "KEY1",
            "dbPw",
            "SENTRY_DSN",
        ),
        *(
            "VAULT_SECRET_ID",
            "AZURE_CONNECTION_STRING",
            "ConnStr",
            "AccountKey",
            "SLACK_WEBHOOK_URL",
        ),
        *(
            "--password",
            "--db-pass",
            "-pw",
            "MYSQL_PWD",
            "WIFI_PSK",
            "GITHUB_PAT",
            "rememberMeCookie",
        ),
    ],
)
def test_names_of_credentials(name: str) -> None:
    assert is_credential(name)


@pytest.mark.parametrize(
    "name",
    [
        *(
            "DB_PASSWORD_FILE",
            "AUTHOR",
            "authors",
            "KEYBOARD",
            "MONKEY",
            "TOKEN_TTL",
            "PATH",
            "secret.name",
        ),
        *(
            "COMPATIBILITY",
            "SPIN_RATE",
            "HTTP_PROXY",
            "PATTERN",
            "CREDITS",
            "PWM",
            "AWS_ACCESS_KEY_ID",
            "TOPIC",
        ),
        *(
            "LOG_LEVEL",
            "WORKERS",
            "--publish",
            "traefik.http.routers.web.rule",
            "KEY_ROTATION_DAYS",
        ),
    ],
)
def test_names_of_other_things(name: str) -> None:
    assert not is_credential(name)


S = "Xs3cr3t"
TEXTS = {
    f"mailto://h:1025?user=u&pass={S}": f"mailto://h:1025?user=u&pass={HIDDEN}",
    f"jdbc:postgresql://db:5432/x?user=u&password={S}&ssl=true": (
        f"jdbc:postgresql://db:5432/x?user=u&password={HIDDEN}&ssl=true"
    ),
    f"postgres://u:p@{S}:x@h/db": f"postgres://u:{HIDDEN}@h/db",
    f"postgres://u:p/{S}@h/db": f"postgres://u:{HIDDEN}@h/db",
    f"redis://:{S}@r": f"redis://:{HIDDEN}@r",
    f"u:p@{S}:x@h": f"u:{HIDDEN}@h",
    f"root:{S}@tcp(db:3306)/shop": f"root:{HIDDEN}@tcp(db:3306)/shop",
    f"https://{S}{S}{S}@sentry.io/1": f"https://{HIDDEN}@sentry.io/1",
    f"Server=db;User Id=sa;Password={S} {S};Encrypt=no": (
        f"Server=db;User Id=sa;Password={HIDDEN};Encrypt=no"
    ),
    f"host=db password={S} user=u": f"host=db password={HIDDEN} user=u",
    f"app --token={S} --verbose=1": f"app --token={HIDDEN} --verbose=1",
    f"app --password {S} run": f"app --password {HIDDEN} run",
    f"mysqldump -uroot -p{S} shop": f"mysqldump -uroot -p{HIDDEN} shop",
    f"sshpass -p {S} ssh h": f"sshpass -p {HIDDEN} ssh h",
    f"curl -u me:{S} http://h/": f"curl -u me:{HIDDEN} http://h/",
    f"curl -H 'Authorization: Bearer {S}' http://h/": f"curl -H 'Authorization: {HIDDEN}",
    f"x Bearer {S}": f"x Bearer {HIDDEN}",
    f'{{"user": "u", "password": "{S}", "x": 1}}': f'{{"user": "u", "password": {HIDDEN}, "x": 1}}',
    f"db:\n  password: {S}\n  port: 1": f"db:\n  password: {HIDDEN}\n  port: 1",
    f"-----BEGIN RSA PRIVATE KEY-----\n{S}\n{S}\n-----END RSA PRIVATE KEY-----\nx": f"{HIDDEN}\nx",
    f"-----BEGIN PRIVATE KEY-----\\n{S}": HIDDEN,
    "glpat-abcdefghijklmnop": HIDDEN,
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl": HIDDEN,
    "c2VjcmV0IGFuZCBsb25nIDEyMzQ1Njc4OTA=": HIDDEN,
}


@pytest.mark.parametrize("text", TEXTS)
def test_what_has_the_form_of_a_credential(text: str) -> None:
    assert hide(text) == TEXTS[text]


@pytest.mark.parametrize(
    "text",
    [
        "registry.lab:5000/hello:1@sha256:a5233f8ef25979f834a6f2265b94fbbb17d8657e7f9366e12a59137cfbd597be",
        *(
            "http://web:8080/path?page=2&mail=a@b",
            "sh -c 'sleep 1; exit 3'",
            "a=b; c: d",
            "12:30 me@example.com",
        ),
        *(
            "git@github.com:org/repo.git",
            "mkdir -p /data",
            "ssh -p 22 h",
            "7f9c2ba4-e88f-827d-616f-0ab7a3f6c1d2",
        ),
        *(
            "/Usr/Local/Share/Some/Path2/With3",
            "n1v3ryl0ngswarmid0f25chars",
            "tcp://10.0.0.1:2375",
            "-Xmx512m",
        ),
        *(
            "node.labels.zone == a",
            "Host(`shop.example.com`)",
            "user=u host=db",
            "--publish 80:80",
            "",
        ),
        "max-file=3, max-size=10m",
    ],
)
def test_what_has_not(text: str) -> None:
    assert hide(text) == text


secrets = st.text("abcxyz019%@:+!", min_size=8, max_size=16).map("Zq".__add__)


@given(secrets, st.sampled_from(["", "/x", "?a=b"]))
def test_no_password_gets_through(secret: str, end: str) -> None:
    shown = [
        hide(f"amqp://me:{secret}@host{end}"),
        hide(f"http://h/p?x=1&token={secret}"),
        hide(f"Data Source=h;Password={secret};Timeout=1"),
        hide(f'{{"api_key":"{secret}"}}'),
        hide(f"run --password={secret} -x"),
        hide(f"run --password {secret} -x"),
        hide(f"mysql -p{secret} db"),
        *hide_arguments(
            ["mysql", f"-p{secret}", "db", "--password", secret, f"--api-key={secret}"]
        ),
        *hide_arguments(["sshpass", "-p", secret, "curl", "-u", f"me:{secret}"]),
        *hide_arguments(["sh", "-c", f"TOKEN={secret} exec run --secret {secret}"]),
    ]
    assert not [text for text in shown if "Zq" in text]


@given(st.text())
def test_any_text_is_taken(text: str) -> None:
    assert isinstance(hide(text), str)


@pytest.mark.parametrize(
    "piece", ["a", "a=", " ", ",", "a:b,", "x://a:b", "-p", "://a:", '"', "a: ", "=", "-a ", "A1a/"]
)
def test_a_long_text_does_not_take_long(piece: str) -> None:
    text = piece * (128 * 1024 // len(piece))
    started = time.process_time()
    hide(text)
    assert time.process_time() - started < 5
