# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""A registry over its HTTP API, with the standard library: tags, digests, the configuration of images, and small records.

Each request has a limit of time and of size. A login goes to the registry, and to the server of tokens that it names, over TLS only.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import hashlib
import http.client
import json
import os
import re
import socket
import ssl
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode, urljoin, urlsplit

from .._common.errors import SwarmError, shown
from .._host.files import CERTS_DIR
from .reference import HUB, RECORD_PREFIX, is_digest, is_registry, is_repository, is_tag

DOCKER_LOGINS = "/root/.docker/config.json"

# Where the engine finds what images call docker.io, and how it names the login for it.
_HUB_HOST, _HUB_LOGIN = "registry-1.docker.io", "https://index.docker.io/v1/"
_DOCKER, _OCI = "application/vnd.docker.distribution.manifest", "application/vnd.oci.image"
_INDEXES = (f"{_DOCKER}.list.v2+json", f"{_OCI}.index.v1+json")
_MANIFEST = f"{_OCI}.manifest.v1+json"
_ACCEPT = ", ".join((*_INDEXES, f"{_DOCKER}.v2+json", _MANIFEST))
# A record is an annotation of a manifest that has nothing else.
_RECORD, _EMPTY, _EMPTY_TYPE = "flotilla.swarm.record", b"{}", "application/vnd.oci.empty.v1+json"
# Bytes of an answer, and of a record; pages of tags, and tags on each; redirects of a request.
_LARGEST, _LARGEST_RECORD = 8 << 20, 1 << 20
_PAGES, _PAGE, _REDIRECTS = 100, 1000, 4
_PIECE = 1 << 16


@dataclass(frozen=True)
class _Answer:
    status: int
    headers: Mapping[str, str]  # names in lower case
    body: bytes
    url: str


class RegistryClient:
    """One registry. All methods raise registry_unreachable if it does not answer as a registry does, or registry_refused."""

    def __init__(
        self,
        registry: str,
        login: tuple[str, str] | None = None,
        ca_file: str = "",
        timeout: float = 30,
    ) -> None:
        """`registry` is a host with or without a port, and `login` a name and a password."""
        if not is_registry(registry):
            raise _bad(
                registry, "it must be a host, or a host and a port, such as registry.lab:5000"
            )
        self._registry = registry
        self._base = f"https://{_HUB_HOST if registry == HUB else registry}"
        self._login = login
        self._timeout = timeout
        self._tokens: dict[str, str] = {}  # the header Authorization for each repository
        try:
            self._context = ssl.create_default_context()
            # As the engine, which accepts authorities that Python 3.13 does not accept unless told so.
            self._context.verify_flags &= ~getattr(ssl, "VERIFY_X509_STRICT", 0)
            if ca_file:
                self._context.load_verify_locations(ca_file)
        except OSError as error:
            raise self._unreachable(f"the certificate {ca_file} cannot be read: {error}") from error

    def tags(self, repository: str) -> list[str]:
        """The tags of images, sorted; none if there is no such repository."""
        found: set[str] = set()
        url = self._url(repository, f"tags/list?n={_PAGE}")
        for _page in range(_PAGES):
            answer = self._ask("GET", url, repository, missing=True)
            if answer.status == 404:
                break
            listed = self._json(answer).get("tags")
            found |= {tag for tag in listed or [] if isinstance(tag, str)}
            following = re.match(r'<([^>]+)>\s*;\s*rel="?next"?', answer.headers.get("link", ""))
            if not following:
                break
            url = urljoin(answer.url, following.group(1))
        else:
            raise self._refused(
                f"{repository} has more than {_PAGES} pages of tags; remove old tags"
            )
        return sorted(tag for tag in found if not tag.startswith(RECORD_PREFIX))

    def digest(self, repository: str, reference: str) -> str | None:
        """The digest of a tag, or of a digest; None if it does not exist."""
        answer = self._manifest("HEAD", repository, reference)
        if answer.status == 404:
            return None
        digest = answer.headers.get("docker-content-digest", "")
        if not digest:
            answer = self._manifest("GET", repository, reference)
            digest = _digest(answer.body)
        if not is_digest(digest):
            raise self._unreachable(
                f"it gives {shown(digest)} as the digest of {repository}:{reference}"
            )
        return digest

    def config(self, repository: str, reference: str) -> dict[str, Any] | None:
        """The configuration of an image, with its labels and architecture; None if it does not exist.

        Of an image for several platforms, that of the first one.
        """
        manifest = self._document(repository, reference)
        if manifest is None or "config" in manifest:
            return self._blob(repository, manifest["config"]) if manifest else None
        # Attestations of buildx are for no platform.
        platforms = [
            entry
            for entry in manifest.get("manifests") or []
            if (entry.get("platform") or {}).get("os") not in (None, "unknown")
        ]
        if not platforms:
            return None
        chosen = self._document(repository, str(platforms[0].get("digest")))
        return self._blob(repository, chosen["config"]) if chosen and "config" in chosen else None

    def record(self, repository: str, tag: str) -> dict[str, Any] | None:
        """The record under a tag; None if there is none."""
        manifest = self._document(repository, tag)
        text = (manifest or {}).get("annotations", {}).get(_RECORD)
        if text is None:
            return None
        try:
            record = json.loads(text)
        except (TypeError, ValueError):
            record = None
        if not isinstance(record, dict):
            raise self._unreachable(
                f"the record {repository}:{tag} cannot be read; remove this tag"
            )
        return record

    def put_record(self, repository: str, tag: str, record: Mapping[str, Any]) -> None:
        """Write a record under a tag, in place of an earlier one."""
        text = json.dumps(dict(record), sort_keys=True)
        if len(text) > _LARGEST_RECORD:
            raise _bad(f"{repository}:{tag}", f"its record has more than {_LARGEST_RECORD} bytes")
        empty = {"mediaType": _EMPTY_TYPE, "size": len(_EMPTY), "digest": _digest(_EMPTY)}
        manifest = {
            "schemaVersion": 2,
            "mediaType": _MANIFEST,
            "config": empty,
            "layers": [empty],
            "annotations": {_RECORD: text},
        }
        self._push(repository, _EMPTY)
        self._ask(
            "PUT",
            self._url(repository, f"manifests/{self._reference(tag)}"),
            repository,
            json.dumps(manifest, sort_keys=True).encode(),
            {"Content-Type": _MANIFEST},
        )

    def put_index(self, repository: str, parts: Mapping[str, str], tags: Sequence[str]) -> str:
        """Make one image of the images for several platforms, under these tags; its digest.

        `parts` has the tag of each image by its platform, such as linux/arm64.
        """
        entries = []
        for platform, tag in parts.items():
            answer = self._manifest("GET", repository, tag)
            if answer.status == 404:
                raise self._refused(f"it has no {repository}:{tag}")
            kind = answer.headers.get("content-type", "").partition(";")[0]
            if kind in _INDEXES:
                raise self._refused(f"{repository}:{tag} is an image for several platforms already")
            system, architecture, *variant = platform.split("/")
            about = {"os": system, "architecture": architecture}
            about.update({"variant": variant[0]} if variant else {})
            entries.append(
                {
                    "mediaType": kind,
                    "size": len(answer.body),
                    "digest": _digest(answer.body),
                    "platform": about,
                }
            )
        docker = all(str(entry["mediaType"]).startswith(_DOCKER) for entry in entries)
        kind = _INDEXES[0] if docker else _INDEXES[1]
        index = {"schemaVersion": 2, "mediaType": kind, "manifests": entries}
        body = json.dumps(index, sort_keys=True).encode()
        for tag in tags:
            url = self._url(repository, f"manifests/{self._reference(tag)}")
            self._ask("PUT", url, repository, body, {"Content-Type": kind})
        return _digest(body)

    def delete(self, repository: str, digest: str) -> bool:
        """Delete a manifest with all its tags; returns whether there was one."""
        if not is_digest(digest):
            raise _bad(f"{repository}@{digest}", "it must be a digest")
        url = self._url(repository, f"manifests/{digest}")
        return self._ask("DELETE", url, repository, missing=True).status != 404

    # Parts of the API

    def _manifest(self, method: str, repository: str, reference: str) -> _Answer:
        url = self._url(repository, f"manifests/{self._reference(reference)}")
        return self._ask(method, url, repository, headers={"Accept": _ACCEPT}, missing=True)

    def _document(self, repository: str, reference: str) -> dict[str, Any] | None:
        answer = self._manifest("GET", repository, reference)
        return None if answer.status == 404 else self._json(answer)

    def _blob(self, repository: str, descriptor: Any) -> dict[str, Any]:
        digest = str(descriptor.get("digest") if isinstance(descriptor, dict) else "")
        if not is_digest(digest):
            raise self._unreachable(f"an image of {repository} names no valid configuration")
        answer = self._ask("GET", self._url(repository, f"blobs/{digest}"), repository)
        if digest.startswith("sha256:") and _digest(answer.body) != digest:
            raise self._unreachable(f"the data of {repository}@{digest} has another digest")
        return self._json(answer)

    def _push(self, repository: str, blob: bytes) -> None:
        where = self._url(repository, f"blobs/{_digest(blob)}")
        if self._ask("HEAD", where, repository, missing=True).status != 404:
            return
        begun = self._ask("POST", self._url(repository, "blobs/uploads/"), repository, b"")
        place = urljoin(begun.url, begun.headers.get("location", ""))
        place += ("&" if "?" in place else "?") + urlencode({"digest": _digest(blob)})
        self._ask("PUT", place, repository, blob, {"Content-Type": "application/octet-stream"})

    def _url(self, repository: str, path: str) -> str:
        if not is_repository(repository):
            raise _bad(repository, "it must be a repository without its registry, such as shop/web")
        return f"{self._base}/v2/{repository}/{path}"

    def _reference(self, text: str) -> str:
        if not (is_tag(text) or is_digest(text)):
            raise _bad(text, "it must be a tag or a digest")
        return text

    def _json(self, answer: _Answer) -> dict[str, Any]:
        try:
            found = json.loads(answer.body)
        except (ValueError, RecursionError):
            found = None
        if not isinstance(found, dict):
            raise self._unreachable(
                "it does not answer as a registry does; check its name and port"
            )
        return found

    # Requests

    def _ask(
        self,
        method: str,
        url: str,
        repository: str,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        missing: bool = False,
    ) -> _Answer:
        """The answer, 2xx, or 404 where something may be missing."""
        answer = self._send(method, url, body, headers, self._tokens.get(repository))
        if answer.status == 401:
            self._tokens[repository] = self._authorization(answer, repository, method)
            answer = self._send(method, url, body, headers, self._tokens[repository])
        if 200 <= answer.status < 300 or (missing and answer.status == 404):
            return answer
        why = _words(answer)
        if answer.status == 429 or answer.status >= 500:
            raise self._unreachable(f"it answers {answer.status}{why}")
        if answer.status in (401, 403):
            who = "its login" if self._login else "a request without a login"
            raise self._refused(f"it denies {who} access to {repository}{why}; check the login")
        raise self._refused(f"it answers {answer.status} to {method} {urlsplit(url).path}{why}")

    def _authorization(self, denied: _Answer, repository: str, method: str) -> str:
        """What the registry asks for: the login, or a token that another server gives for the login."""
        scheme, _space, rest = denied.headers.get("www-authenticate", "").partition(" ")
        basic = ""
        if self._login:
            basic = "Basic " + base64.b64encode(":".join(self._login).encode()).decode()
        if scheme.lower() != "bearer":
            return basic
        asked = {key.lower(): value for key, value in re.findall(r'(\w+)="([^"]*)"', rest)}
        realm = asked.get("realm", "")
        if urlsplit(realm).scheme != "https":
            raise self._refused(f"its tokens come from {shown(realm)}, which is no https address")
        actions = "pull" if method in ("GET", "HEAD") else "pull,push,delete"
        query = {
            "service": asked.get("service", ""),
            "scope": f"repository:{repository}:{actions}",
        }
        url = realm + ("&" if "?" in realm else "?") + urlencode(query)
        answer = self._send("GET", url, None, None, basic or None)
        if answer.status in (401, 403):
            raise self._refused(f"it denies a token for {repository}; check the login")
        if answer.status != 200:
            raise self._unreachable(f"its server of tokens answers {answer.status}")
        found = self._json(answer)
        token = found.get("token") or found.get("access_token")
        if not isinstance(token, str) or not token.isprintable():
            raise self._unreachable("its server of tokens gives no token")
        return f"Bearer {token}"

    def _send(
        self,
        method: str,
        url: str,
        body: bytes | None,
        headers: Mapping[str, str] | None,
        authorization: str | None,
    ) -> _Answer:
        """One request, and the redirects that follow it. Only the first server gets the login."""
        first = urlsplit(url).netloc
        for _redirect in range(_REDIRECTS):
            parts = urlsplit(url)
            if parts.scheme != "https":
                raise self._refused(f"it redirects to {shown(parts.scheme)}, and not to https")
            sent = dict(headers or {})
            if authorization and parts.netloc == first:
                sent["Authorization"] = authorization
            try:
                answer = self._once(method, url, body, sent)
            except (OSError, http.client.HTTPException, ValueError) as error:
                raise self._unreachable(_reason(error, self._timeout)) from error
            if answer.status not in (301, 302, 303, 307, 308) or method not in ("GET", "HEAD"):
                return answer
            url = urljoin(url, answer.headers.get("location", ""))
        raise self._unreachable(f"it redirects more than {_REDIRECTS} times")

    def _once(
        self, method: str, url: str, body: bytes | None, headers: Mapping[str, str]
    ) -> _Answer:
        parts = urlsplit(url)
        connection = http.client.HTTPSConnection(
            parts.netloc.rpartition("@")[2], timeout=self._timeout, context=self._context
        )
        with contextlib.closing(connection), _deadline(connection, self._timeout):
            target = parts.path + (f"?{parts.query}" if parts.query else "")
            connection.request(method, target, body=body, headers=dict(headers))
            answer = connection.getresponse()
            content = b"".join(_pieces(answer))
            found = {name.lower(): value for name, value in answer.getheaders()}
            return _Answer(answer.status, found, content, url)

    # Failures

    def _unreachable(self, why: str) -> SwarmError:
        return SwarmError(
            "registry_unreachable",
            f"Could not use the registry {self._registry}: {why}.",
            registry=self._registry,
        )

    def _refused(self, why: str) -> SwarmError:
        return SwarmError(
            "registry_refused",
            f"Could not use the registry {self._registry}: {why}.",
            registry=self._registry,
        )


@contextlib.contextmanager
def _deadline(connection: http.client.HTTPSConnection, seconds: float) -> Iterator[None]:
    """End a request after this time, also if the server sends a byte now and then."""
    expired = threading.Event()

    def end() -> None:
        expired.set()
        with contextlib.suppress(OSError, AttributeError):
            connection.sock.shutdown(socket.SHUT_RDWR)

    timer = threading.Timer(seconds, end)
    timer.daemon = True
    timer.start()
    try:
        yield
    except (OSError, http.client.HTTPException, ValueError):
        if expired.is_set():
            raise socket.timeout from None
        raise
    finally:
        timer.cancel()
    if expired.is_set():
        raise socket.timeout


def _pieces(answer: http.client.HTTPResponse) -> Iterator[bytes]:
    size = 0
    while piece := answer.read(_PIECE):
        size += len(piece)
        if size > _LARGEST:
            raise ValueError(f"an answer has more than {_LARGEST >> 20} MiB")
        yield piece


def _digest(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def _words(answer: _Answer) -> str:
    """What the registry says about an error, in its own short words."""
    try:
        said = json.loads(answer.body)["errors"][0]["message"]
    except (ValueError, LookupError, TypeError, RecursionError):
        return ""
    words = "".join(each for each in str(said)[:200] if each.isprintable())
    return f" ({words})" if words else ""


def _reason(error: Exception, timeout: float) -> str:
    if isinstance(error, socket.timeout):
        return f"it does not answer within {timeout:g} s"
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted: {error.verify_message}; give its authority"
    if isinstance(error, ssl.SSLError):
        return "it does not speak TLS, or not as this host does"
    if isinstance(error, OSError):
        return error.strerror or "the connection failed"
    return str(error) or "the connection broke"


def _bad(what: str, why: str) -> SwarmError:
    return SwarmError("bad_option", f"Could not use {shown(what)}: {why}.")


# What a host has for its engine


def login_of(registry: str, path: str = DOCKER_LOGINS) -> tuple[str, str] | None:
    """The login of a registry in Docker's own configuration file; None if it has none. Raises bad_login."""
    try:
        with open(path, encoding="utf-8") as file:
            found = json.load(file)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, RecursionError):
        raise _bad_login(path, "it cannot be read as JSON") from None
    logins = found.get("auths") if isinstance(found, dict) else None
    names = (_HUB_LOGIN, "docker.io", "index.docker.io") if registry == HUB else (registry,)
    for name in (*names, *(f"https://{name}" for name in names)):
        entry = logins.get(name) if isinstance(logins, dict) else None
        if isinstance(entry, dict) and entry.get("auth"):
            try:
                user, colon, password = base64.b64decode(entry["auth"]).decode().partition(":")
            except (binascii.Error, TypeError, ValueError):
                colon = ""
            if not colon:
                raise _bad_login(path, f"the login of {name} is not a name and a password")
            return user, password
    return None


def _bad_login(path: str, why: str) -> SwarmError:
    return SwarmError(
        "bad_login",
        f"Could not read the logins of registries in {path}: {why}. Log in again with docker login, or remove the file.",
    )


def ca_of(registry: str, folder: str = CERTS_DIR) -> str:
    """The file with the authority that the engine of this host trusts for a registry; empty if there is none."""
    path = os.path.join(folder, registry, "ca.crt")
    return path if os.path.isfile(path) else ""
