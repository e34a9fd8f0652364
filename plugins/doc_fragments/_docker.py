# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This doc fragment is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""The options of the connection to the engine."""

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  docker_host:
    description:
      - The address of the engine, for example V(unix:///var/run/docker.sock) or V(tcp://192.0.2.23:2376).
      - If not set, the environment variable E(DOCKER_HOST) is used.
    type: str
    default: unix:///var/run/docker.sock
    aliases: [docker_url]
  tls:
    description:
      - Use TLS without verifying the engine's certificate.
      - If not set, the environment variable E(DOCKER_TLS) is used.
    type: bool
    default: false
  validate_certs:
    description:
      - Use TLS and verify the engine's certificate.
      - If not set, the environment variable E(DOCKER_TLS_VERIFY) is used.
    type: bool
    default: false
    aliases: [tls_verify]
  tls_hostname:
    description:
      - The hostname that the engine's certificate must have.
      - If not set, the environment variable E(DOCKER_TLS_HOSTNAME) is used. If that is not set either, the hostname of
        O(docker_host).
    type: str
  ca_path:
    description: The path of the CA certificate that verifies the engine's certificate.
    type: path
    aliases: [ca_cert, tls_ca_cert, cacert_path]
  client_cert:
    description: The path of the client's TLS certificate.
    type: path
    aliases: [tls_client_cert, cert_path]
  client_key:
    description: The path of the client's TLS key.
    type: path
    aliases: [tls_client_key, key_path]
  api_version:
    description:
      - The version of the engine's API. V(auto) uses the newest version that both the engine and the SDK support.
      - If not set, the environment variable E(DOCKER_API_VERSION) is used.
    type: str
    default: auto
    aliases: [docker_api_version]
  timeout:
    description:
      - Seconds to wait for each answer of the engine.
      - If not set, the environment variable E(DOCKER_TIMEOUT) is used.
    type: int
    default: 60
requirements:
  - Docker Engine 20.10 or newer
  - Docker SDK for Python 4.1.0 or newer on the host where the module runs
"""
