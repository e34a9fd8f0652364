# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The client of a registry, against a small registry that can misbehave. The scenario pipeline has a real one."""

from __future__ import annotations

import base64
import hashlib
import json
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.flotilla.swarm.plugins.module_utils._common.errors import SwarmError
from ansible_collections.flotilla.swarm.plugins.module_utils._registry import api
from ansible_collections.flotilla.swarm.plugins.module_utils._registry.api import (
    RegistryClient,
    ca_of,
    login_of,
)

LOGIN = ("builder", "pass:word")
BASIC = "Basic " + base64.b64encode(b"builder:pass:word").decode()


class Registry(BaseHTTPRequestHandler):
    """Blobs and manifests in memory. `mode` says how it misbehaves."""

    protocol_version = "HTTP/1.1"
    mode = ""
    blobs: dict[str, bytes]
    manifests: dict[str, tuple[bytes, str]]
    seen: list[tuple[str, str, str]]

    def log_message(self, *_args: Any) -> None:
        pass

    def answer(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def handle_any(self) -> None:
        host = f"https://{self.headers['Host']}"
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        given = self.headers.get("Authorization") or ""
        path, _mark, query = self.path.partition("?")
        self.seen.append((self.command, self.path, given))
        if path == "/token":
            fits = given == BASIC and "scope=repository%3Ashop%2Fweb%3A" in query
            self.answer(
                200 if fits else 401,
                json.dumps({"token": "T" if "push" in query else "R"}).encode(),
            )
            return
        if self.mode == "basic" and given != BASIC:
            self.answer(401, WWW_Authenticate='Basic realm="x"')
        elif self.mode == "bearer" and given != (
            "Bearer R" if self.command in ("GET", "HEAD") else "Bearer T"
        ):
            if given != "Bearer T":
                self.answer(401, WWW_Authenticate=f'Bearer realm="{host}/token",service="s"')
            else:
                self.registry(path, query, body, host)
        elif self.mode == "steal":
            self.answer(401, WWW_Authenticate='Bearer realm="http://127.0.0.1/token",service="s"')
        elif self.mode == "html":
            self.answer(200, b"<html>")
        elif self.mode == "broken":
            self.answer(503, b'{"errors": [{"message": "disk\\nfull"}]}')
        elif self.mode == "huge":
            self.answer(200, b"[" + b" " * (api._LARGEST + 1))
        elif self.mode == "loop":
            self.answer(307, Location=self.path)
        elif self.mode == "away":
            self.answer(
                307,
                Location=f"https://localhost:{self.headers['Host'].rpartition(':')[2]}/away{self.path}",
            )
        elif self.mode == "pages":
            self.answer(200, b'{"tags": ["a"]}', Link=f'<{self.path}>; rel="next"')
        elif self.mode == "slow":
            self.send_response(200)
            self.send_header("Content-Length", "1000")
            self.end_headers()
            for _number in range(100):
                self.wfile.write(b" ")
                time.sleep(0.05)
        else:
            self.registry(path, query, body, host)

    def registry(self, path: str, query: str, body: bytes, host: str) -> None:
        kind, _slash, name = path.removeprefix("/v2/shop/web/").partition("/")
        if not path.startswith("/v2/shop/web/"):
            self.answer(404)
        elif kind == "tags" and "last" not in query:
            self.answer(
                200,
                b'{"tags": ["2", "flotilla-build-shop"]}',
                Link='</v2/shop/web/tags/list?n=1&last=2>; rel="next"',
            )
        elif kind == "tags":
            self.answer(200, b'{"tags": ["10", null]}')
        elif kind == "blobs" and self.command == "POST":
            self.answer(202, Location="/v2/shop/web/blobs/place?state=1")
        elif kind == "blobs" and self.command == "PUT":
            self.blobs[query.partition("digest=")[2].replace("%3A", ":")] = body
            self.answer(201)
        elif kind == "blobs":
            self.answer(200 if name in self.blobs else 404, self.blobs.get(name, b""))
        elif self.command == "PUT":
            digest = "sha256:" + hashlib.sha256(body).hexdigest()
            self.manifests[name] = self.manifests[digest] = (body, digest)
            self.answer(201)
        elif self.command == "DELETE":
            self.answer(202 if self.manifests.pop(name, None) else 404)
        elif name in self.manifests:
            content, digest = self.manifests[name]
            kind = "application/vnd.docker.distribution.manifest.v2+json"
            self.answer(200, content, Docker_Content_Digest=digest, Content_Type=kind)
        else:
            self.answer(404, b'{"errors": [{"message": "unknown"}]}')

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = handle_any


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tls")
    path = folder / "ca.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
         "-subj", "/CN=test", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout", folder / "key.pem", "-out", path],
        check=True, capture_output=True,
    )  # fmt: skip
    return path


@pytest.fixture
def registry(certificate: Path) -> Iterator[tuple[str, type[Registry]]]:
    handler = type("Handler", (Registry,), {"blobs": {}, "manifests": {}, "seen": []})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, certificate.with_name("key.pem"))
    server.socket = context.wrap_socket(server.socket, server_side=True)
    server.handle_error = lambda *_args: None  # type: ignore[method-assign]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield f"127.0.0.1:{server.server_port}", handler
    server.shutdown()
    thread.join()
    server.server_close()


def client_of(name: str, certificate: Path, timeout: float = 5, **more: Any) -> RegistryClient:
    return RegistryClient(name, ca_file=str(certificate), timeout=timeout, **more)


@pytest.mark.parametrize("mode", ["", "basic", "bearer"])
def test_records_tags_and_digests(
    registry: tuple[str, type[Registry]], certificate: Path, mode: str
) -> None:
    name, handler = registry
    handler.mode = mode
    client = client_of(name, certificate, login=LOGIN)
    assert client.record("shop/web", "flotilla-build-shop") is None
    assert client.digest("shop/web", "1") is None
    for state in ("building", "built"):
        client.put_record("shop/web", "flotilla-build-shop", {"state": state})
        assert client.record("shop/web", "flotilla-build-shop") == {"state": state}
    digest = client.digest("shop/web", "flotilla-build-shop")
    assert digest
    assert digest in handler.manifests
    # Records are no tags of images, and there can be several pages.
    assert client.tags("shop/web") == ["10", "2"]
    if mode != "bearer":
        assert client.tags("other") == []
    assert client.delete("shop/web", digest)
    assert not client.delete("shop/web", digest)


def test_the_configuration_of_an_image(
    registry: tuple[str, type[Registry]], certificate: Path
) -> None:
    name, handler = registry
    client = client_of(name, certificate)
    config = json.dumps({"architecture": "amd64", "config": {"Labels": {"a": "b"}}}).encode()
    digest = "sha256:" + hashlib.sha256(config).hexdigest()
    handler.blobs[digest] = config
    handler.manifests["1"] = (json.dumps({"config": {"digest": digest}}).encode(), digest)
    index = {
        "manifests": [
            {"digest": digest, "platform": {"os": "unknown"}},
            {"digest": "1", "platform": {"os": "linux"}},
        ]
    }
    handler.manifests["all"] = (json.dumps(index).encode(), digest)
    handler.manifests[digest] = handler.manifests["1"]
    index["manifests"][1]["digest"] = digest
    handler.manifests["all"] = (json.dumps(index).encode(), digest)
    for tag in ("1", "all"):
        found = client.config("shop/web", tag)
        assert found
        assert found["config"]["Labels"] == {"a": "b"}
    assert client.config("shop/web", "2") is None
    handler.blobs[digest] = b"{}"
    with pytest.raises(SwarmError, match="another digest"):
        client.config("shop/web", "1")


def test_images_for_several_platforms_become_one(
    registry: tuple[str, type[Registry]], certificate: Path
) -> None:
    name, handler = registry
    client = client_of(name, certificate)
    for tag in ("amd64", "arm64"):
        handler.manifests[tag] = (tag.encode(), f"sha256:{tag}")
    digest = client.put_index(
        "shop/web", {"linux/amd64": "amd64", "linux/arm64/v8": "arm64"}, ["1", "latest"]
    )
    assert handler.manifests["1"] == handler.manifests["latest"]
    index = json.loads(handler.manifests[digest][0])
    assert [entry["platform"] for entry in index["manifests"]] == [
        {"os": "linux", "architecture": "amd64"},
        {"os": "linux", "architecture": "arm64", "variant": "v8"},
    ]
    assert index["manifests"][0]["digest"] == "sha256:" + hashlib.sha256(b"amd64").hexdigest()
    with pytest.raises(SwarmError, match="it has no shop/web:riscv"):
        client.put_index("shop/web", {"linux/riscv64": "riscv"}, ["1"])


@pytest.mark.parametrize(
    ("mode", "code", "words"),
    [
        ("html", "registry_unreachable", "not answer as a registry"),
        ("broken", "registry_unreachable", r"503 \(diskfull\)"),
        ("huge", "registry_unreachable", "more than 8 MiB"),
        ("loop", "registry_unreachable", "redirects more than"),
        ("slow", "registry_unreachable", "within 0.5 s"),
        ("pages", "registry_refused", "pages of tags"),
        ("steal", "registry_refused", "no https address"),
    ],
)
def test_a_registry_that_misbehaves(
    registry: tuple[str, type[Registry]], certificate: Path, mode: str, code: str, words: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(api, "_PAGES", 3)
    name, handler = registry
    handler.mode = mode
    began = time.monotonic()
    with pytest.raises(SwarmError, match=words) as caught:
        client_of(name, certificate, 0.5 if mode == "slow" else 5, login=LOGIN).tags("shop/web")
    assert caught.value.code == code
    assert "pass:word" not in caught.value.message
    assert time.monotonic() - began < 3


def test_a_wrong_login_is_refused(registry: tuple[str, type[Registry]], certificate: Path) -> None:
    name, handler = registry
    for handler.mode in ("basic", "bearer"):
        for login in (None, ("builder", "wrong")):
            with pytest.raises(SwarmError, match="check the login") as caught:
                client_of(name, certificate, login=login).tags("shop/web")
            assert caught.value.code == "registry_refused"


def test_a_redirect_to_another_server_gets_no_login(
    registry: tuple[str, type[Registry]], certificate: Path
) -> None:
    name, handler = registry
    handler.mode = "basic"
    client = client_of(name, certificate, login=LOGIN)
    client.tags("shop/web")
    handler.mode = "away"
    with pytest.raises(SwarmError):
        client.tags("shop/web")
    assert next(given for _method, path, given in handler.seen if "/away" in path) == ""


def test_no_registry_and_an_unknown_authority(
    registry: tuple[str, type[Registry]], certificate: Path
) -> None:
    with pytest.raises(SwarmError, match="certificate is not trusted"):
        RegistryClient(registry[0]).tags("shop/web")
    with pytest.raises(SwarmError, match="Connection refused"):
        client_of("127.0.0.1:1", certificate).tags("shop/web")
    with pytest.raises(SwarmError, match="cannot be read"):
        RegistryClient("registry.lab", ca_file="/none")


def test_names_that_are_no_names() -> None:
    for name in ("", "-x", "a/b", "host:port", "a b", "x\r\ny"):
        with pytest.raises(SwarmError) as caught:
            RegistryClient(name)
        assert caught.value.code == "bad_option"
    client = RegistryClient("registry.lab")
    for repository, tag in (
        ("../x", "1"),
        ("x?y", "1"),
        ("shop", "a/b"),
        ("shop", "1\r\nX: y"),
        ("", "1"),
    ):
        with pytest.raises(SwarmError) as caught:
            client.digest(repository, tag)
        assert caught.value.code == "bad_option"
    with pytest.raises(SwarmError):
        client.delete("shop", "latest")


def test_logins_of_docker(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    assert login_of("registry.lab", str(path)) is None
    auth = base64.b64encode(b"a:b:c").decode()
    logins = {
        "registry.lab:5000": {"auth": auth},
        "https://index.docker.io/v1/": {"auth": auth},
        "x": {},
        "y": {"auth": "?"},
    }
    path.write_text(json.dumps({"auths": logins}))
    assert login_of("registry.lab:5000", str(path)) == ("a", "b:c")
    assert login_of("docker.io", str(path)) == ("a", "b:c")
    assert login_of("x", str(path)) is None
    for name, text in (("y", path.read_text()), ("z", "{"), ("z", "\udcff")):
        path.write_text(text, errors="surrogateescape")
        with pytest.raises(SwarmError) as caught:
            login_of(name, str(path))
        assert caught.value.code == "bad_login"
        assert "a:b:c" not in caught.value.message
    for text in ("[]", '{"auths": []}', '{"auths": {"z": 1}}'):
        path.write_text(text)
        assert login_of("z", str(path)) is None


def test_the_authority_that_the_engine_trusts(tmp_path: Path) -> None:
    assert ca_of("registry.lab:5000", str(tmp_path)) == ""
    (tmp_path / "registry.lab:5000").mkdir()
    (tmp_path / "registry.lab:5000" / "ca.crt").touch()
    assert ca_of("registry.lab:5000", str(tmp_path)).endswith("registry.lab:5000/ca.crt")
