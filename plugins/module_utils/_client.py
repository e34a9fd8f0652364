# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""A conversation with the engine, through the Docker SDK for Python: what every module that writes has."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

from ansible_collections.flotilla.swarm.plugins.module_utils._errors import SwarmError
from ansible_collections.flotilla.swarm.plugins.module_utils._reader import (
    EngineReader,
    as_query,
    document_of,
    elements,
    failed,
    message_of,
    unreachable,
)


class EngineClient:
    """A conversation with one engine: raw API documents in and out, every error a SwarmError.

    Documents go through as they are. The SDK's own models fill in defaults, and a spec that is sent
    back with them resets what was never asked for (moby: daemon/cluster, specs are replaced whole).
    """

    def __init__(self, params: dict[str, Any]) -> None:
        # Not at the top of the file: every host is observed through it, mostly without needing the SDK.
        try:
            import docker
            import requests.exceptions
        except ImportError as error:
            raise SwarmError(
                "no_sdk",
                f"Could not talk to the engine: {sys.executable} of this host lacks the Docker SDK for Python. Run the role"
                " flotilla.swarm.docker_engine there with docker_engine_sdk set to package or venv, or install docker with"
                " the package manager or pip.",
            ) from error
        self._no_answer = (docker.errors.DockerException, requests.exceptions.RequestException)
        self.where = params["docker_host"]
        self._pinned = params["api_version"] != "auto"
        try:
            tls = self._tls(docker, params)
        except docker.errors.TLSParameterError as error:
            raise SwarmError(
                "bad_option",
                f"Could not talk to the engine at {self.where}: client_cert, client_key and ca_path must name files on this"
                " host, and the first two belong together.",
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
    ) -> Any:
        """One request; `attempt` completes the sentence 'Could not ...' if it fails."""
        url = self._url(path, version)
        try:
            answer = self._api.request(
                method, url, json=body, params=query, timeout=self._api.timeout
            )
        except self._no_answer as error:
            raise unreachable(attempt, self.where, error) from error
        if answer.status_code >= 400:
            raise failed(attempt, message_of(answer.text), answer.status_code)
        return document_of(attempt, answer.text) if answer.text.strip() else None

    def get(self, path: str, attempt: str, **query: Any) -> Any:
        return self.call(
            "GET", path, attempt, query={key: as_query(value) for key, value in query.items()}
        )

    def each(self, path: str, attempt: str, **query: Any) -> Iterator[Any]:
        """The documents of a list, one by one: 20,000 tasks are 50 MB as text, and several times that as objects."""
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

    def _url(self, path: str, version: str | None = None) -> str:
        return f"{self._api.base_url}/v{version or self._api.api_version}{path}"

    # The swarm

    def info(self) -> dict[str, Any]:
        return self.get("/info", "read the state of the engine")

    def swarm(self) -> dict[str, Any]:
        return self.get("/swarm", "read the swarm's settings")

    def init(self, body: dict[str, Any]) -> None:
        self.call("POST", "/swarm/init", "initialise a swarm", body)

    def join(self, body: dict[str, Any]) -> None:
        self.call("POST", "/swarm/join", "join the swarm", body)

    def leave(self, force: bool) -> None:
        self.call("POST", "/swarm/leave", "leave the swarm", query={"force": as_query(force)})

    def unlock(self, key: str) -> None:
        self.call("POST", "/swarm/unlock", "unlock the swarm", {"UnlockKey": key})

    def update_swarm(self, version: int, spec: dict[str, Any]) -> None:
        query = {"version": version}
        self.call("POST", "/swarm/update", "change the swarm's settings", spec, query)

    # Nodes, services and what they use, tasks

    def nodes(self) -> list[dict[str, Any]]:
        return self.get("/nodes", "list the nodes")

    def node(self, node_id: str) -> dict[str, Any]:
        return self.get(f"/nodes/{node_id}", f"read node {node_id}")

    def update_node(self, node_id: str, version: int, spec: dict[str, Any]) -> None:
        query = {"version": version}
        self.call("POST", f"/nodes/{node_id}/update", f"change node {node_id}", spec, query)

    def remove_node(self, node_id: str) -> None:
        # By force: a node whose host has left is seen as ready for some heartbeats more.
        self.call("DELETE", f"/nodes/{node_id}", f"remove node {node_id}", query={"force": "true"})

    def services(self, **filters: Any) -> list[dict[str, Any]]:
        if filters:
            return self.get("/services", "list the services", filters=filters)
        return self.get("/services", "list the services")

    def update_service(
        self, service_id: str, version: int, spec: dict[str, Any], rollback: bool = False
    ) -> None:
        """Write a spec; with `rollback` the engine takes its own previous one instead of this."""
        # Credentials of a registry are not in a spec as it is read; this keeps those that are there.
        query: dict[str, Any] = {"version": version, "registryAuthFrom": "spec"}
        if rollback:
            query["rollback"] = "previous"
        attempt = f"change service {spec.get('Name') or service_id}"
        # Under an older version of the API the engine shows a spec whole, but takes it without what that version did not
        # know, such as sysctls (moby: api/server/router/swarm, adjustForAPIVersion).
        newest = self._api.api_version
        if self._pinned:
            newest = self.get("/version", "read the version of the engine")["ApiVersion"]
        self.call("POST", f"/services/{service_id}/update", attempt, spec, query, newest)

    def create(self, kind: str, spec: dict[str, Any]) -> str:
        """Create a service, secret, config or network, and return its ID."""
        attempt = f"create {kind} {spec.get('Name')}"
        made = self.call("POST", f"/{kind}s/create", attempt, spec)
        return str(made.get("ID") or made.get("Id"))

    def relabel(self, kind: str, document: dict[str, Any], labels: dict[str, str]) -> None:
        """Give a secret or config other labels; nothing else of it can be changed."""
        spec, query = document["Spec"], {"version": document["Version"]["Index"]}
        attempt = f"change the labels of {kind} {spec['Name']}"
        path = f"/{kind}s/{document['ID']}/update"
        self.call("POST", path, attempt, {**spec, "Labels": labels}, query)

    def remove(self, kind: str, object_id: str, name: str) -> None:
        """Remove a service, secret, config or network."""
        self.call("DELETE", f"/{kind}s/{object_id}", f"remove {kind} {name}")

    def networks(self) -> list[dict[str, Any]]:
        return self.get("/networks", "list the networks")

    def tasks(self, **filters: Any) -> list[dict[str, Any]]:
        if filters:
            return self.get("/tasks", "list the tasks", filters=filters)
        return self.get("/tasks", "list the tasks")


def client_for_reading(params: dict[str, Any]) -> EngineClient | EngineReader:
    """The SDK is only loaded where it takes it to get to the engine: that costs more than all that is read."""
    if params["docker_host"].startswith("unix://") and params["api_version"] == "auto":
        return EngineReader(params["docker_host"], params["timeout"])
    return EngineClient(params)
