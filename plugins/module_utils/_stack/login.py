# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""Which login a service has. No spec tells it, so a label on the service has a fingerprint of it. Pure.

A service keeps the login of its last write, and nodes use it to pull its image. With the label, a new password is a change of the
service. It replaces no task, because only the service has the label.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from .._host.logins import auth_of, fingerprint
from .._model.labels import LOGIN_LABEL
from .._model.services import container_of
from .._registry.reference import HUB, parse_image

# As Docker names the login of Docker Hub.
_HUB_LOGIN = "https://index.docker.io/v1/"


def with_login_label(
    spec: dict[str, Any], registries: Iterable[Mapping[str, str]]
) -> dict[str, Any]:
    """The spec of a service with the label, if one of the given logins is for the registry of its image."""
    registry = parse_image(str(container_of(spec).get("Image") or "")).registry
    wanted = _HUB_LOGIN if registry == HUB else registry
    for login in registries:
        if login["registry"] == wanted:
            auth = auth_of(login["username"], login["password"])
            labels = {**(spec.get("Labels") or {}), LOGIN_LABEL: fingerprint(wanted, auth)}
            return {**spec, "Labels": labels}
    return spec
