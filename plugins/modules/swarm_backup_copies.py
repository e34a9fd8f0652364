#!/usr/bin/python

# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: swarm_backup_copies
short_description: Check fetched backups of a swarm and delete the old ones
description:
  - Checks that copies of backups are complete by their SHA-256 digests, and that only their owner can read them. A copy that differs is
    removed.
  - Deletes old backups from the directory of one swarm. The module only deletes files whose names M(flotilla.swarm.swarm_backup) gives.
    It keeps the newest complete backup of each kind.
  - The playbook C(flotilla.swarm.back_up) runs this module on the controller.
extends_documentation_fragment:
  - flotilla.swarm._attributes
attributes:
  check_mode:
    support: full
  diff_mode:
    support: none
  idempotent:
    support: full
options:
  path:
    description: The directory that has a directory for each swarm.
    type: path
    required: true
  cluster_id:
    description: The ID of the swarm.
    type: str
    required: true
  digests:
    description:
      - The SHA-256 digests of copies, by the name of the file.
      - In check mode, the module does not read them, and counts them as if they were there.
    type: dict
    default: {}
  keep_count:
    description: See O(flotilla.swarm.swarm_backup#module:keep_count).
    type: int
    default: 7
  keep_days:
    description: See O(flotilla.swarm.swarm_backup#module:keep_days).
    type: int
    default: 0
author:
  - The Flotilla authors (@flotilla-swarm)
seealso:
  - module: flotilla.swarm.swarm_backup
"""

EXAMPLES = r"""
- name: Keep the copies of the last ten backups
  flotilla.swarm.swarm_backup_copies:
    path: /srv/backups
    cluster_id: 4wyc7i0q9iegkhgbnx6ydrzjv
    keep_count: 10
  delegate_to: localhost
"""

RETURN = r"""
deleted:
  description: The old backups that were deleted.
  type: list
  elements: str
  returned: always
  sample: [raft-20261001T023000Z-m2.tar.age]
failure:
  description:
    - Why the module failed. C(code) never changes for the same cause, C(details) has the data.
    - The code is V(bad_copy), V(bad_option), V(not_root) or V(os_error).
  type: dict
  returned: failure
  sample: {code: bad_copy, details: {}}
"""

import time
from typing import Any

from ..module_utils._common.argspec import Module
from ..module_utils._common.errors import SwarmError, failure_of
from ..module_utils._lifecycle.backup_copies import check_copies, check_names, prune


def main() -> None:
    module = Module(
        argument_spec=dict(
            path=dict(type="path", required=True),
            cluster_id=dict(type="str", required=True),
            digests=dict(type="dict", default={}),
            keep_count=dict(type="int", default=7),
            keep_days=dict(type="int", default=0),
        ),
        limits=dict(keep_count=1),
        supports_check_mode=True,
    )
    given = module.params
    result: dict[str, Any] = dict(changed=False, deleted=[], diff={})
    try:
        check_names(given["cluster_id"], given["digests"])
        if not module.check_mode:
            result["changed"] = check_copies(given["path"], given["cluster_id"], given["digests"])
        result["deleted"] = prune(
            given["path"],
            given["cluster_id"],
            time.time(),
            given["keep_count"],
            given["keep_days"],
            coming=given["digests"] if module.check_mode else None,
        )
        result["changed"] = result["changed"] or bool(result["deleted"])
    except SwarmError as error:
        module.fail_json(msg=error.message, failure=error.as_failure(), **result)
    except OSError as caught:
        failure = failure_of("check the copies of the backups", caught)
        module.fail_json(msg=failure.message, failure=failure.as_failure(), **result)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
