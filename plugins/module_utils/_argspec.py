# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""How a module reaches the engine: the option names of community.docker, so that habits carry over."""

from __future__ import annotations

from typing import Any

from ansible.module_utils.basic import env_fallback

from ansible_collections.flotilla.swarm.plugins.module_utils._errors import SwarmError

DEFAULT_DOCKER_HOST = "unix:///var/run/docker.sock"


def check_numbers(params: dict[str, Any], **least: int) -> None:
    """Refuse what is less than it may be: a wait of less than nothing, a step of none."""
    wrong = [
        f"{name} is {params[name]}, it must be {number} or more"
        for name, number in least.items()
        if params.get(name) is not None and params[name] < number
    ]
    if wrong:
        raise SwarmError("bad_option", f"{'; '.join(wrong)}.")


def docker_argument_spec(**options: Any) -> dict[str, Any]:
    """The argument spec of a module: its own options and those of the connection."""
    return dict(
        docker_host=dict(
            type="str",
            default=DEFAULT_DOCKER_HOST,
            fallback=(env_fallback, ["DOCKER_HOST"]),
            aliases=["docker_url"],
        ),
        tls=dict(type="bool", default=False, fallback=(env_fallback, ["DOCKER_TLS"])),
        validate_certs=dict(
            type="bool",
            default=False,
            fallback=(env_fallback, ["DOCKER_TLS_VERIFY"]),
            aliases=["tls_verify"],
        ),
        tls_hostname=dict(type="str", fallback=(env_fallback, ["DOCKER_TLS_HOSTNAME"])),
        ca_path=dict(type="path", aliases=["ca_cert", "tls_ca_cert", "cacert_path"]),
        client_cert=dict(type="path", aliases=["tls_client_cert", "cert_path"]),
        client_key=dict(type="path", aliases=["tls_client_key", "key_path"]),
        api_version=dict(
            type="str",
            default="auto",
            fallback=(env_fallback, ["DOCKER_API_VERSION"]),
            aliases=["docker_api_version"],
        ),
        timeout=dict(type="int", default=60, fallback=(env_fallback, ["DOCKER_TIMEOUT"])),
        **options,
    )
