#!/usr/bin/python
# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: swarm_stack
short_description: Plan, deploy, verify and remove a stack
description:
  - Deploys a stack of services with Docker's own C(docker stack deploy), says beforehand what that changes,
    and waits until every service runs as asked, or says for each why it does not.
  - The plan is what the CLI itself would write. It is run against a proxy in front of the engine's socket
    that records writes instead of making them, and the record is compared with what the swarm has.
  - Only what differs is written. C(docker stack deploy) alone writes every service every time, which moves
    its version and loses the spec that a rollback would go back to.
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
    description: The name of the stack. It is the prefix of the names of everything in it.
    type: str
    required: true
  state:
    description:
      - V(present) deploys the stack. Services of it that the Compose files do not have are left alone unless
        O(prune=true).
      - V(absent) removes all that the stack owns, its services, configs, secrets and networks, and waits until its
        tasks have ended and all is gone. What is external to it and volumes stay. It is refused while a service that
        is not of this stack uses something of it.
      - V(rolled_back) makes the services what they were in a revision, and waits for them. See O(keep_revisions).
    type: str
    choices: [present, absent, rolled_back]
    default: present
  compose:
    description:
      - Paths of Compose files on the host where the module runs, merged in this order.
      - Relative paths in them start at the folder of the first one.
      - One of O(compose) and O(definition) must be given if O(state=present).
    type: list
    elements: path
  definition:
    description:
      - The content of one Compose file, as a dictionary or as text, or a list of such, merged in this order.
      - It is given to the CLI without being written to a disk.
    type: raw
  files:
    description:
      - Files that O(definition) takes in by a relative path (secrets, configs, env files), as a dictionary of
        path and Base64 encoded content. They are kept in memory while the CLI runs.
    type: dict
  environment:
    description: The variables of the Compose files. Those of the host are not used.
    type: dict
  resolve_image:
    description:
      - When to ask the registry for the digest of an image's tag.
      - With V(changed), when the image of a service is another than in the last deploy. A run that changes
        nothing then needs no registry, and one that does runs the same image on every node.
      - With V(always), in every run, so that a tag that was pushed again is a change. Needs the registry;
        if it does not answer, the CLI takes the bare tag, which is a change too.
      - With V(never), not at all. Each node then takes what it finds under the tag.
    type: str
    choices: [always, changed, never]
    default: changed
  rotate:
    description:
      - Secrets and configs whose data may change. Each gets a name that carries a keyed hash of its data, so that
        new data makes a new object, and the services that use it are rolled. Without this, changed data is refused,
        since the engine cannot change it.
      - What had the name of before stays, for a rollback needs it, until O(prune=true) finds it of no use.
    type: dict
    suboptions:
      secrets:
        description: The secrets, as a dictionary of the name that they have in the Compose files and their C(file).
        type: dict
      configs:
        description: The configs, likewise.
        type: dict
  prune:
    description:
      - Remove services, configs, secrets and networks that the stack owns and the Compose files no longer have, once
        its services run as asked.
      - What a service would need to go back to its previous spec stays, and so does what a service of somebody
        else uses. Secrets and configs stay as long as a revision needs them.
    type: bool
    default: false
  keep_revisions:
    description:
      - Of how many deploys that went well a revision is kept, to which O(state=rolled_back) can go back. With V(0), of
        none.
      - A revision is a config of the swarm that belongs to the stack (C(NAME_revision.N)). It holds the specs of its
        services as the swarm has them, with the images by digest. Secrets and configs are in it by name only; what
        stands in a service's environment is in its spec, and so in the revision.
      - None is left if O(wait=false), since nobody looks whether the deploy went well.
    type: int
    default: 5
  revision:
    description:
      - The number of the revision to go back to if O(state=rolled_back).
      - If left out, the newest one that is not what runs now. So a second run goes forth again, as with
        C(docker service rollback). Name the number where a run is to be repeated.
      - The revision that was gone back to is the newest then, and keeps its number.
    type: int
  on_failure:
    description:
      - What to do with what this run has changed, if the services do not run as asked in the end.
      - With V(stop), it stays as it is, to be looked at.
      - With V(rollback), each service that this run has written gets back the spec that it had before, and what it has
        created is removed. The task fails all the same, with the cause.
      - A deploy that the engine or the CLI refuses half-way is rolled back in either case. What a service of somebody else
        uses already stays, and the message names it.
    type: str
    choices: [stop, rollback]
    default: stop
  waves:
    description:
      - Write services in waves. A service is written when those that it depends on (C(depends_on) in the Compose files) run as
        asked and are healthy, or have ended well if the condition there is C(service_completed_successfully). If they do not
        come up, it is not written.
      - Each wave is waited for, with O(wait=false) all but the last. Networks, secrets and configs go with the first.
      - Without this, all services are written at once, as C(docker stack deploy) does.
    type: bool
    default: false
  depends_on:
    description:
      - What each service depends on, as a dictionary of services and what C(depends_on) has, by their names in the Compose
        files.
      - It is read from O(definition) where that is a dictionary. It is needed with O(waves=true) where that is text, or files.
        The lookup P(flotilla.swarm.stack_source#lookup) returns it.
    type: dict
  strict:
    description:
      - Fail if the Compose files have keys that Swarm ignores, in check mode too. Without this, they are a warning.
      - These are, as far as Docker's CLI says so, C(build), C(cgroup_parent), C(container_name), C(devices), C(domainname),
        C(expose), C(external_links), C(ipc), C(links), C(mac_address), C(network_mode), C(pid), C(privileged), C(restart),
        C(security_opt), C(shm_size), C(userns_mode) and others, by its version. Keys that it does not know, such as
        C(profiles), and C(mem_limit) and its like, it refuses by itself.
      - The CLI says of C(restart) that it is ignored, and yet it takes it where there is no C(deploy.restart_policy).
      - Those that it ignores without a word are C(depends_on) (but see O(waves)), C(tmpfs), and C(ipv4_address) and C(ipv6_address)
        of a service's networks, see O(ignored_keys).
    type: bool
    default: false
  ignored_keys:
    description:
      - Keys of the Compose files that Docker's CLI ignores without saying so.
      - They are read from O(definition) where that is a dictionary. The lookup P(flotilla.swarm.stack_source#lookup)
        returns them for files and text, which cannot be read here.
    type: list
    elements: str
  replace_networks:
    description:
      - Replace a network of the stack whose settings in the Compose files are not those that it has, such as its driver,
        options, labels, subnet, C(internal) or C(attachable). The engine cannot change them on a network that is there.
        Without this, such a difference is refused.
      - The services on it move to a network of another name first, by their own C(update_config), and back when it
        has been made anew. So their tasks are replaced twice, and a service with C(order=start-first) stays up. While they
        move, services that have and those that have not cannot reach each other.
      - It is refused while a job or a service that is not of this stack is on the network.
    type: bool
    default: false
  with_registry_auth:
    description:
      - Give the registry login of the user who runs the module (C(~/.docker/config.json)) to the nodes.
      - It goes with services that are written. A new login alone changes no service, unless it cannot get its image.
    type: bool
    default: false
  registries:
    description:
      - Logins of private registries, for this deploy and for the nodes that pull its images. They come beside those
        of O(with_registry_auth), which this implies.
      - They are given to the CLI in a file in memory that only the user can read, and that is gone afterwards.
    type: list
    elements: dict
    suboptions:
      registry:
        description: The registry as it stands in front of an image's name; V(https://index.docker.io/v1/) for Docker Hub.
        type: str
        required: true
      username:
        description: The name of the user.
        type: str
        required: true
      password:
        description: The password, or a token in its place.
        type: str
        required: true
  wait:
    description:
      - Wait until the services run as asked, and fail if they do not.
      - With O(state=absent), the end of the tasks is always waited for, since networks can go only then.
    type: bool
    default: true
  wait_timeout:
    description:
      - How many seconds each service has to come up, from when it is written. A service whose health check has a
        C(start_period) has that much more.
    type: int
    default: 300
  log_lines:
    description:
      - How many of the last lines of its log to return of each service that failed; V(0) for none. The last one is
        in the message as well.
      - An application may write anything to its log. Only the values of environment variables whose name says that
        they hold a credential, and what has the form of one, are taken out.
    type: int
    default: 5
  _asked:
    description: A hash of what is asked. It is for the action plugin of the same name alone.
    type: str
    default: ""
  settle:
    description:
      - For how many seconds the tasks must have been running to count. A container that crashes at once is
        running for a moment too.
    type: int
    default: 5
notes:
  - A service with the label C(flotilla.swarm.replicas) among its C(deploy.labels), such as V("2-10"), is scaled by others, a
    person or an autoscaler. A deploy leaves its number of replicas as it is if it is within this band, and else goes to the
    nearest end of it. The C(replicas) of the Compose file count for the first deploy only, within the band as well.
  - It must run on a manager of the swarm that has the Docker CLI, through the engine's unix socket.
  - What is hidden in plans and results. Data of secrets and configs; environment variables, labels, options
    and arguments whose name says that they hold a credential; and in any value what has the form of one, such as
    passwords in URLs, queries, connection strings and command lines, private keys, and tokens.
  - The data of a secret or config cannot be changed in the swarm. A plan that would is refused, as the run would
    be, unless O(rotate) names it.
"""

EXAMPLES = r"""
- name: Deploy a stack from a Compose file on the manager
  flotilla.swarm.swarm_stack:
    name: shop
    compose: [/srv/shop/stack.yml]
    environment:
      TAG: "1.4.2"

- name: Deploy a stack that is written here
  flotilla.swarm.swarm_stack:
    name: hello
    definition:
      services:
        web:
          image: registry.example.com/hello:1
          deploy:
            replicas: 2

- name: Deploy a web service when its database is healthy
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

- name: Deploy a stack whose password is rotated when the file changes
  flotilla.swarm.swarm_stack:
    name: shop
    compose: [/srv/shop/stack.yml]
    rotate:
      secrets: {db_password: ./db_password.txt}
    prune: true

- name: Deploy a stack that goes back to what it was if it does not come up
  flotilla.swarm.swarm_stack:
    name: shop
    compose: [/srv/shop/stack.yml]
    on_failure: rollback

- name: Go back to what ran before the last deploy
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

- name: Remove a stack with all that it owns
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
  description: The plan as data, one step for each network, secret, config and service, and for revisions.
  type: list
  elements: dict
  returned: always
  contains:
    action:
      description: What happens to the object, V(create), V(update), V(replace), V(remove) or V(none).
      type: str
      sample: update
    kind:
      description: V(network), V(secret), V(config), V(service) or V(revision).
      type: str
      sample: service
    name:
      description: The name of the object; of a revision, its number.
      type: str
      sample: hello_web
    summary:
      description: A few words on an object that is created or removed.
      type: str
      sample: image registry.example.com/hello:1, 2 replicas
    changes:
      description: The fields of an object that change.
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
  description: The objects that were written or removed, each as kind and name.
  type: list
  elements: str
  returned: always
  sample: [service hello_web]
put_back:
  description: What a rollback after a failure (see O(on_failure)) has written or removed, each as kind and name.
  type: list
  elements: str
  returned: always
  sample: []
revisions:
  description: The stack's revisions, the one that ran last first; none if O(state=absent).
  type: list
  elements: dict
  returned: always
  contains:
    number:
      description: Its number, as O(revision) takes it.
      type: int
      sample: 4
    created:
      description: When that deploy had gone well, as the engine writes it (UTC).
      type: str
      sample: "2026-11-23T20:14:05.123456789Z"
    services:
      description: The services of that time, each with its image and number of replicas.
      type: dict
      sample: {hello_web: "image registry.example.com/hello:1, 2 replicas"}
waves:
  description: With O(waves=true), the services in the waves in which they are written, else empty.
  type: list
  elements: list
  returned: always
  sample: [[shop_db, shop_cache], [shop_web]]
leftovers:
  description: Services that the swarm has under the stack's name and the Compose files have not, and that stay.
  type: list
  elements: str
  returned: always
  sample: []
ignored:
  description: Keys of the Compose files that Swarm ignores.
  type: list
  elements: str
  returned: always
  sample: [container_name, depends_on, restart]
notes:
  description: What the CLI says about the Compose files, for example keys that it ignores.
  type: list
  elements: str
  returned: always
  sample: ["Ignoring unsupported options: restart"]
services:
  description: Each service of the stack and how it stands.
  type: list
  elements: dict
  returned: always
  contains:
    name:
      description: The name of the service.
      type: str
      sample: hello_web
    mode:
      description: V(replicated), V(global), V(replicated-job) or V(global-job); empty in check mode.
      type: str
      sample: replicated
    desired:
      description: How many tasks there should be.
      type: int
      sample: 2
    running:
      description: How many tasks of the wanted spec run on nodes that are ready; of a job, how many are done.
      type: int
      sample: 2
    state:
      description: >-
        V(converged), V(failed), V(waiting) if another has failed before or nothing was waited for, or V(unknown) in check
        mode.
      type: str
      sample: converged
    cause:
      description:
        - Why the service is not as asked, as a code.
        - No node takes the task. V(constraint), no node meets the placement constraints. V(resources), those that do have
          not enough free. V(platform), the image is made for other machines. V(port), a port of the host is taken, by
          a task or by a process that the engine does not know of. V(plugin), a volume, network or log driver is missing.
          V(replicas_per_node), each has as many as allowed. V(availability), those that fit are drained or paused.
          V(node_down), those that fit are down, or the node that the task is on does not answer. V(no_node), none of these.
        - The task does not run. V(image), its image cannot be pulled. V(start), its container cannot be started. V(crash), its
          process has ended with the exit code that RV(services[].reason) has. V(unhealthy), its health check fails.
          V(task_failed), anything else.
        - The service is another. V(paused), the engine has stopped the update. V(rolled_back), the engine has taken it
          back. V(overwritten), somebody else has written it since. V(gone), somebody has removed it.
        - V(deadline), it was not up in time, and nothing is known to be wrong.
        - Null if the service is as asked, or nothing is wrong yet.
      type: str
      sample: constraint
    reason:
      description: The same in the engine's words.
      type: str
      sample: "pending: no suitable node (scheduling constraints not satisfied on 3 nodes)"
    node:
      description: The node of the task that the reason is about, or the one that is missed.
      type: str
      sample: w1
    log:
      description:
        - The last lines of the log of that task, as many as O(log_lines), if the service has failed, the task has
          a container, and its node gave them within 3 seconds. Else it is empty.
      type: list
      elements: str
      sample: ["cannot connect to db:5432"]
failure:
  description: The cause of a failure as C(code), with C(details).
  type: dict
  returned: failure
  sample:
    code: not_converged
    details: {}
"""

import traceback

from ansible_collections.flotilla.swarm.plugins.module_utils._argspec import (
    Module,
    docker_argument_spec,
)
from ansible_collections.flotilla.swarm.plugins.module_utils._capture import without_private_paths
from ansible_collections.flotilla.swarm.plugins.module_utils._errors import SwarmError
from ansible_collections.flotilla.swarm.plugins.module_utils._stack_deploy import Stack
from ansible_collections.flotilla.swarm.plugins.module_utils._stack_options import (
    ATTEMPT,
    PRIVATE,
    STACK_LIMITS,
    STACK_OPTIONS,
    STACK_RULES,
    nothing_done,
)
from ansible_collections.flotilla.swarm.plugins.module_utils._stack_record import about_ignored


def main() -> None:
    module = Module(
        argument_spec=docker_argument_spec(**STACK_OPTIONS),
        **STACK_RULES,
        limits=STACK_LIMITS,
        supports_check_mode=True,
    )
    given = module.take_out(*PRIVATE)
    result = nothing_done(module.params["name"])
    try:
        Stack(module.params, given, result).run(module.check_mode)
    except SwarmError as error:
        result["changed"] = bool(result["applied"])
        module.fail_json(msg=error.message, failure=error.as_failure(), **result)
    # Of what is given, a character that no path can have.
    except (OSError, ValueError) as error:
        result["changed"] = bool(result["applied"])
        why = without_private_paths(str(error))
        module.fail_json(
            msg=f"Could not {ATTEMPT[module.params['state']]} stack {module.params['name']}: {why}.",
            failure={"code": "os_error", "details": {}},
            exception=traceback.format_exc(),
            **result,
        )
    if result["ignored"]:
        module.warn(about_ignored(module.params["name"], result["ignored"]))
    module.exit_json(**result)


if __name__ == "__main__":
    main()
