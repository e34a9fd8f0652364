# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Every action plugin, called by Ansible itself in a playbook on this machine, where no engine answers at the address given.

One run for all: what it printed, and what each task registered.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

pytest.importorskip("docker")

from ansible_collections.flotilla.swarm.plugins.module_utils._api import client

COLLECTIONS = client.__file__.partition("/ansible_collections/")[0]
PLUGINS = Path(client.__file__).parents[2]
NOWHERE = "unix:///nowhere/docker.sock"

KEY = "SWMKEY-1-" + "x" * 43
ZONES = {"m1": "a", "m2": "b", "m3": "c", "w1": "a"}
NODES = [
    {
        "id": f"id-{name}",
        "role": "manager" if name.startswith("m") else "worker",
        "leader": name == "m1",
        "availability": "active",
        "labels": {"zone": zone},
    }
    for name, zone in ZONES.items()
]
OBSERVED = {
    name: {
        "host": {"boot_id": "1", "reboot_required": name == "w1", "reboot_note": None},
        "swarm": {
            "node_id": f"id-{name}",
            "cluster_id": "c" if name.startswith("m") else None,
            "nodes": NODES if name.startswith("m") else None,
        },
    }
    for name in ZONES
}

# The last of three managers, where the two others have new disks.
RECOVERABLE = {
    "root": True,
    "engine": {"active": True, "answers": True, "state": "active", "control": True},
    "files": {
        "cluster_id": "vuimnu900ys1",
        "node_id": "n1",
        "manager": True,
        "peers": [{"node_id": f"n{n}", "addr": f"192.0.2.{n}:2377"} for n in (1, 2, 3)],
        "raft": {"commit": 7, "term": 2, "index": 7},
    },
    "addresses": ["192.0.2.1", "192.0.2.2", "192.0.2.3"],
}

# The tasks by the name of what they register. Numbers as templates: before ansible-core 2.19 they arrive as text.
# An image without layers: {"rootfs": {"diff_ids": []}}.
NO_LAYERS = {"names": ["a:1"], "config": "eyJyb290ZnMiOiB7ImRpZmZfaWRzIjogW119fQ==", "layers": []}
TASKS: dict[str, dict[str, Any]] = {
    "seen": {"swarm_host_info": {"docker_host": NOWHERE}},
    "ship": {"swarm_ship": {"images": [NO_LAYERS], "docker_host": NOWHERE}},
    "no_source": {
        "swarm_ship": {
            "images": [NO_LAYERS],
            "missing": {f"sha256:{'0' * 64}": 1},
            "archive": "/nowhere/shop.tar",
            "docker_host": NOWHERE,
        }
    },
    "serve": {"swarm_ship_server": {"token": "x", "docker_host": NOWHERE}},
    "images": {
        "swarm_image_report": {
            "action": "ship",
            "done": True,
            "observed": "{{ observed }}",
            "chosen": {"targets": {"shop:2": ["id-w1"]}, "nodes": {"id-w1": "w1"}, "left_out": {}},
        }
    },
    "registry": {
        "swarm_registry": {"name": "-registry", "users": [{"name": "a", "password": "b"}]}
    },
    "plan": {"swarm_plan": {"rules": {"removal_limit": "{{ 1 / 2 }}"}}},
    "refused_rules": {"swarm_plan": {"rules": {"removal_limit": "much"}}},
    "ingress": {"swarm_ingress": {"docker_host": NOWHERE, "mtu": "{{ 700 * 2 }}"}},
    "networks": {
        "swarm_network_plan": {
            "observed": "{{ observed }}",
            "networks": "{{ observed | dict2items | items2dict }}",
            "mtu": "{{ 700 * 2 }}",
            "missing": ["w9"],
        }
    },
    "no_networks": {
        "swarm_network_plan": {"observed": {}, "networks": {}, "ingress": {"gateway": "10.0.0.1"}}
    },
    "wrong_ingress": {
        "swarm_network_plan": {"observed": {}, "networks": {}, "ingress": {"mtu": "much"}}
    },
    "reboots": {"swarm_reboot_plan": {"observed": "{{ observed }}", "batch": "{{ 1 + 1 }}"}},
    "no_reboots": {"swarm_reboot_plan": {"observed": "{{ observed }}", "nodes": ["w7"]}},
    "upgrades": {
        "swarm_upgrade_plan": {
            "to": "26.1",
            "observed": "{{ observed }}",
            "found": {
                "w1": {
                    "packages": ["docker.io"],
                    "target": "26.1.5",
                    "install": {"docker.io": "26.1.5"},
                }
            },
            "nodes": ["w1"],
            "batch": "{{ 1 + 1 }}",
            "hooks": {"after": "play.yml"},
        }
    },
    "no_upgrades": {
        "swarm_upgrade_plan": {
            "to": "26.1",
            "observed": "{{ observed }}",
            "found": {},
            "nodes": ["w7"],
        }
    },
    "no_hook": {
        "swarm_upgrade_plan": {
            "to": "26.1",
            "observed": "{{ observed }}",
            "found": {},
            "hooks": {"before": "nowhere.yml", "after": 5, "later": "play.yml"},
        }
    },
    "unread_packages": {
        "swarm_upgrade_plan": {
            "to": "26.1",
            "observed": "{{ observed }}",
            # What a failed swarm_upgrade_info returns.
            "found": {
                "w1": {"failed": True, "msg": "No space left.", "packages": [], "target": ""}
            },
            "nodes": ["w1"],
        }
    },
    "imported": {"swarm_import": {"file": "/nowhere", "identity": "AGE-SECRET-KEY-1X"}},
    "restore": {
        "swarm_restore": {"file": "/nowhere", "identity": "AGE-SECRET-KEY-1X", "meta": {"a": 1}}
    },
    "restore_plan": {
        "swarm_restore_plan": {
            "path": "/nowhere",
            "identity_file": "/nowhere",
            "observed": "{{ observed }}",
            "managers": ["m1"],
        }
    },
    "cleaned": {"swarm_clean_up_report": {"observed": {"m1": {}}, "found": {}}},
    "no_references": {"swarm_references": {"docker_host": NOWHERE}},
    "reset": {"swarm_reset_plan": {"observed": {"m1": {}}, "confirm": "x"}},
    "health": {"swarm_health": {"docker_host": NOWHERE, "observed": "{{ {'m1': seen} }}"}},
    "stack": {
        "swarm_stack": {"docker_host": NOWHERE, "name": "shop", "definition": "services: {}"}
    },
    "verify": {
        "swarm_verify": {
            "docker_host": NOWHERE,
            "stacks": [{"name": "shop", "definition": "services: {}"}],
        }
    },
    "no_file": {"swarm_verify": {"stacks": [{"name": "shop", "compose": ["nowhere.yml"]}]}},
    "rotate": {"swarm_stack": {"name": "shop", "definition": "services: {}", "rotate": True}},
    "scale": {"swarm_scale": {"docker_host": NOWHERE, "services": {"shop_web": "{{ 1 + 1 }}"}}},
    "restart": {"swarm_restart": {"docker_host": NOWHERE, "services": ["shop_web"]}},
    "rollback": {"swarm_rollback": {"docker_host": NOWHERE, "services": ["shop_web"]}},
    "rebalance": {"swarm_rebalance": {"docker_host": NOWHERE}},
    "probe": {"swarm_probe": {"docker_host": NOWHERE}},
    "repair": {"swarm_repair": {"docker_host": NOWHERE}},
    "tokens": {"swarm_rotate": {"docker_host": NOWHERE, "rotate": ["worker-token"]}},
    "backup": {"swarm_backup": {"docker_host": NOWHERE, "recipients": ["age1x"]}},
    "backup_key": {"swarm_backup": {"recipients": ["age1x"], "unlock_key": KEY}},
    # Refused before it changes this machine.
    "backup_timer": {"swarm_backup_timer": {"recipients": ["nobody"]}},
    "builder": {"swarm_builder_timer": {"name": "a b", "builders": ["a b"]}},
    "builder_keys": {
        "swarm_builder_timer": {
            "name": "b1",
            "builders": ["b1"],
            "repositories": [{"name": "shop", "url": "/srv/shop.git", "deploy_key": KEY}],
        }
    },
    "gitops": {"swarm_gitops": {"app": "shop"}},
    "gitops_info": {"swarm_gitops_info": {"docker_host": NOWHERE}},
    "gitops_timer": {"swarm_gitops_timer": {"repositories": [{"name": "a b"}]}},
    "build": {"swarm_build": {"source": "shop"}},
    "builds": {"swarm_builds_report": {"found": {"b1": {}}}},
    "unlock": {"swarm_member": {"docker_host": NOWHERE, "state": "unlocked", "unlock_key": KEY}},
    "join": {"swarm_member": {"docker_host": NOWHERE, "state": "joined", "join_token": "x"}},
    "piped": {"swarm_member": {"docker_host": NOWHERE, "state": "unlocked", "unlock_key": KEY}},
    "recoverable": {"swarm_recover_info": {"docker_host": NOWHERE}},
    "recover_plan": {"swarm_recover_plan": {"observed": {"m1": RECOVERABLE}}},
    "confirmed": {
        "swarm_recover_plan": {"observed": {"m1": RECOVERABLE}, "confirm": "vuimnu900ys1"}
    },
    "no_survivor": {"swarm_recover_plan": {"observed": {"m1": {}}}},
    "recover": {"swarm_recover": {"state": "left", "cluster_id": "x", "unlock_key": KEY}},
    "adopt": {"swarm_adopt": {"docker_host": NOWHERE, "to": "new", "observed": "{{ observed }}"}},
    "adopt_to_nowhere": {"swarm_adopt": {"to": "{{ '' }}"}},
    "adopt_what": {"swarm_adopt": {"to": "new", "observed": 5}},
}
# The same on a host that cannot be reached.
LOST: dict[str, dict[str, Any]] = {
    "unreachable": {"swarm_health": {"format": "brief"}},
    "lost_stack": {"swarm_stack": {"name": "shop", "definition": "services: {}"}},
    "lost_adopt": {"swarm_adopt": {"to": "new"}},
    "lost_verify": {"swarm_verify": {"stacks": []}},
    "lost_nodes": {"swarm_nodes": {"nodes": []}},
    "lost_settings": {"swarm_settings": {"election_tick": 5}},
    "lost_ingress": {"swarm_ingress": {"mtu": 1400}},
    "lost_rotation": {"swarm_rotate": {"rotate": ["ca"]}},
    "lost_tokens": {"swarm_host_info": {"join_tokens": True}},
    "lost_references": {"swarm_references": {}},
}
# What stops before a module does, and the observation of a host that is not there.
WITHOUT_ALL_KEYS = {"refused_rules", "rotate", "no_file", "lost_nodes", "lost_settings", "lost_tokens", "lost_references"}  # fmt: skip
WITHOUT_ALL_KEYS |= {"wrong_ingress", "lost_ingress"}


class Played:
    def __init__(self, place: Path) -> None:
        tasks: list[dict[str, Any]] = [
            {
                "name": name,
                **{f"flotilla.swarm.{which}": args for which, args in call.items()},
                "register": name,
                # As where a host is down: the run goes on.
                "ignore_errors": True,
                "ignore_unreachable": True,
            }
            for name, call in TASKS.items()
        ]
        # The role's plays register so what a host said, and the plan reads it from there.
        tasks[0]["register"] = "__swarm_host"
        tasks[list(TASKS).index("piped")]["vars"] = {"ansible_pipelining": True}
        tasks.insert(1, {"ansible.builtin.set_fact": {"seen": "{{ __swarm_host }}"}})
        for name, call in LOST.items():
            tasks.append(
                {
                    "name": name,
                    **{f"flotilla.swarm.{which}": args for which, args in call.items()},
                    "delegate_to": "down",
                    "register": name,
                    "ignore_errors": True,
                    "ignore_unreachable": True,
                }
            )
        keep = {name: f"{{{{ {name} }}}}" for name in [*TASKS, *LOST]}
        tasks.append(
            {"ansible.builtin.copy": {"content": "{{ kept | to_json }}", "dest": f"{place}/said"}, "vars": {"kept": keep}}
        )  # fmt: skip
        play = {
            "hosts": "m1",
            "connection": "local",
            "gather_facts": False,
            "vars": {"observed": OBSERVED, "ansible_python_interpreter": sys.executable},
            "tasks": tasks,
        }
        inventory = {
            "all": {
                "children": {"swarm_managers": {"hosts": {"m1": {"swarm_zone": "a"}}}},
                "vars": {
                    "docker_engine_source": "none",
                    "docker_engine_disk_free_mb": "{{ 10 ** 9 }}",
                    "swarm_data_path_port": "{{ 4700 + 89 }}",
                    "docker_engine_clock_skew_limit": "{{ 3 / 2 }}",
                },
                "hosts": {
                    "down": {
                        "ansible_host": "127.0.0.1",
                        "ansible_port": 1,
                        "ansible_connection": "ssh",
                    }
                },
            }
        }
        place.joinpath("hosts.yml").write_text(yaml.safe_dump(inventory))
        place.joinpath("play.yml").write_text(yaml.safe_dump([play], sort_keys=False))
        kept = {name: value for name, value in os.environ.items() if name != "ANSIBLE_CONFIG"}
        done = subprocess.run(
            [
                str(Path(sys.executable).with_name("ansible-playbook")),
                "-i",
                "hosts.yml",
                "play.yml",
            ],
            cwd=place,
            env={
                **kept,
                "ANSIBLE_COLLECTIONS_PATH": COLLECTIONS,
                "ANSIBLE_LOCAL_TEMP": str(place / "tmp"),
                "ANSIBLE_NOCOLOR": "1",
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=300,
            check=False,
        )
        self.text = done.stdout
        assert "Traceback" not in self.text, self.text
        assert place.joinpath("said").exists(), self.text
        self.said: dict[str, dict[str, Any]] = json.loads(place.joinpath("said").read_text())


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Played:
    if not Path(sys.executable).with_name("ansible-playbook").exists():
        pytest.skip("no ansible-playbook beside this Python")
    return Played(tmp_path_factory.mktemp("actions"))


def documented(name: str) -> set[str]:
    text = (PLUGINS / "modules" / f"{name}.py").read_text(encoding="utf-8")
    keys = yaml.safe_load(text.split('RETURN = r"""')[1].split('"""')[0])
    return {key for key, value in keys.items() if value["returned"] == "always"}


def test_no_action_plugin_is_left_out() -> None:
    called = {name for call in (*TASKS.values(), *LOST.values()) for name in call}
    assert called == {path.stem for path in (PLUGINS / "action").glob("*.py")}


@pytest.mark.parametrize("name", [name for name in (*TASKS, *LOST) if name not in WITHOUT_ALL_KEYS])
def test_all_documented_keys_are_there_also_in_a_failure(played: Played, name: str) -> None:
    (module,) = {**TASKS, **LOST}[name]
    assert not documented(module) - set(played.said[name]), played.said[name]


def test_the_networks_are_planned_or_refused(played: Played) -> None:
    assert played.said["networks"]["mtu"] == 1400
    assert played.said["networks"]["failed"] is False
    assert "a gateway is set without a subnet" in played.said["no_networks"]["msg"]
    assert "ingress.mtu is 'much'" in played.said["wrong_ingress"]["msg"]


def test_a_host_says_what_it_is_and_its_clock_is_compared(played: Played) -> None:
    said = played.said["seen"]
    assert said["swarm"]["state"] == "inactive"
    assert said["clock"] == {"skew": 0.0}


def test_a_plan_compares_numbers_as_numbers_and_its_refusal_stops_the_run(played: Played) -> None:
    plan = played.said["plan"]
    assert plan["failed"]
    assert plan["failure"] == {"code": "refused", "details": {}}
    assert plan["msg"].startswith("Nothing was changed: ")
    assert "less than 1000000000 MB" in plan["msg"], plan["msg"]
    assert "PLAN  " in played.text
    assert "refused" in played.text
    wrong = played.said["refused_rules"]
    assert wrong["failed"]
    assert "removal_limit" in wrong["msg"]


def test_the_order_of_reboots_is_printed_and_is_data(played: Played) -> None:
    plan = played.said["reboots"]
    assert not plan["failed"]
    assert plan["batches"] == [["w1"]]
    assert plan["managers"] == ["m1", "m2", "m3"]
    assert "\n".join(plan["plan"]) in played.text
    refused = played.said["no_reboots"]
    assert refused["failure"] == {"code": "refused", "details": {}}
    assert "w7" in refused["msg"]


def test_the_order_of_upgrades_is_printed_and_hooks_are_files(played: Played) -> None:
    plan = played.said["upgrades"]
    assert not plan["failed"]
    assert plan["batches"] == [["w1"]]
    assert plan["packages"]["w1"]["install"] == [{"name": "docker.io", "version": "26.1.5"}]
    assert [Path(path).name for path in plan["hooks"]["after"]] == ["play.yml"]
    assert Path(plan["hooks"]["after"][0]).is_absolute()
    assert "\n".join(plan["plan"]) in played.text
    assert "w7" in played.said["no_upgrades"]["msg"]
    wrong = played.said["no_hook"]
    assert wrong["failure"]["code"] == "bad_option"
    assert "hooks has 'later', it can have before and after" in wrong["msg"]
    assert "hooks.before has 'nowhere.yml', and there is no such file" in wrong["msg"]
    assert "hooks.after is 5, it must be a path or a list of paths" in wrong["msg"]
    unread = played.said["unread_packages"]
    assert unread["failure"]["code"] == "refused"
    assert "w1: its packages could not be read" in unread["msg"]


def test_a_recovery_is_printed_and_needs_the_id_of_the_swarm(played: Played) -> None:
    assert played.said["recoverable"]["engine"]["answers"] is False
    plan = played.said["recover_plan"]
    assert plan["failed"]
    assert plan["failure"]["code"] == "not_confirmed"
    assert plan["failure"]["details"] == {"cluster_id": "vuimnu900ys1"}
    assert "swarm_recover_confirm=vuimnu900ys1" in plan["msg"]
    assert "\n".join(plan["plan"]) in played.text
    confirmed = played.said["confirmed"]
    assert not confirmed["failed"]
    assert (confirmed["survivor"], confirmed["steps"]) == ("m1", ["copy", "force", "remove"])
    assert played.said["no_survivor"]["failure"] == {"code": "refused", "details": {}}
    assert played.said["recover"]["failure"]["code"] == "no_pipelining"


def test_a_backup_takes_no_key_without_pipelining_and_no_timer_a_wrong_recipient(
    played: Played,
) -> None:
    assert played.said["backup"]["failure"]["code"] == "engine_unreachable"
    assert played.said["backup_key"]["failure"]["code"] == "no_pipelining"
    assert played.said["backup_timer"]["failure"]["code"] == "bad_option"
    assert "nobody in swarm_backup_recipients" in played.said["backup_timer"]["msg"]


def test_a_restore_needs_a_backup_and_pipelining(played: Played) -> None:
    assert played.said["restore_plan"]["failure"]["code"] == "not_found"
    assert "Set swarm_restore_from" in played.said["restore_plan"]["msg"]
    for name in ("restore", "imported"):
        assert played.said[name]["failure"]["code"] == "no_pipelining"
    assert "AGE-SECRET-KEY-1X" not in played.text


def test_a_verdict_is_printed_where_no_engine_answers_and_where_no_host_does(
    played: Played,
) -> None:
    for name, code in (("health", "engine_unreachable"), ("unreachable", "host_unreachable")):
        said = played.said[name]
        assert (said["failed"], said["verdict"], said["failure"]["code"]) == (True, "unknown", code)
        assert said["report"] in played.text
        assert documented("swarm_health") <= set(said)


def test_a_stack_fails_with_the_words_of_its_module(played: Played) -> None:
    assert played.said["stack"]["failure"]["code"] == "engine_unreachable"
    assert "rotate is true or false" in played.said["rotate"]["msg"]


@pytest.mark.parametrize(
    ("name", "attempt"),
    [
        ("lost_stack", "deploy stack shop"),
        ("lost_nodes", "change the nodes"),
        ("lost_settings", "change the settings of the swarm"),
        ("lost_tokens", "ask for the join tokens"),
        ("lost_rotation", "rotate"),
    ],
)
def test_a_manager_that_is_lost_is_a_failure_of_the_task_that_it_did_for_all(
    played: Played, name: str, attempt: str
) -> None:
    """Unreachable, in a task that runs once, ends the play for all hosts."""
    said = played.said[name]
    assert said["failed"]
    assert not said.get("unreachable")
    assert said["failure"] == {"code": "host_unreachable", "details": {}}
    assert said["msg"].startswith(
        f"Could not {attempt}: down, which acted, cannot be reached any more ("
    )
    assert said["msg"].endswith("Run again.")


def test_nothing_is_as_asked_where_nobody_could_look(played: Played) -> None:
    for name, code in (("verify", "engine_unreachable"), ("lost_verify", "host_unreachable")):
        said = played.said[name]
        assert (said["failed"], said["as_asked"], said["stacks"]) == (True, False, [])
        assert said["failure"]["code"] == code
        assert said["health"]["verdict"] == "unknown"
    assert "nowhere.yml" in played.said["no_file"]["msg"]


@pytest.mark.parametrize("name", ["scale", "restart", "rollback", "rebalance"])
def test_a_rollout_that_does_not_begin_has_changed_nothing(played: Played, name: str) -> None:
    said = played.said[name]
    assert said["failure"]["code"] == "engine_unreachable"
    assert not said["changed"]
    # What goes from one part to the next is nobody else's business.
    assert "_rollout" not in said


def test_a_secret_option_needs_pipelining(played: Played) -> None:
    said = played.said["unlock"]
    assert said["failure"] == {"code": "no_pipelining", "details": {"options": ["unlock_key"]}}
    assert "on m1: Ansible would write the value of unlock_key into a temporary file" in said["msg"]
    assert played.said["piped"]["failure"]["code"] == "engine_unreachable"
    # A join token does not, because site.yml must work with Ansible's defaults.
    assert played.said["join"]["failure"]["code"] == "engine_unreachable"
    assert KEY not in played.text


def test_an_adoption_that_does_not_begin_writes_nothing(played: Played) -> None:
    for name, code, words in (
        ("adopt", "engine_unreachable", "no engine answers at"),
        ("adopt_to_nowhere", "bad_option", "swarm_adopt_to is empty"),
        ("adopt_what", "bad_option", "observed is 5, it must be a dictionary"),
        ("lost_adopt", "host_unreachable", "Could not adopt the swarm: down"),
    ):
        said = played.said[name]
        assert said["failure"]["code"] == code, said
        assert words in said["msg"]
        assert not said["changed"]
