# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A repository over https: git's own server behind TLS and a password, and those who want to have the password."""

from __future__ import annotations

import base64
import http.server
import os
import ssl
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from ansible_collections.flotilla.swarm.plugins.module_utils._common.errors import SwarmError
from ansible_collections.flotilla.swarm.plugins.module_utils._git.repository import (
    Access,
    Repository,
    bad_access,
)

TOKEN = "given-Bv8-once"


class Server(http.server.ThreadingHTTPServer):
    """Serves the repositories of a folder to those who have the token, or redirects everybody."""

    daemon_threads = True

    def __init__(self, folder: Path, context: ssl.SSLContext, redirect: str = "") -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.folder, self.redirect = folder, redirect
        self.passwords: list[str] = []  # all that anybody has sent
        self.socket = context.wrap_socket(self.socket, server_side=True)
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that does not trust the certificate breaks off."""

    @property
    def url(self) -> str:
        return f"https://localhost:{self.server_address[1]}"


class Handler(http.server.BaseHTTPRequestHandler):
    server: Server

    def log_message(self, *_words: object) -> None:
        """Nothing."""

    def do_GET(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def _answer(self) -> None:
        if self.server.redirect:
            self.send_response(302)
            self.send_header("Location", self.server.redirect + self.path)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        _basic, _space, given = self.headers.get("Authorization", "").partition(" ")
        user, _colon, password = base64.b64decode(given).decode().partition(":")
        if password:
            self.server.passwords.append(password)
        if password != TOKEN:
            self.send_response(401)
            self.send_header("WWW-Authenticate", 'Basic realm="git"')
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        path, _mark, query = self.path.partition("?")
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        done = subprocess.run(
            ["git", "http-backend"],
            env={
                "PATH": os.environ["PATH"],
                "GIT_PROJECT_ROOT": str(self.server.folder),
                "GIT_HTTP_EXPORT_ALL": "1",
                "GIT_CONFIG_NOSYSTEM": "1",
                "REMOTE_USER": user,
                "REMOTE_ADDR": "127.0.0.1",
                "REQUEST_METHOD": self.command,
                "PATH_INFO": path,
                "QUERY_STRING": query,
                "CONTENT_TYPE": self.headers.get("Content-Type", ""),
                "CONTENT_LENGTH": str(len(body)),
                "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
                "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
            },
            input=body,
            capture_output=True,
            check=True,
            timeout=60,
        )
        head, _gap, content = done.stdout.partition(b"\r\n\r\n")
        headers = dict(line.split(": ", 1) for line in head.decode().split("\r\n"))
        self.send_response(int(headers.pop("Status", "200").split()[0]))
        for name, value in {**headers, "Content-Length": str(len(content))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ssl.SSLContext]:
    """A certificate that is its own authority, and the context of a server that has it."""
    place = tmp_path_factory.mktemp("tls")
    script = """
    openssl req -x509 -newkey rsa:2048 -nodes -keyout key -out certificate -days 2 -subj /CN=localhost -addext subjectAltName=DNS:localhost
    """
    subprocess.run(["sh", "-ec", script], cwd=place, check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(place / "certificate", place / "key")
    return place / "certificate", context


@pytest.fixture
def server(tmp_path: Path, certificate: tuple[Path, ssl.SSLContext]) -> Iterator[Server]:
    git = ["git", "-c", "user.name=Ada", "-c", "user.email=ada@shop.example"]
    bare, tree = tmp_path / "srv" / "shop.git", tmp_path / "tree"
    for words in (
        ["git", "init", "-q", "--bare", "-b", "main", str(bare)],
        ["git", "-C", str(bare), "config", "http.receivepack", "true"],
        ["git", "clone", "-q", str(bare), str(tree)],
        ["sh", "-c", 'echo 0 > "$1"/a; git -C "$1" add a', "sh", str(tree)],
        [*git, "-C", str(tree), "commit", "-q", "-m", "Begin"],
        ["git", "-C", str(tree), "push", "-q", "origin", "HEAD:main"],
    ):
        subprocess.run(words, check=True, capture_output=True)
    server = Server(tmp_path / "srv", certificate[1])
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def access(server: Server, tmp_path: Path, certificate: tuple[Path, ssl.SSLContext]) -> Access:
    token = tmp_path / "token"
    token.write_text(TOKEN)
    return Access(
        f"{server.url}/shop.git", token_file=str(token), user="ada", ca_file=str(certificate[0])
    )


def test_a_commit_is_fetched_and_a_change_is_pushed_with_a_token(
    server: Server, access: Access, tmp_path: Path
) -> None:
    assert not bad_access(access)
    seen = Repository("shop", str(tmp_path / "copy.git"), access)
    head = seen.remote_head("main")
    seen.fetch("refs/heads/main", head)
    assert seen.commit(head).subject == "Begin"
    made = seen.push_change("main", head, {"a": b"1"}, "Update", "Flotilla <f@swarm.example>")
    assert seen.remote_head("main") == made
    assert set(server.passwords) == {TOKEN}


def test_a_wrong_token_is_refused_in_words_without_it(access: Access, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("wrong-Xc2-word")
    with pytest.raises(SwarmError) as caught:
        Repository("shop", str(tmp_path / "copy.git"), access).remote_head("main")
    assert caught.value.code == "git_unreachable"
    assert "Authentication failed" in caught.value.message
    assert "wrong-Xc2-word" not in caught.value.message


def test_a_certificate_of_an_unknown_authority_gets_no_token(
    server: Server, access: Access, tmp_path: Path
) -> None:
    with pytest.raises(SwarmError) as caught:
        Repository("shop", str(tmp_path / "copy.git"), replace(access, ca_file="")).remote_head(
            "main"
        )
    assert caught.value.code == "git_unreachable"
    assert "certificate" in caught.value.message
    assert not server.passwords


def test_a_server_to_which_another_one_redirects_gets_no_token(
    server: Server, access: Access, tmp_path: Path, certificate: tuple[Path, ssl.SSLContext]
) -> None:
    sender = Server(tmp_path, certificate[1], redirect=server.url)
    try:
        there = replace(access, url=f"{sender.url}/shop.git")
        with pytest.raises(SwarmError) as caught:
            Repository("shop", str(tmp_path / "copy.git"), there).remote_head("main")
    finally:
        sender.shutdown()
        sender.server_close()
    assert caught.value.code == "git_unreachable"
    assert not server.passwords


@pytest.mark.parametrize("url", ["http://git.example/a.git", "ssh://git.example/a.git"])
def test_a_token_that_would_not_be_encrypted_is_refused(access: Access, url: str) -> None:
    assert "use https://" in bad_access(replace(access, url=url))
