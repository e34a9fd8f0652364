# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""The connection of every module that writes to the engine, through the Docker SDK for Python."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterator
from typing import Any

from .._common.errors import SwarmError
from .._model.documents import id_of
from .reader import EngineReader, as_query, document_of, elements, failed, message_of, unreachable


def local_client(docker_host: str, seconds: float) -> EngineClient:
    """A connection to the engine of this host, without the options of a user; it raises as EngineClient does."""
    return EngineClient(
        {
            "docker_host": docker_host,
            "api_version": "auto",
            "timeout": seconds,
            "tls": False,
            "validate_certs": False,
        }
    )


class EngineClient:
    """A connection to one engine; `params` are the options of docker_argument_spec.

    Documents are those of the API, unchanged: the SDK's own models insert defaults, and a spec that is sent back with them
    resets what nobody set (moby: daemon/cluster, specs are replaced whole). Every error is a SwarmError, with a code of
    `code_of`, engine_unreachable, or no_answer; the constructor also raises no_sdk and bad_option.
    """

    def __init__(self, params: dict[str, Any]) -> None:
        # Not at the top of the file, because most modules that read import this file and do not need the SDK.
        try:
            import docker
            import requests.exceptions
        except ImportError as error:
            raise SwarmError(
                "no_sdk",
                f"Could not talk to the engine: {sys.executable} of this host lacks the Docker SDK for Python. Run the role"
                " flotilla.swarm.docker_engine there with docker_engine_sdk set to package or venv, or install the package"
                " python3-docker.",
            ) from error
        self._no_answer = (docker.errors.DockerException, requests.exceptions.RequestException)
        self.where = params["docker_host"]
        self._pinned = params["api_version"] != "auto"
        try:
            tls = self._tls(docker, params)
        except docker.errors.TLSParameterError as error:
            raise SwarmError(
                "bad_option",
                f"Could not talk to the engine at {self.where}: client_cert, client_key and ca_path must be files on this host,"
                " and the first two must be set together.",
            ) from error
        try:
            self._api = docker.APIClient(
                base_url=self.where,
                version=params["api_version"],
                timeout=params["timeout"],
                tls=tls,
            )
        except (*self._no_answer, ValueError) as error:
            raise unreachable("talk to the engine", self.where, error) from error

    @staticmethod
    def _tls(docker: Any, params: dict[str, Any]) -> Any:
        if not (params["tls"] or params["validate_certs"]):
            return False
        cert = (params["client_cert"], params["client_key"]) if params["client_cert"] else None
        options: dict[str, Any] = dict(
            client_cert=cert, ca_cert=params["ca_path"], verify=params["validate_certs"]
        )
        if params["tls_hostname"]:
            options["assert_hostname"] = params["tls_hostname"]
        return docker.tls.TLSConfig(**options)

    def call(
        self,
        method: str,
        path: str,
        attempt: str,
        body: Any | None = None,
        query: dict[str, Any] | None = None,
        version: str | None = None,
        headers: dict[str, str] | None = None,
    ) -> Any:
        """Send one request and return its answer, None if that is empty; `attempt` completes 'Could not ...' if it fails.

        `version` is that of the API, the negotiated one if left out.
        """
        url = self._url(path, version)
        try:
            answer = self._api.request(
                method, url, json=body, params=query, timeout=self._api.timeout, headers=headers
            )
        except self._no_answer as error:
            raise unreachable(attempt, self.where, error) from error
        if answer.status_code >= 400:
            raise failed(attempt, message_of(answer.text), answer.status_code)
        return document_of(attempt, answer.text) if answer.text.strip() else None

    def get(self, path: str, attempt: str, **query: Any) -> Any:
        """The document at a path."""
        return self.call(
            "GET", path, attempt, query={key: as_query(value) for key, value in query.items()}
        )

    def each(self, path: str, attempt: str, **query: Any) -> Iterator[Any]:
        """The documents of a list, one by one: 20,000 tasks have 50 MB as text, and several times that as objects."""
        params = {key: as_query(value) for key, value in query.items()}
        try:
            with self._api.request(
                "GET", self._url(path), params=params, timeout=self._api.timeout, stream=True
            ) as answer:
                if answer.status_code >= 400:
                    raise failed(attempt, message_of(answer.text), answer.status_code)
                yield from elements(answer.iter_content(65536))
        except self._no_answer as error:
            raise unreachable(attempt, self.where, error) from error
        except ValueError as error:
            raise failed(attempt, f"{error}") from error

    def service_log(self, service_id: str, seconds: float, most: int = 64 << 20) -> bytes:
        """The log of all tasks of a service, raw, as far as it arrives in this time: a node may not answer."""
        found = bytearray()
        deadline = time.monotonic() + seconds
        query = {"stdout": "1", "stderr": "1"}
        with (
            contextlib.suppress(*self._no_answer, OSError),
            self._api.request(
                "GET",
                self._url(f"/services/{service_id}/logs"),
                params=query,
                timeout=seconds,
                stream=True,
            ) as answer,
        ):
            for piece in answer.iter_content(65536) if answer.status_code == 200 else ():
                found += piece
                if len(found) >= most or time.monotonic() > deadline:
                    break
        return bytes(found)

    def _url(self, path: str, version: str | None = None) -> str:
        return f"{self._api.base_url}/v{version or self._api.api_version}{path}"

    # The swarm

    def info(self) -> dict[str, Any]:
        """What the engine reports about itself."""
        return self.get("/info", "read the state of the engine")

    def swarm(self) -> dict[str, Any]:
        """The swarm, with its spec, its version and its join tokens."""
        return self.get("/swarm", "read the swarm's settings")

    def init(self, body: dict[str, Any]) -> None:
        """Initialise a swarm on this host."""
        self.call("POST", "/swarm/init", "initialise a swarm", body)

    def join(self, body: dict[str, Any]) -> None:
        """Join this host to a swarm; after 20 s the engine reports a failure and continues (moby: daemon/cluster/cluster.go)."""
        self.call("POST", "/swarm/join", "join the swarm", body)

    def leave(self, force: bool) -> None:
        """Take this host out of its swarm; a manager leaves only with `force`."""
        self.call("POST", "/swarm/leave", "leave the swarm", query={"force": as_query(force)})

    def unlock(self, key: str) -> None:
        """Unlock this manager."""
        self.call("POST", "/swarm/unlock", "unlock the swarm", {"UnlockKey": key})

    def update_swarm(self, version: int, spec: dict[str, Any], **rotate: bool) -> None:
        """Write the whole spec of the swarm, given the version that was read. `rotate` has what else the engine rotates, by the
        names of its API."""
        query = {"version": version, **{name: as_query(value) for name, value in rotate.items()}}
        self.call("POST", "/swarm/update", "change the swarm's settings", spec, query)

    # Nodes, services and what they use, tasks

    def nodes(self) -> list[dict[str, Any]]:
        """All nodes."""
        return self.get("/nodes", "list the nodes")

    def node(self, node_id: str) -> dict[str, Any]:
        """One node; raises not_found."""
        return self.get(f"/nodes/{node_id}", f"read node {node_id}")

    def update_node(self, node_id: str, version: int, spec: dict[str, Any]) -> None:
        """Write the whole spec of a node, given the version that was read."""
        query = {"version": version}
        self.call("POST", f"/nodes/{node_id}/update", f"change node {node_id}", spec, query)

    def remove_node(self, node_id: str) -> None:
        """Remove a node, ready or not: one whose host has left is reported as ready for some more heartbeats."""
        self.call("DELETE", f"/nodes/{node_id}", f"remove node {node_id}", query={"force": "true"})

    def services(self, **filters: Any) -> list[dict[str, Any]]:
        """The services that match all filters; a filter has one value or a list."""
        if filters:
            return self.get("/services", "list the services", filters=filters)
        return self.get("/services", "list the services")

    def update_service(
        self, service_id: str, version: int, spec: dict[str, Any], rollback: bool = False
    ) -> None:
        """Write the whole spec of a service, given the version that was read; with `rollback` the engine takes its own
        previous spec instead."""
        # The spec that is read has no registry credentials; this keeps those of the service.
        query: dict[str, Any] = {"version": version, "registryAuthFrom": "spec"}
        if rollback:
            query["rollback"] = "previous"
        attempt = f"change service {spec.get('Name') or service_id}"
        # Under an older API version the engine returns a whole spec, but accepts it without what that version did not have,
        # such as sysctls (moby: api/server/router/swarm, adjustForAPIVersion).
        newest = self._api.api_version
        if self._pinned:
            newest = self.get("/version", "read the version of the engine")["ApiVersion"]
        self.call("POST", f"/services/{service_id}/update", attempt, spec, query, newest)

    def create(self, kind: str, spec: dict[str, Any], registry_auth: str = "") -> str:
        """Create a service, secret, config or network, and return its ID; raises conflict if its name is taken.

        With `registry_auth`, nodes pull the image of the service.
        """
        attempt = f"create {kind} {spec.get('Name')}"
        headers = {"X-Registry-Auth": registry_auth} if registry_auth else None
        return id_of(self.call("POST", f"/{kind}s/create", attempt, spec, headers=headers))

    def relabel(self, kind: str, document: dict[str, Any], labels: dict[str, str]) -> None:
        """Change the labels of a secret or config, the only part of it that can change (swarmkit: manager/controlapi)."""
        spec, query = document["Spec"], {"version": document["Version"]["Index"]}
        attempt = f"change the labels of {kind} {spec['Name']}"
        path = f"/{kind}s/{document['ID']}/update"
        self.call("POST", path, attempt, {**spec, "Labels": labels}, query)

    def remove(self, kind: str, object_id: str, name: str) -> None:
        """Remove a service, secret, config or network; raises not_found."""
        self.call("DELETE", f"/{kind}s/{object_id}", f"remove {kind} {name}")

    def networks(self) -> list[dict[str, Any]]:
        """All networks, those of this host too."""
        return self.get("/networks", "list the networks")

    def tasks(self, **filters: Any) -> list[dict[str, Any]]:
        """The tasks that match all filters; a filter has one value or a list."""
        if filters:
            return self.get("/tasks", "list the tasks", filters=filters)
        return self.get("/tasks", "list the tasks")


def client_for_reading(params: dict[str, Any]) -> EngineClient | EngineReader:
    """A connection to read with, without the SDK if possible: importing it takes longer than reading everything."""
    if params["docker_host"].startswith("unix://") and params["api_version"] == "auto":
        return EngineReader(params["docker_host"], params["timeout"])
    return EngineClient(params)
