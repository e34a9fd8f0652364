#!/usr/bin/python
# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: swarm_stack
short_description: Plan, deploy, verify and remove a stack
description:
  - Deploys a stack with Docker's own C(docker stack deploy). The module shows the changes first. Afterwards it waits until
    every service has converged, or says why a service does not.
  - The plan is what the CLI would write. The CLI runs against a proxy in front of the engine's socket. The proxy records writes
    instead of passing them on, and the module compares the record with the swarm.
  - The module writes only what differs. C(docker stack deploy) alone writes every service each time. This changes the version
    of the service and replaces its previous spec, which a rollback needs.
author:
  - The Flotilla authors (@flotilla-swarm)
extends_documentation_fragment:
  - flotilla.swarm._docker
  - flotilla.swarm._attributes
  - flotilla.swarm._attributes.actiongroup_swarm
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
  idempotent:
    support: full
options:
  name:
    description: The name of the stack. The names of all its objects start with it.
    type: str
    required: true
  state:
    description:
      - V(present) deploys the stack. Services of the stack that are not in the Compose files stay unless O(prune=true).
      - V(absent) removes the services, configs, secrets and networks of the stack. The module waits until the tasks have ended
        and all objects are removed. External objects and volumes stay. The module refuses if a service outside the stack uses
        an object of it.
      - V(rolled_back) restores the services of a revision and waits for them. See O(keep_revisions).
    type: str
    choices: [present, absent, rolled_back]
    default: present
  compose:
    description:
      - Paths of Compose files on the host where the module runs, merged in this order.
      - Relative paths in the files start at the folder of the first file.
      - O(state=present) needs one of O(compose) and O(definition).
    type: list
    elements: path
  definition:
    description:
      - The content of a Compose file, as a dictionary or as text. A list of them is merged in this order.
      - The module passes it to the CLI without writing it to a disk.
    type: raw
  files:
    description:
      - The files that O(definition) names by a relative path, such as secrets, configs and env files. Each path has its content,
        encoded with Base64.
      - The files are in memory while the CLI runs.
    type: dict
  environment:
    description: The variables of the Compose files. The environment of the host is not used.
    type: dict
  resolve_image:
    description:
      - When to ask the registry for the digest of the tag of an image.
      - V(changed) asks if the image of a service differs from the last deploy. Every node runs the same image, and a run that
        changes nothing needs no registry.
      - V(always) asks in every run, so that a tag that was pushed again is a change. If the registry does not answer, the CLI
        uses the tag without a digest, which is a change too.
      - V(never) does not ask. Each node uses the image that it finds under the tag.
    type: str
    choices: [always, changed, never]
    default: changed
  rotate:
    description:
      - The secrets and configs whose data can change. The name of each has a keyed hash of its data. New data therefore creates a
        new object, and the services that use it are updated.
      - Without this option, the module refuses changed data, because the engine cannot change it.
      - The object with the old data stays, because a rollback needs it. O(prune=true) removes it when nothing needs it any more.
    type: dict
    suboptions:
      secrets:
        description: The secrets, as a dictionary of their names in the Compose files and their C(file).
        type: dict
      configs:
        description: The configs, in the same form.
        type: dict
  prune:
    description:
      - Remove the services, configs, secrets and networks of the stack that are no longer in the Compose files, after its services
        have converged.
      - An object stays if a service needs it for its previous spec, or if a service outside the stack uses it. Secrets and
        configs also stay as long as a revision needs them.
    type: bool
    default: false
  keep_revisions:
    description:
      - The number of revisions to keep. Each successful deploy leaves one, and O(state=rolled_back) restores one. V(0) keeps none.
      - A revision is a config of the stack in the swarm, C(NAME_revision.N). It has the specs of the services, with the digests
        of their images. It has the environment variables of the services, but only the names of secrets and configs.
      - With O(wait=false), a deploy leaves no revision, because the module does not know whether it succeeds.
    type: int
    default: 5
  revision:
    description:
      - The number of the revision to restore with O(state=rolled_back).
      - If not set, the newest revision that differs from what runs now. A second run therefore undoes the first, as with
        C(docker service rollback). Set the number if the run must be idempotent.
      - A restored revision becomes the newest one and keeps its number.
    type: int
  on_failure:
    description:
      - What to do with the changes of this run if the services do not converge.
      - V(stop) leaves them for inspection.
      - V(rollback) restores the spec that each changed service had before, and removes the created objects. The task still
        fails, with the cause.
      - If the engine or the CLI refuses a deploy half-way, the module always rolls back. An object that a service outside the
        stack already uses stays, and the message names it.
    type: str
    choices: [stop, rollback]
    default: stop
  waves:
    description:
      - Deploy services in waves. A service is written when the services that it depends on (C(depends_on) in the Compose files)
        have converged and are healthy. With the condition C(service_completed_successfully), they must have completed
        successfully. If a dependency fails, the services that depend on it are not written.
      - The module waits for each wave, except for the last one with O(wait=false). The first wave has the networks, secrets and
        configs.
      - Without this option, all services are written at once, as C(docker stack deploy) does.
    type: bool
    default: false
  depends_on:
    description:
      - The content of C(depends_on) of each service, by the name of the service in the Compose files.
      - If O(definition) is a dictionary, the module reads it from there. With text or files, O(waves=true) needs this option. The
        lookup P(flotilla.swarm.stack_source#lookup) returns its value.
    type: dict
  strict:
    description:
      - Fail if the Compose files have keys that Swarm ignores, in check mode too. Without this option, the module warns about them.
      - Docker's CLI reports C(build), C(cgroup_parent), C(container_name), C(devices), C(domainname), C(expose),
        C(external_links), C(ipc), C(links), C(mac_address), C(network_mode), C(pid), C(privileged), C(restart), C(security_opt),
        C(shm_size), C(userns_mode) and others. The list depends on its version.
      - The CLI silently ignores C(depends_on) (but see O(waves)), C(tmpfs), and C(ipv4_address) and C(ipv6_address) of the networks
        of a service. See O(ignored_keys).
      - The CLI itself refuses keys that it does not know, such as C(profiles) and C(mem_limit).
      - The CLI reports C(restart) as ignored, but applies it if there is no C(deploy.restart_policy).
    type: bool
    default: false
  ignored_keys:
    description:
      - The keys of the Compose files that Docker's CLI silently ignores.
      - If O(definition) is a dictionary, the module reads them from there. For text and files, the lookup
        P(flotilla.swarm.stack_source#lookup) returns them.
    type: list
    elements: str
  replace_networks:
    description:
      - Replace a network of the stack if its settings differ from the Compose files, such as its driver, options, labels, subnet,
        C(internal) or C(attachable). The engine cannot change the settings of an existing network. Without this option, the
        module refuses the difference.
      - The services of the network first move to a temporary network, by their own C(update_config). They move back after the
        network has been recreated. Their tasks are replaced twice. A service with C(order=start-first) stays up. During the
        move, services on the old and on the temporary network cannot reach each other.
      - The module refuses if a job, or a service outside the stack, uses the network.
    type: bool
    default: false
  with_registry_auth:
    description:
      - Send the registry login of the user who runs the module (C(~/.docker/config.json)) to the nodes.
      - The login goes with the services that are written. A new login alone changes a service only if its image cannot be pulled.
    type: bool
    default: false
  registries:
    description:
      - Logins of private registries, for this deploy and for the nodes that pull its images. They add to the logins of
        O(with_registry_auth), which this option turns on.
      - The CLI gets them in a file in memory that only the user can read. The module removes the file afterwards.
    type: list
    elements: dict
    suboptions:
      registry:
        description: The registry, as in front of the name of an image. For Docker Hub, V(https://index.docker.io/v1/).
        type: str
        required: true
      username:
        description: The name of the user.
        type: str
        required: true
      password:
        description: The password or a token.
        type: str
        required: true
  wait:
    description:
      - Wait until the services have converged, and fail if they do not.
      - With O(state=absent), the module always waits for the end of the tasks, because it can remove the networks only then.
    type: bool
    default: true
  wait_timeout:
    description:
      - Seconds that each service has to converge after it was written. The C(start_period) of its health check adds to them.
    type: int
    default: 300
  log_lines:
    description:
      - The number of log lines to return for each failed service. V(0) returns none. The message has the last line.
      - An application can write anything to its log. The module hides only values that have the form of a credential, and the
        values of environment variables whose names say that they hold one.
    type: int
    default: 5
  settle:
    description:
      - Seconds that a new task must run before it counts. A container that crashes at once also runs for a moment.
    type: int
    default: 5
notes:
  - The label C(flotilla.swarm.replicas) in C(deploy.labels), such as V("2-10"), is for services that a person or an autoscaler
    scales. A deploy keeps the number of replicas if it is within this range. Otherwise it sets the nearest end of the range. The
    C(replicas) of the Compose file are used in the first deploy only, and must be within the range too.
  - The module must run on a manager of the swarm that has the Docker CLI. It uses the unix socket of the engine.
  - Plans and results hide the data of secrets and configs. They hide the values of environment variables, labels, options and
    arguments whose names say that they hold a credential. They also hide what has the form of a credential in any value, such
    as passwords in URLs, queries, connection strings and command lines, private keys and tokens.
  - The swarm cannot change the data of a secret or config. The module refuses a plan that would, unless O(rotate) names the
    secret or config.
"""

EXAMPLES = r"""
- name: Deploy a stack from a Compose file on the manager
  flotilla.swarm.swarm_stack:
    name: shop
    compose: [/srv/shop/stack.yml]
    environment:
      TAG: "1.4.2"

- name: Deploy a stack from an inline definition
  flotilla.swarm.swarm_stack:
    name: hello
    definition:
      services:
        web:
          image: registry.example.com/hello:1
          deploy:
            replicas: 2

- name: Deploy a web service after its database is healthy
  flotilla.swarm.swarm_stack:
    name: shop
    waves: true
    definition:
      services:
        db:
          image: registry.example.com/db:1
          healthcheck: {test: [CMD, is-ready], interval: 5s}
        web:
          image: registry.example.com/shop:1
          depends_on: {db: {condition: service_healthy}}

- name: Deploy a stack and rotate its password when the file changes
  flotilla.swarm.swarm_stack:
    name: shop
    compose: [/srv/shop/stack.yml]
    rotate:
      secrets: {db_password: ./db_password.txt}
    prune: true

- name: Deploy a stack and roll it back if it does not converge
  flotilla.swarm.swarm_stack:
    name: shop
    compose: [/srv/shop/stack.yml]
    on_failure: rollback

- name: Restore the revision before the last deploy
  flotilla.swarm.swarm_stack:
    name: shop
    state: rolled_back

- name: Deploy a service that an autoscaler keeps between 2 and 10 replicas
  flotilla.swarm.swarm_stack:
    name: shop
    definition:
      services:
        web:
          image: registry.example.com/shop:1
          deploy:
            replicas: 3
            labels:
              flotilla.swarm.replicas: "2-10"

- name: Remove a stack with all its objects
  flotilla.swarm.swarm_stack:
    name: hello
    state: absent
"""

RETURN = r"""
stack:
  description: The name of the stack.
  type: str
  returned: always
  sample: hello
plan:
  description: The plan as lines of text.
  type: list
  elements: str
  returned: always
  sample:
    - PLAN  stack hello, acting on m1
    - "  ~ service  hello_web  replicas  2 -> 3"
    - "  = 1 object as it should be"
steps:
  description:
    - The plan as data, in order.
    - One entry for each network, secret, config, service and revision.
  type: list
  elements: dict
  returned: always
  contains:
    action:
      description: V(create), V(update), V(replace), V(remove) or V(none).
      type: str
      sample: update
    kind:
      description: V(network), V(secret), V(config), V(service) or V(revision).
      type: str
      sample: service
    name:
      description: The name of the object, or the number of the revision.
      type: str
      sample: hello_web
    summary:
      description: A short description of an object that is created or removed.
      type: str
      sample: image registry.example.com/hello:1, 2 replicas
    changes:
      description: The fields that change.
      type: list
      elements: dict
      contains:
        field:
          description: The name of the field.
          type: str
          sample: replicas
        before:
          description: Its value in the swarm.
          type: str
          sample: "2"
        after:
          description: Its value in the Compose files.
          type: str
          sample: "3"
applied:
  description: What was written, in order, also after a failure.
  type: list
  elements: str
  returned: always
  sample: [service hello_web]
put_back:
  description: What the rollback after a failure wrote or removed, in order. See O(on_failure).
  type: list
  elements: str
  returned: always
  sample: []
revisions:
  description: The revisions of the stack, the newest first. With O(state=absent), none.
  type: list
  elements: dict
  returned: always
  contains:
    number:
      description: The number of the revision, for O(revision).
      type: int
      sample: 4
    created:
      description: The time of the successful deploy, in the format of the engine (UTC).
      type: str
      sample: "2026-11-23T20:14:05.123456789Z"
    services:
      description: The image and the number of replicas of each service in the revision.
      type: dict
      sample: {hello_web: "image registry.example.com/hello:1, 2 replicas"}
waves:
  description: The services of each wave, with O(waves=true). Otherwise empty.
  type: list
  elements: list
  returned: always
  sample: [[shop_db, shop_cache], [shop_web]]
leftovers:
  description: The services of the stack that are not in the Compose files, and that stay.
  type: list
  elements: str
  returned: always
  sample: []
ignored:
  description: The keys of the Compose files that Swarm ignores.
  type: list
  elements: str
  returned: always
  sample: [container_name, depends_on, restart]
notes:
  description: The messages of the CLI about the Compose files, for example about keys that it ignores.
  type: list
  elements: str
  returned: always
  sample: ["Ignoring unsupported options: restart"]
services:
  description: The services as they are after the call. After a failure, as they were when it happened.
  type: list
  elements: dict
  returned: always
  contains:
    name:
      description: The name of the service.
      type: str
      sample: hello_web
    mode:
      description: V(replicated), V(global), V(replicated-job) or V(global-job). Empty in check mode.
      type: str
      sample: replicated
    desired:
      description: How many tasks the service should have.
      type: int
      sample: 2
    running:
      description: How many tasks of the current spec run on nodes that are ready. For a job, how many have completed.
      type: int
      sample: 2
    state:
      description: >-
        V(converged), V(failed) or V(waiting). A service is V(waiting) if another one failed first, or with O(wait=false). In check
        mode, V(unknown).
      type: str
      sample: converged
    cause:
      description:
        - Why the service has not converged, as a code.
        - No node accepts the task. V(constraint), no node meets the placement constraints. V(resources), no such node has the
          reserved resources free. V(platform), the image is for another platform. V(port), a task or another process uses a
          port of the host. V(plugin), a volume, network or log driver is missing. V(replicas_per_node), every node has
          C(max_replicas_per_node) tasks. V(availability), the suitable nodes are drained or paused. V(node_down), the suitable
          nodes are down, or the node of the task does not answer. V(no_node), another reason.
        - The task does not run. V(image), its image cannot be pulled. V(start), its container cannot be started. V(crash), its
          process exited; RV(services[].reason) has the exit code. V(unhealthy), its health check fails. V(task_failed),
          another reason.
        - The service has changed. V(paused), the engine paused the update. V(rolled_back), the engine rolled the service back.
          V(overwritten), something else has written the service. V(gone), something else has removed it.
        - V(deadline), the service did not converge in time, and no other cause is known.
        - Null if the service has converged, or if no cause is known yet.
      type: str
      sample: constraint
    reason:
      description: The reason in the engine's words.
      type: str
      sample: "pending: no suitable node (scheduling constraints not satisfied on 3 nodes)"
    node:
      description: The node of the task that the reason is about, or the node that is not available.
      type: str
      sample: w1
    log:
      description:
        - The last O(log_lines) lines of the log of that task, if the service has failed.
        - Empty if the task has no container, or if its node does not return the lines within 3 seconds.
      type: list
      elements: str
      sample: ["cannot connect to db:5432"]
failure:
  description: Why the module failed. C(code) never changes for the same cause, C(details) has the data.
  type: dict
  returned: failure
  sample:
    code: not_converged
    details: {}
"""

import traceback

from ..module_utils._common.argspec import Module, docker_argument_spec
from ..module_utils._common.errors import SwarmError
from ..module_utils._stack.deploy import Deployment, StackOutcome
from ..module_utils._stack.options import ATTEMPT, PRIVATE, STACK_LIMITS, STACK_OPTIONS, STACK_RULES
from ..module_utils._stack.private import without_private_paths
from ..module_utils._stack.record import about_ignored


def main() -> None:
    module = Module(
        argument_spec=docker_argument_spec(**STACK_OPTIONS),
        **STACK_RULES,
        limits=STACK_LIMITS,
        private=("_asked",),
        supports_check_mode=True,
    )
    given = {**module.take_out(*PRIVATE), **module.private}
    outcome = StackOutcome(module.params["name"])
    try:
        Deployment(module.params, given, outcome).run(module.check_mode)
    except SwarmError as error:
        module.fail_json(
            msg=error.message, failure=error.as_failure(), **outcome.as_result(failed=True)
        )
    # Of what is given, a character that no path can have.
    except (OSError, ValueError) as error:
        why = without_private_paths(str(error))
        module.fail_json(
            msg=f"Could not {ATTEMPT[module.params['state']]} stack {outcome.stack}: {why}.",
            failure={"code": "os_error", "details": {}},
            exception=traceback.format_exc(),
            **outcome.as_result(failed=True),
        )
    result = outcome.as_result()
    if result["ignored"]:
        module.warn(about_ignored(outcome.stack, result["ignored"]))
    module.exit_json(**result)


if __name__ == "__main__":
    main()
