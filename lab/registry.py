# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The lab's registry: its certificate authority, and sample images pushed over TLS.

An image is a few files around a static busybox. It is made and pushed here, with the standard library, so
that neither an image builder nor the engine of this machine has to trust the lab's authority.
"""

from __future__ import annotations

import gzip
import hashlib
import http.client
import io
import json
import platform
import ssl
import subprocess
import tarfile
from collections.abc import Mapping
from pathlib import Path

NAME = "registry.lab"
PORT = 5000
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}

# Shows which task on which host has answered. The stack sets NODE and TASK.
HELLO = """#!/bin/sh
mkdir -p /www
echo "hello ${VERSION:-?} from ${TASK:-a task} on ${NODE:-a host}" > /www/index.html
exec httpd -f -p "${PORT:-8080}" -h /www
"""
APPLETS = (
    "sh",
    "httpd",
    "wget",
    "nslookup",
    "ping",
    "sleep",
    "cat",
    "echo",
    "ls",
    "mkdir",
    "rm",
    "test",
    "env",
    "id",
    "kill",
    "false",
    "true",
)


class RegistryError(Exception):
    """The problem, in one sentence."""


def make_certificates(where: Path, address: str) -> None:
    """A certificate authority of this lab, and a certificate of it for the registry's name and address."""
    ca, ca_key = where / "ca.crt", where / "ca.key"
    certificate, key = where / "registry.crt", where / "registry.key"
    # A certificate from an attempt in another subnet is not valid here.
    if certificate.exists() and address in openssl(
        "x509", "-in", certificate, "-noout", "-ext", "subjectAltName"
    ):
        return
    where.mkdir(parents=True, exist_ok=True)
    request, extensions = where / "registry.csr", where / "registry.ext"
    extensions.write_text(
        f"subjectAltName=DNS:{NAME},IP:{address}\nbasicConstraints=CA:FALSE\nextendedKeyUsage=serverAuth\n"
    )
    new_key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    for command in (
        ["req", "-x509", *new_key, "-keyout", ca_key, "-out", ca, "-days", "3650", "-subj", "/CN=flotilla lab",
         "-addext", "keyUsage=critical,keyCertSign,cRLSign"],
        ["req", *new_key, "-keyout", key, "-out", request, "-subj", f"/CN={NAME}"],
        ["x509", "-req", "-in", request, "-CA", ca, "-CAkey", ca_key, "-CAcreateserial", "-days", "3650",
         "-extfile", extensions, "-out", certificate],
    ):  # fmt: skip
        openssl(*command)
    request.unlink()
    extensions.unlink()


def openssl(*words: object) -> str:
    done = subprocess.run(
        ["openssl", *map(str, words)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise RegistryError(
            f"openssl could not make the registry's certificate: {done.stderr.strip()}"
        )
    return done.stdout


def sample_layer(busybox: bytes) -> bytes:
    """The same bytes for the same input, so that the same image has the same digest."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as tar:

        def add(name: str, mode: int, data: bytes | None = None, link: str = "") -> None:
            entry = tarfile.TarInfo(name)
            entry.mode = mode
            if link:
                entry.type, entry.linkname = tarfile.SYMTYPE, link
            elif data is None:
                entry.type = tarfile.DIRTYPE
            else:
                entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data or b""))

        for directory, mode in (("bin", 0o755), ("etc", 0o755), ("tmp", 0o1777), ("www", 0o777)):
            add(directory, mode)
        add("bin/busybox", 0o755, busybox)
        for applet in APPLETS:
            add(f"bin/{applet}", 0o777, link="busybox")
        add("bin/hello", 0o755, HELLO.encode())
        add("etc/passwd", 0o644, b"root:x:0:0:root:/:/bin/sh\n")
    return buffer.getvalue()


def digest(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


def push(address: str, ca: Path, busybox: bytes, image: str, environment: Mapping[str, str]) -> str:
    """Push NAME:TAG and return its digest. Of an existing image, only the differing parts are pushed."""
    name, _colon, tag = image.partition(":")
    layer = sample_layer(busybox)
    packed = gzip.compress(layer, mtime=0)
    config = json.dumps(
        {
            # Named in the environment, for an image that no host of the lab runs.
            "architecture": environment.get("ARCHITECTURE")
            or ARCHITECTURES.get(platform.machine(), platform.machine()),
            "os": "linux",
            "config": {
                "Cmd": ["/bin/hello"],
                "Env": [
                    "PATH=/bin",
                    *(f"{key}={value}" for key, value in sorted(environment.items())),
                ],
                "WorkingDir": "/",
            },
            "rootfs": {"type": "layers", "diff_ids": [digest(layer)]},
            "history": [{"created_by": "lab/registry.py"}],
        },
        sort_keys=True,
    ).encode()
    kind = "application/vnd.docker."
    manifest = json.dumps(
        {
            "schemaVersion": 2,
            "mediaType": f"{kind}distribution.manifest.v2+json",
            "config": {
                "mediaType": f"{kind}container.image.v1+json",
                "size": len(config),
                "digest": digest(config),
            },
            "layers": [
                {
                    "mediaType": f"{kind}image.rootfs.diff.tar.gzip",
                    "size": len(packed),
                    "digest": digest(packed),
                }
            ],
        },
        sort_keys=True,
    ).encode()
    connection = http.client.HTTPSConnection(
        address, PORT, timeout=30, context=ssl.create_default_context(cafile=str(ca))
    )
    try:
        for blob in (packed, config):
            send_blob(connection, name, blob)
        status, text, _headers = talk(
            connection, "PUT", f"/v2/{name}/manifests/{tag or 'latest'}", manifest,
            {"Content-Type": f"{kind}distribution.manifest.v2+json"},
        )  # fmt: skip
        if status != 201:
            raise RegistryError(
                f"The registry {address}:{PORT} did not take {image}: {status} {text}"
            )
    finally:
        connection.close()
    return digest(manifest)


def send_blob(connection: http.client.HTTPSConnection, name: str, blob: bytes) -> None:
    if talk(connection, "HEAD", f"/v2/{name}/blobs/{digest(blob)}")[0] == 200:
        return
    status, text, headers = talk(connection, "POST", f"/v2/{name}/blobs/uploads/", b"")
    if status != 202:
        raise RegistryError(f"The registry did not take an upload for {name}: {status} {text}")
    where = headers["location"]
    where = where[where.index("/v2/") :]
    where += ("&" if "?" in where else "?") + f"digest={digest(blob)}"
    status, text, _headers = talk(
        connection, "PUT", where, blob, {"Content-Type": "application/octet-stream"}
    )
    if status != 201:
        raise RegistryError(f"The registry did not take a layer of {name}: {status} {text}")


def talk(
    connection: http.client.HTTPSConnection,
    method: str,
    path: str,
    body: bytes | None = None,
    headers: Mapping[str, str] | None = None,
) -> tuple[int, str, dict[str, str]]:
    connection.request(method, path, body=body, headers=dict(headers or {}))
    answer = connection.getresponse()
    text = answer.read().decode(errors="replace").strip()
    return answer.status, text, {key.lower(): value for key, value in answer.getheaders()}


def answers(address: str, ca: Path, image: str = "") -> bool:
    """Whether the registry is there, and has the image NAME:TAG."""
    name, _colon, tag = image.partition(":")
    path = f"/v2/{name}/manifests/{tag}" if image else "/v2/"
    accept = {"Accept": "application/vnd.docker.distribution.manifest.v2+json"}
    connection = http.client.HTTPSConnection(
        address, PORT, timeout=2, context=ssl.create_default_context(cafile=str(ca))
    )
    try:
        return talk(connection, "GET", path, headers=accept)[0] == 200
    except OSError:
        return False
    finally:
        connection.close()
