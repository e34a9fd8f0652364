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
    type: str
    choices: [present, absent]
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
  prune:
    description:
      - Remove services, configs, secrets and networks that the stack owns and the Compose files no longer have, once
        its services run as asked.
      - What a service would need to go back to its previous spec stays, and so does what a service of somebody
        else uses.
    type: bool
    default: false
  with_registry_auth:
    description:
      - Give the registry login of the user who runs the module (C(~/.docker/config.json)) to the nodes.
      - It goes with services that are written. A new login alone changes no service.
    type: bool
    default: false
  wait:
    description:
      - Wait until the services run as asked, and fail if they do not.
      - With O(state=absent), the end of the tasks is always waited for, since networks can go only then.
    type: bool
    default: true
  wait_timeout:
    description: How many seconds to wait.
    type: int
    default: 300
  settle:
    description:
      - For how many seconds the tasks must have been running to count. A container that crashes at once is
        running for a moment too.
    type: int
    default: 5
notes:
  - It must run on a manager of the swarm that has the Docker CLI, through the engine's unix socket.
  - What is hidden in plans and results. Data of secrets and configs; environment variables, labels, options
    and arguments whose name says that they hold a credential; passwords in URLs.
  - The data of a secret or config cannot be changed in the swarm. A plan that would is refused, as the run
    would be.
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
    - "  = 1 object as they should be"
steps:
  description: The plan as data, one step for each network, secret, config and service.
  type: list
  elements: dict
  returned: always
  contains:
    action:
      description: What happens to the object, V(create), V(update), V(remove) or V(none).
      type: str
      sample: update
    kind:
      description: V(network), V(secret), V(config) or V(service).
      type: str
      sample: service
    name:
      description: The name of the object.
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
leftovers:
  description: Services that the swarm has under the stack's name and the Compose files have not, and that stay.
  type: list
  elements: str
  returned: always
  sample: []
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
      description: V(converged), V(waiting), V(failed), or V(unknown) in check mode.
      type: str
      sample: converged
    cause:
      description: Why the service is not as asked, as a code such as V(image), V(constraint) or V(crash).
      type: str
      sample: constraint
    reason:
      description: The same in the engine's words.
      type: str
      sample: "pending: no suitable node (scheduling constraints not satisfied on 3 nodes)"
    node:
      description: The node of the task that the reason is about.
      type: str
      sample: w1
failure:
  description: The cause of a failure as C(code), with C(details).
  type: dict
  returned: failure
  sample:
    code: not_converged
    details: {}
"""

import base64
import binascii
import json
import os
import platform
import time
import traceback
from typing import Any
from urllib.parse import quote

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.flotilla.swarm.plugins.module_utils._argspec import docker_argument_spec
from ansible_collections.flotilla.swarm.plugins.module_utils._capture import (
    Run,
    cli_takes,
    private_directory,
    run_cli,
)
from ansible_collections.flotilla.swarm.plugins.module_utils._client import (
    EngineClient,
    EngineReader,
)
from ansible_collections.flotilla.swarm.plugins.module_utils._errors import SwarmError
from ansible_collections.flotilla.swarm.plugins.module_utils._stack import (
    CONVERGED,
    FAILED,
    NAMESPACE,
    Live,
    Step,
    Verdict,
    Watch,
    cli_failure,
    cli_notes,
    judge,
    leftovers,
    plan_lines,
    plan_stack,
    plan_write,
    service_changes,
    undeployed,
)
from ansible_collections.flotilla.swarm.plugins.module_utils._stack_removal import (
    Owned,
    Removal,
    owned,
    plan_pruning,
    plan_removal,
    still_running,
)
from ansible_collections.flotilla.swarm.plugins.module_utils._wait import Clock, poll

# Others write to the swarm too. When somebody was quicker, the plan is made anew.
ATTEMPTS = 3
ATTEMPT = {"present": "deploy", "absent": "remove"}


def hidden_arguments(module: AnsibleModule) -> dict[str, Any]:
    """Take the arguments that may hold credentials out of what the module returns and logs.

    They are `no_log`, which keeps them out of the host's journal. But `no_log` also blanks their values
    wherever they occur in the result, and a replica count or a service name is such a value.
    """
    taken = {name: module.params[name] for name in ("definition", "files", "environment")}
    module.no_log_values.clear()
    for name, value in taken.items():
        if value is not None:
            module.params[name] = "VALUE_SPECIFIED_IN_NO_LOG_PARAMETER"
    return taken


class Stack:
    """One stack, from what is given to what runs."""

    def __init__(
        self, params: dict[str, Any], given: dict[str, Any], result: dict[str, Any]
    ) -> None:
        self.params = params
        self.given = given
        self.result = result
        self.name: str = params["name"]
        self.mine = {"label": [f"{NAMESPACE}={self.name}"]}
        self.engine = EngineReader(params["docker_host"], params["timeout"])
        self.socket = params["docker_host"][len("unix://") :]
        self.environment = {k: _text(v) for k, v in (given["environment"] or {}).items()}
        self.detaches: bool | None = None
        self.written: dict[str, dict[str, Any]] = {}

    # Observe

    def observe(self) -> Live:
        live = Live(
            services=self.engine.get("/services", f"plan stack {self.name}"),
            networks=self.engine.get("/networks", "list the networks"),
            secrets=self.engine.get("/secrets", "list the secrets"),
            configs=self.engine.get("/configs", "list the configs"),
        )
        for network_id in live.unlisted_networks(self.name):
            try:
                live.networks.append(self.engine.get(f"/networks/{network_id}", "read a network"))
            except SwarmError as error:
                if error.code != "not_found":
                    raise
        return live

    # Plan

    def plan(self) -> tuple[list[Step], Live]:
        live = self.observe()
        run = self.deploy(None)
        self.result["notes"] = cli_notes(run.output)
        self._check(run, "plan")
        steps = plan_stack(self.name, run.writes, live)
        extra = leftovers(self.name, run.writes, live)
        if self.params["prune"]:
            extra = []
            steps += plan_pruning(self.name, live, steps, run.writes)
        self.result.update(
            steps=[step.as_dict() for step in steps],
            leftovers=extra,
            plan=plan_lines(self.name, steps, platform.node(), extra, self.result["notes"]),
            changed=bool(self.written) or any(step.action != "none" for step in steps),
        )
        return steps, live

    def plan_removal(self) -> list[Step]:
        steps = plan_removal(self.name, self.observe())
        tasks = self.engine.get(f"/tasks?{_filters(self.mine)}", "list the tasks")
        _answering, silent = still_running(tasks, self.engine.nodes())
        notes = [
            f"tasks on {node}, which is not ready, end when it is back" for node in silent if steps
        ]
        plan = plan_lines(self.name, steps, platform.node(), notes=notes)
        self.result.update(
            steps=[step.as_dict() for step in steps], plan=plan, notes=notes, changed=bool(steps)
        )
        if steps:
            self.result["diff"] = {"prepared": "\n".join(plan) + "\n"}
        return steps

    def deploy(self, live: Live | None) -> Run:
        """Run the CLI: to plan, or with `live` to write what differs from it."""
        params = self.params
        if self.detaches is None:
            self.detaches = cli_takes("stack deploy", "--detach")
        arguments = ["stack", "deploy", "--resolve-image", params["resolve_image"]]
        if self.detaches:
            arguments.append("--detach=true")
        if params["with_registry_auth"]:
            arguments.append("--with-registry-auth")
        with private_directory() as directory:
            # A CLI of before that option takes a file without a version for one of 2014.
            texts = compose_texts(self.given["definition"], "" if self.detaches else "3.9")
            folder = write_files(directory, self.given["files"] or {})
            paths = list(params["compose"] or [])
            if len(texts) == 1:
                paths.append("-")
            else:
                for number, text in enumerate(texts):
                    paths.append(os.path.join(folder, f".flotilla-compose-{number}.yml"))
                    _write_private(paths[-1], text.encode())
            for path in paths:
                arguments += ["-c", path]
            return run_cli(
                self.socket,
                [*arguments, self.name],
                stdin=texts[0] if len(texts) == 1 else "",
                environment=self.environment,
                directory=folder,
                forward=None if live is None else (lambda w: plan_write(w, live).action != "none"),
                timeout=max(300, params["wait_timeout"]),
            )

    def _check(self, run: Run, attempt: str) -> None:
        if run.timed_out:
            raise SwarmError(
                "cli_timeout", f"Could not {attempt} stack {self.name}: the CLI does not end."
            )
        if run.returncode != 0 or run.refusals:
            refusals = [(r.write.kind, r.write.name, r.message) for r in run.refusals]
            raise cli_failure(self.name, attempt, run.output, refusals)

    # Apply

    def apply(self, live: Live) -> bool:
        """Write what differs; False if somebody else wrote meanwhile and the plan is out of date."""
        run = self.deploy(live)
        for write in run.forwarded:
            self.result["applied"].append(f"{write.kind} {write.name}")
            self.written[f"{write.kind} {write.name}"] = write.spec
        if any("update out of sequence" in refusal.message for refusal in run.refusals):
            return False
        self._check(run, "deploy")
        return True

    def remove(self, steps: list[Step]) -> None:
        planned = {(step.kind, step.name) for step in steps}

        def find() -> list[Owned]:
            found = owned(self.name, self.observe())
            return [one for one in found if (one.kind, one.name) in planned]

        engine, timeout = EngineClient(self.params), self.params["wait_timeout"]
        Removal(self.name, engine, find, self.result["applied"], timeout).run()

    # Verify

    def verdicts(self, names: set[str], networks: dict[str, str]) -> list[Verdict]:
        services = self.engine.get(f"/services?{_filters(self.mine)}", "list the services")
        tasks = self.engine.get(f"/tasks?{_filters(self.mine)}", "list the tasks")
        # The filter that the CLI's own progress bar uses: the engine compares the specs itself.
        fresh = {**self.mine, "_up-to-date": ["true"]}
        current = self.engine.get(f"/tasks?{_filters(fresh)}", "list the tasks")
        ids = {str(task.get("ID")) for task in current}
        nodes = self.engine.nodes()
        found = []
        for service in services:
            spec = service.get("Spec") or {}
            asked = self.written.get(f"service {spec.get('Name')}")
            overruled = asked is not None and bool(service_changes(spec, asked, networks))
            found.append(judge(service, tasks, ids, nodes, overruled))
        gone = names - {verdict.service for verdict in found}
        found += [Verdict(name, "", 0, 0, FAILED, "gone", "it is not there") for name in gone]
        return sorted((v for v in found if v.service in names), key=lambda v: v.service)

    def verify(self, names: set[str]) -> None:
        clock = Clock()
        started = clock.now()
        networks = self.observe().network_names() if self.written else {}
        if self.params["wait"]:
            watch = Watch(self.params["settle"], bool(self.written), time.time)
            seen, done = poll(
                lambda: self.verdicts(names, networks),
                lambda verdicts: watch.final(verdicts, clock.now()),
                timeout=self.params["wait_timeout"],
                interval=0.5,
                clock=clock,
            )
        else:
            seen, done = self.verdicts(names, networks), True
        self.result["services"] = [verdict.as_dict() for verdict in seen]
        if self.params["wait"] and not (done and all(v.state == CONVERGED for v in seen)):
            raise undeployed(self.name, seen, round(clock.now() - started))


def compose_texts(definition: Any, version: str) -> list[str]:
    """The Compose files as text; a dictionary without a version gets `version`."""
    if definition is None:
        return []
    texts = []
    for entry in definition if isinstance(definition, list) else [definition]:
        document = _json_object(entry)
        if document is not None:
            texts.append(json.dumps({"version": version, **document} if version else document))
        elif isinstance(entry, str):
            texts.append(entry)
        else:
            raise SwarmError(
                "bad_definition",
                f"definition must be a dictionary or text, or a list of such, not {type(entry).__name__}.",
            )
    return texts


def _json_object(entry: Any) -> dict[str, Any] | None:
    """A dictionary, also one that came as JSON."""
    if isinstance(entry, str) and entry.lstrip().startswith("{"):
        try:
            entry = json.loads(entry)
        except ValueError:
            return None
    return entry if isinstance(entry, dict) else None


def write_files(directory: str, files: dict[str, str]) -> str:
    """Lay out the files, and return the folder that their relative paths start from."""
    paths = {os.path.normpath(path): content for path, content in files.items()}
    up = max((path.split("/").count("..") for path in paths), default=0)
    folder = os.path.join(directory, *["d"] * up)
    os.makedirs(folder, mode=0o700, exist_ok=True)
    for path, content in paths.items():
        target = os.path.normpath(os.path.join(folder, path))
        if not target.startswith(directory + os.sep):
            raise SwarmError("bad_files", f"files: {path} must be a relative path.")
        try:
            data = base64.b64decode(content, validate=True)
        except (binascii.Error, ValueError) as error:
            raise SwarmError("bad_files", f"files: the content of {path} is not Base64.") from error
        os.makedirs(os.path.dirname(target), mode=0o700, exist_ok=True)
        _write_private(target, data)
    return folder


def _write_private(path: str, data: bytes) -> None:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(data)


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _filters(filters: dict[str, list[str]]) -> str:
    return "filters=" + quote(json.dumps(filters))


def remove(module: AnsibleModule, stack: Stack) -> None:
    steps = stack.plan_removal()
    if steps and not module.check_mode:
        stack.remove(steps)


def deploy(module: AnsibleModule, stack: Stack) -> None:
    result = stack.result
    steps: list[Step] = []
    for attempt in range(ATTEMPTS):
        steps, live = stack.plan()
        if attempt == 0 and result["changed"]:
            result["diff"] = {"prepared": "\n".join(result["plan"]) + "\n"}
        written = [step for step in steps if step.action in ("create", "update")]
        if module.check_mode or not written or stack.apply(live):
            break
    else:
        raise SwarmError(
            "out_of_sequence",
            f"Could not deploy stack {stack.name}: somebody else keeps writing its services. Run again.",
        )
    goes = [step for step in steps if step.action == "remove"]
    services = {step.name for step in steps if step.kind == "service" and step not in goes}
    if module.check_mode:
        result["services"] = [
            Verdict(name, "", 0, 0, "unknown").as_dict() for name in sorted(services)
        ]
    else:
        stack.verify(services)
        if goes:
            stack.remove(goes)


def main() -> None:
    module = AnsibleModule(
        argument_spec=docker_argument_spec(
            name=dict(type="str", required=True),
            state=dict(type="str", choices=["present", "absent"], default="present"),
            compose=dict(type="list", elements="path"),
            definition=dict(type="raw", no_log=True),
            files=dict(type="dict", no_log=True),
            environment=dict(type="dict", no_log=True),
            resolve_image=dict(
                type="str", choices=["always", "changed", "never"], default="changed"
            ),
            prune=dict(type="bool", default=False),
            with_registry_auth=dict(type="bool", default=False),
            wait=dict(type="bool", default=True),
            wait_timeout=dict(type="int", default=300),
            settle=dict(type="int", default=5),
        ),
        mutually_exclusive=[("compose", "definition")],
        required_if=[("state", "present", ("compose", "definition"), True)],
        supports_check_mode=True,
    )
    given = hidden_arguments(module)
    result: dict[str, Any] = dict(
        changed=False,
        stack=module.params["name"],
        plan=[],
        steps=[],
        applied=[],
        leftovers=[],
        notes=[],
        services=[],
        diff={},
    )
    try:
        stack = Stack(module.params, given, result)
        if module.params["state"] == "absent":
            remove(module, stack)
        else:
            deploy(module, stack)
    except SwarmError as error:
        result["changed"] = bool(result["applied"])
        module.fail_json(msg=error.message, failure=error.as_failure(), **result)
    except OSError as error:
        result["changed"] = bool(result["applied"])
        module.fail_json(
            msg=f"Could not {ATTEMPT[module.params['state']]} stack {module.params['name']}: {error}.",
            failure={"code": "os_error", "details": {}},
            exception=traceback.format_exc(),
            **result,
        )
    module.exit_json(**result)


if __name__ == "__main__":
    main()
