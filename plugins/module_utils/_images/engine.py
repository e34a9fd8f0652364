# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""The images of an engine, with the standard library: which layers it has, and streams of images from it and into it."""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import socket
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import quote, urlencode

from .._api.reader import EngineReader, failed, message_of, unreachable
from .._api.unix import UnixConnection
from .._common.errors import SwarmError
from .archive import Image

# Seconds: a short answer, and a silence while an engine reads or writes layers.
_SHORT, _SILENCE = 60.0, 600.0
# Images of an engine whose layers are looked at. More only means that more is sent.
_MOST = 2000


class ImageStore:
    """The images of one engine. All methods raise the failures of the engine."""

    def __init__(self, docker_host: str) -> None:
        self._reader = EngineReader(docker_host, _SHORT)
        self._path = docker_host[len("unix://") :]

    def check(self) -> None:
        """Raise unless the engine answers."""
        self._reader.ping(_SHORT)

    def reads_partial_archives(self) -> bool:
        """Whether `load` takes an archive that lacks what the engine has. The image store of containerd does not."""
        status = self._reader.info().get("DriverStatus") or []
        return not any("io.containerd.snapshotter" in str(entry) for entry in status)

    def find(self, name: str) -> dict[str, Any] | None:
        """The document of an image by name or ID; None if there is none."""
        try:
            return dict(self._reader.get(f"/images/{quote(name, safe='')}/json", "read an image"))
        except SwarmError as error:
            if error.code == "not_found":
                return None
            raise

    def chains(self) -> set[tuple[str, ...]]:
        """The layers of all images, as the beginnings of their lists of diff IDs."""
        found: set[tuple[str, ...]] = set()
        listed = self._reader.get("/images/json", "list the images", all=True)
        for each in listed[:_MOST]:
            image = self.find(str(each.get("Id"))) or {}
            layers = tuple((image.get("RootFS") or {}).get("Layers") or ())
            found |= {layers[:end] for end in range(1, len(layers) + 1)}
        return found

    def has(self, image: Image) -> bool:
        """Whether it has the image, with all its names."""
        wanted = [layer.diff_id for layer in image.layers]
        for name in image.names or (image.id,):
            found = self.find(name) or {}
            same = (found.get("RootFS") or {}).get("Layers") == wanted
            # The image store of containerd has other IDs.
            if found.get("Id") != image.id and (not same or self.reads_partial_archives()):
                return False
        return True

    @contextlib.contextmanager
    def save(self, names: Sequence[str]) -> Iterator[http.client.HTTPResponse]:
        """The archive of these images, as a stream."""
        query = urlencode([("names", name) for name in names])
        with self._asked("GET", f"/images/get?{query}", "save the images") as answer:
            yield answer

    def load(self, archive: Iterable[bytes]) -> None:
        """Load an archive; raises load_failed in the words of the engine."""
        headers = {"Content-Type": "application/x-tar", "Transfer-Encoding": "chunked"}
        with self._asked("POST", "/images/load?quiet=1", "load the images", archive, headers) as a:
            problem = _problem(a)
        if problem:
            raise SwarmError(
                "load_failed",
                f"Could not load the images: the engine says: {problem}. If images were removed meanwhile, run again.",
            )

    def pull(self, name: str, digest: str, login: Mapping[str, str] | None) -> None:
        """Pull an image by its digest; raises pull_failed in the words of the engine."""
        query = urlencode({"fromImage": name, "tag": digest})
        with self._asked(
            "POST", f"/images/create?{query}", f"pull {name}", b"", auth_header(login)
        ) as answer:
            problem = _problem(answer)
        if problem:
            raise SwarmError(
                "pull_failed", f"Could not pull {name}@{digest}: the engine says: {problem}."
            )

    def tag(self, reference: str, repository: str, tag: str) -> None:
        """Give an image a name."""
        query = urlencode({"repo": repository, "tag": tag})
        path = f"/images/{quote(reference, safe='')}/tag?{query}"
        with self._asked("POST", path, f"tag {repository}:{tag}", b""):
            pass

    def make(self, repository: str, tag: str, archive: bytes, change: str) -> None:
        """Make an image of the archive of a file system, for the platform of this engine; `change` is a line of a Dockerfile."""
        query = urlencode({"fromSrc": "-", "repo": repository, "tag": tag, "changes": change})
        attempt = f"make the image {repository}:{tag}"
        headers = {"Content-Type": "application/x-tar"}
        with self._asked("POST", f"/images/create?{query}", attempt, archive, headers) as answer:
            problem = _problem(answer)
        if problem:
            raise SwarmError(
                "load_failed", f"Could not {attempt}: the engine says: {problem}. Run again."
            )

    def remove(self, name: str) -> None:
        """Remove an image by its name; raises conflict while a container uses it, and not_found."""
        path = f"/images/{quote(name, safe='')}?force=false&noprune=false"
        with self._asked("DELETE", path, f"remove the image {name}") as answer:
            answer.read()

    def containers(self, label: str) -> list[str]:
        """The IDs of the containers with a label, also of those that have ended."""
        filters = {"label": [label]}
        listed = self._reader.get(
            "/containers/json", "list the containers", all=True, filters=filters
        )
        return [str(each.get("Id")) for each in listed or []]

    def remote(self, name: str, login: Mapping[str, str] | None) -> dict[str, Any]:
        """What the registry of an image says of it: its digest and platforms."""
        path = f"/distribution/{quote(name, safe='/:@')}/json"
        with self._asked(
            "GET", path, f"find {name} in its registry", None, auth_header(login)
        ) as a:
            return dict(json.loads(a.read()))

    @contextlib.contextmanager
    def _asked(
        self,
        method: str,
        path: str,
        attempt: str,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
    ) -> Iterator[http.client.HTTPResponse]:
        where = self._reader.where
        connection = UnixConnection(self._path, _SILENCE)
        try:
            chunked = "Transfer-Encoding" in (headers or {})
            with contextlib.suppress(BrokenPipeError):
                # An engine that refuses an archive answers before it has read all of it.
                connection.request(method, path, body, dict(headers or {}), encode_chunked=chunked)
            answer = connection.getresponse()
            if answer.status >= 400:
                text = message_of(answer.read(65536).decode(errors="replace"))
                raise failed(attempt, text, answer.status)
            yield answer
        except (socket.timeout, http.client.HTTPException, ValueError) as error:
            raise SwarmError(
                "no_answer",
                f"Could not {attempt}: the engine at {where} stopped in the middle of its answer ({error}). Check it, and run again.",
            ) from error
        except (ConnectionError, FileNotFoundError, PermissionError) as error:
            raise unreachable(attempt, where, error) from error
        finally:
            connection.close()


def auth_header(login: Mapping[str, str] | None) -> dict[str, str]:
    """A login as the engine takes it with a request."""
    if not login:
        return {}
    text = json.dumps(
        {
            "username": login["username"],
            "password": login["password"],
            "serveraddress": login["registry"],
        }
    )
    return {"X-Registry-Auth": base64.urlsafe_b64encode(text.encode()).decode()}


def _problem(answer: http.client.HTTPResponse) -> str:
    """The error in a stream of messages; empty if there is none."""
    problem = ""
    for line in answer:
        with contextlib.suppress(ValueError):
            message = json.loads(line)
            problem = str(message.get("error") or problem) if isinstance(message, dict) else problem
    return problem.strip().rstrip(".")
