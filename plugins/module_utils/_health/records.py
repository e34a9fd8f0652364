# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""What this collection records in the configs of a swarm, for a page: one list, which the verdict does not need."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from .._common.errors import SwarmError
from .._model.documents import dig
from .._model.labels import BACKUP_LABEL, GITOPS_APP_LABEL, GITOPS_LABEL
from .._stack.objects import latest_numbers


def read_records(connect: Callable[[], Any]) -> dict[str, Any]:
    """The records, over the connection that `connect` opens; none if the engine does not answer: the verdict says that."""
    try:
        # A config may hold 1 MB, so only one of them is in memory at a time.
        return records_of(
            {"Spec": {"Labels": dig(config, "Spec", "Labels")}}
            for config in connect().each("/configs", "list the configs")
        )
    except SwarmError:
        return {}


def records_of(configs: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """The records, given the documents of configs: by stack the number of its revision that ran last, by application the state
    that GitOps keeps, and the record of the latest backup.
    """
    found = list(configs)
    labels = [dig(config, "Spec", "Labels") or {} for config in found]
    return {
        "revisions": latest_numbers(found),
        "applications": {
            str(each[GITOPS_APP_LABEL]): str(each.get(GITOPS_LABEL) or "")
            for each in labels
            if GITOPS_APP_LABEL in each
        },
        "backup": next((str(each[BACKUP_LABEL]) for each in labels if BACKUP_LABEL in each), ""),
    }
