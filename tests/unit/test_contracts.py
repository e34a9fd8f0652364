# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What must hold in every part of the collection and no linter checks."""

from __future__ import annotations

import ast
import functools
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.playbook.block import Block
from ansible.playbook.handler import Handler
from ansible.playbook.task import Task

ROOT = Path(__file__).resolve().parents[2]
PLUGINS = ROOT / "plugins"
MODULES = sorted((PLUGINS / "modules").glob("*.py"))
FRAGMENTS = sorted((PLUGINS / "doc_fragments").glob("*.py"))
ROLES = sorted(path for path in (ROOT / "roles").glob("*") if path.is_dir())
CHANGES = sorted((ROOT / "changelogs" / "fragments").glob("*.y*ml"))
DOCUMENTS = sorted(
    path
    for pattern in ("*.md", "docs/**/*.md", "roles/*/README.md")
    for path in ROOT.glob(pattern)
    if path.name != "CHANGELOG.md"
)

PRIVATE = ("doc_fragments", "module_utils", "plugin_utils")
NO_ACTION = {*Task.fattributes, *Handler.fattributes, *Block.fattributes, "local_action"}


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def load(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


@functools.cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def strings_of(path: Path) -> dict[str, str]:
    """The string constants of a file, at its top or in a class: DOCUMENTATION and its kind."""
    found = {}
    tree = tree_of(path)
    bodies = [tree.body, *(node.body for node in tree.body if isinstance(node, ast.ClassDef))]
    for node in (node for body in bodies for node in body):
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant):
            for target in node.targets:
                if isinstance(target, ast.Name) and isinstance(node.value.value, str):
                    found[target.id] = node.value.value
    return found


def imports_of(path: Path) -> Iterator[str]:
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield node.module


def options_in(options: dict[str, Any] | None, where: str) -> Iterator[tuple[str, dict[str, Any]]]:
    for name, option in (options or {}).items():
        yield f"{where}: {name}", option
        yield from options_in(option.get("suboptions") or option.get("options"), f"{where}: {name}")


def returns_in(keys: dict[str, Any], where: str) -> Iterator[tuple[str, dict[str, Any]]]:
    for name, key in keys.items():
        yield f"{where}: {name}", key
        yield from returns_in(key.get("contains") or {}, f"{where}: {name}")


def tasks_in(document: Any) -> Iterator[dict[str, Any]]:
    """The tasks of a list of tasks or plays, blocks opened."""
    for item in document or []:
        sections = ("tasks", "pre_tasks", "post_tasks", "handlers", "block", "rescue", "always")
        nested = [section for section in sections if section in item]
        for section in nested:
            yield from tasks_in(item[section])
        if not nested and "hosts" not in item:
            yield item


def unqualified(document: Any) -> Iterator[str]:
    for task in tasks_in(document):
        for key in task:
            if key not in NO_ACTION and not key.startswith("with_") and key.count(".") < 2:
                yield f"{task.get('name', 'a task without a name')}: {key}"


def spec_of(role: Path) -> dict[str, Any]:
    return load(role / "meta" / "argument_specs.yml")["argument_specs"]["main"]


@pytest.fixture(params=MODULES, ids=lambda path: path.stem)
def module(request: pytest.FixtureRequest) -> Path:
    path: Path = request.param
    return path


@pytest.fixture(params=ROLES, ids=lambda path: path.name)
def role(request: pytest.FixtureRequest) -> Path:
    path: Path = request.param
    return path


def talks_to_an_engine(module: Path) -> bool:
    documentation = yaml.safe_load(strings_of(module)["DOCUMENTATION"])
    fragments = documentation["extends_documentation_fragment"]
    return (
        "docker_host" in (documentation.get("options") or {})
        or "flotilla.swarm._docker" in fragments
    )


def test_every_module_that_talks_to_an_engine_is_in_the_action_group_and_no_other() -> None:
    # A default for the group must not fail a module that has no such option.
    group = load(ROOT / "meta" / "runtime.yml")["action_groups"]["swarm"]
    assert sorted(group) == [path.stem for path in MODULES if talks_to_an_engine(path)]


def test_module_is_documented(module: Path) -> None:
    strings = strings_of(module)
    documentation = yaml.safe_load(strings["DOCUMENTATION"])
    assert documentation["module"] == module.stem
    assert documentation["short_description"]
    assert documentation["description"]
    fragments = documentation["extends_documentation_fragment"]
    assert "flotilla.swarm._attributes" in fragments
    in_group = "flotilla.swarm._attributes.actiongroup_swarm" in fragments
    assert in_group == talks_to_an_engine(module)
    attributes = documentation["attributes"]
    assert {"check_mode", "diff_mode", "idempotent"} <= set(attributes)
    assert attributes["check_mode"]["support"] == "full"


def test_examples_use_the_module_by_its_full_name(module: Path) -> None:
    examples = yaml.safe_load(strings_of(module)["EXAMPLES"])
    assert not list(unqualified(examples))
    assert any(f"flotilla.swarm.{module.stem}" in task for task in tasks_in(examples))


def test_every_key_that_a_module_returns_is_documented(module: Path) -> None:
    keys = yaml.safe_load(strings_of(module)["RETURN"])
    assert keys
    problems = [
        where
        for where, key in returns_in(keys, module.stem)
        if not key.get("description") or not key.get("type")
    ]
    problems += [name for name, key in keys.items() if not key.get("returned")]
    assert not problems


@pytest.mark.parametrize("path", [*MODULES, *FRAGMENTS], ids=name_of)
def test_every_option_has_a_description_and_a_type(path: Path) -> None:
    problems = [
        where
        for text in strings_of(path).values()
        if isinstance(document := yaml.safe_load(text), dict)
        for where, option in options_in(document.get("options"), path.stem)
        if not option.get("description") or not option.get("type")
    ]
    assert not problems


@pytest.mark.parametrize("path", [*MODULES, *FRAGMENTS], ids=name_of)
def test_no_private_argument_is_documented(path: Path) -> None:
    found = [
        name
        for text in strings_of(path).values()
        if isinstance(document := yaml.safe_load(text), dict)
        for name in document.get("options") or {}
        if name.startswith("_")
    ]
    assert not found


def test_every_action_plugin_has_the_documentation_of_a_module() -> None:
    actions = {path.stem for path in (PLUGINS / "action").glob("*.py")}
    assert not actions - {path.stem for path in MODULES}


@pytest.mark.parametrize("kind", ["filter", "lookup"])
def test_filters_and_lookups_are_documented(kind: str) -> None:
    for path in (PLUGINS / kind).glob("*.py"):
        assert path.with_suffix(".yml").exists() or "DOCUMENTATION" in strings_of(path), path.name


# The packages of module_utils, from the ground up: a package imports what stands below it, never beside or above.
FLOORS = (
    *("_common", "_model", "_api", "_host", "_git", "_registry", "_notify"),
    *(
        "_scheduler",
        "_images",
        "_engine",
        "_spec",
        "_services",
        "_nodes",
        "_cluster",
        "_network",
        "_stack",
        "_probe",
        "_repair",
        "_health",
    ),
    *("_lifecycle", "_builder", "_gitops", "_report"),
)
# What a module that decides must not touch: files, processes, sockets and the clock.
IO = {
    *(
        "asyncio",
        "fcntl",
        "glob",
        "http",
        "multiprocessing",
        "os",
        "pathlib",
        "requests",
        "select",
        "shutil",
    ),
    *(
        "signal",
        "socket",
        "socketserver",
        "ssl",
        "subprocess",
        "tempfile",
        "threading",
        "time",
        "urllib",
    ),
}
PURE = re.compile(r"\bPure\b|\bNo I/O\b")
# Every plan, every verdict and every guard.
DECIDES = {
    *(
        "_cluster/identity",
        "_cluster/membership",
        "_cluster/node_labels",
        "_cluster/rounds",
        "_cluster/run_plan",
        "_cluster/steps",
        "_cluster/variables",
        "_engine/plan",
        "_engine/preflight",
    ),
    *(
        "_health/checks",
        "_health/network_checks",
        "_health/node_checks",
        "_health/report",
        "_health/service_checks",
        "_lifecycle/clean_up_plan",
        "_lifecycle/clean_up_report",
        "_lifecycle/references",
        "_lifecycle/reset_plan",
        "_model/mtu",
        "_network/ingress_plan",
        "_network/plan",
        "_nodes/marks",
        "_nodes/moves",
        "_nodes/reboot",
        "_nodes/rolling",
        "_scheduler/balance",
        "_scheduler/placement",
        "_services/convergence",
    ),
    *(
        "_spec/band",
        "_spec/changes",
        "_spec/display",
        "_spec/redaction",
        "_stack/compose",
        "_stack/plan",
    ),
    *(
        "_stack/cli_output",
        "_stack/networks",
        "_stack/planning",
        "_stack/refusals",
        "_stack/removal",
    ),
    *("_stack/revisions", "_stack/rotation", "_stack/waves", "_stack/writes"),
    *("_lifecycle/hazards", "_lifecycle/package_offers", "_lifecycle/upgrade"),
    *("_git/keys", "_host/units"),
    *("_lifecycle/backup_plan", "_lifecycle/backup_units"),
    *("_lifecycle/export_content", "_lifecycle/import_plan", "_lifecycle/restore_plan"),
    *("_lifecycle/adoption", "_lifecycle/compose_of"),
    *("_builder/plan", "_builder/report", "_builder/settings", "_builder/sources"),
    *("_notify/files", "_registry/reference"),
    *("_registry/inventory", "_registry/plan", "_registry/reference", "_registry/settings"),
    *("_health/picture", "_report/cleaning", "_report/content", "_report/headlines"),
    *("_report/history", "_report/language", "_report/planned", "_report/summary"),
    *("_report/records", "_report/states"),
    *("_probe/evaluate", "_probe/observations", "_probe/report", "_probe/request"),
    *("_repair/faults", "_repair/plan"),
}


def utils() -> Iterator[tuple[str, Path, ast.Module]]:
    """Every module of module_utils that holds something: as PACKAGE/NAME, its file and its tree."""
    for path in sorted((PLUGINS / "module_utils").rglob("*.py")):
        tree = tree_of(path)
        if path.name != "__init__.py" or tree.body:
            yield name_of(path)[len("plugins/module_utils/") : -len(".py")], path, tree


def neighbours(tree: ast.Module, package: str) -> Iterator[str]:
    """What a module of a package imports of module_utils, as PACKAGE/NAME."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.level == 1:
            for name in [node.module] if node.module else [alias.name for alias in node.names]:
                yield f"{package}/{name}"
        elif isinstance(node, ast.ImportFrom) and node.level == 2:
            where = str(node.module).split(".")
            for name in where[1:] or [alias.name for alias in node.names]:
                yield f"{where[0]}/{name}"


def test_every_package_stands_on_the_floors_below_it() -> None:
    found = {name: set(neighbours(tree, name.split("/")[0])) for name, _path, tree in utils()}
    assert {name.split("/")[0] for name in found} == set(FLOORS)
    problems = [
        f"{name} imports {other}"
        for name, others in found.items()
        for other in others
        if other.split("/")[0] != name.split("/")[0]
        and FLOORS.index(other.split("/")[0]) >= FLOORS.index(name.split("/")[0])
    ]
    assert not problems
    # And within a package nothing goes round in circles.
    left = dict(found)
    while free := [name for name, others in left.items() if not others & left.keys()]:
        for name in free:
            del left[name]
    assert not left


def test_imports_of_our_own_are_relative() -> None:
    problems = [
        name_of(path)
        for path in PLUGINS.rglob("*.py")
        for name in imports_of(path)
        if name.startswith("ansible_collections.")
    ]
    assert not problems


def test_what_decides_does_no_io() -> None:
    pure = {
        name: (path, tree)
        for name, path, tree in utils()
        if PURE.search(ast.get_docstring(tree) or "")
    }
    assert pure.keys() >= DECIDES
    problems = [
        f"{name} imports {other}"
        for name, (path, tree) in pure.items()
        for other in (
            *(each for each in imports_of(path) if each.partition(".")[0] in IO),
            *(each for each in neighbours(tree, name.split("/")[0]) if each.startswith("_api/")),
            *(each for each in neighbours(tree, name.split("/")[0]) if each == "_common/waiting"),
        )
    ]
    assert not problems


def test_only_the_client_imports_the_docker_sdk() -> None:
    importers = {
        name_of(path)
        for path in PLUGINS.rglob("*.py")
        for name in imports_of(path)
        if name.partition(".")[0] == "docker"
    }
    assert importers == {"plugins/module_utils/_api/client.py"}


def codes_in(tree: ast.Module) -> Iterator[str]:
    """The failure codes that a file raises or puts into a result."""
    for node in ast.walk(tree):
        found: list[ast.expr | None] = []
        if isinstance(node, ast.Call):
            name = getattr(node.func, "id", "")
            found = list(node.args[:1]) if name in ("SwarmError", "Problem") else []
        elif isinstance(node, ast.Dict):
            found = [v for k, v in zip(node.keys, node.values) if ast.unparse(k or v) == "'code'"]
        for value in found:
            if isinstance(value, ast.Constant) and isinstance(value.value, str):
                yield value.value


def test_every_failure_code_is_documented_and_exists() -> None:
    trees = [tree_of(path) for path in PLUGINS.rglob("*.py")]
    raised = {code for tree in trees for code in codes_in(tree)}
    text = (ROOT / "docs" / "results.md").read_text(encoding="utf-8")
    listed = re.findall(r"^\| `(\w+)` \| .* \|$", text.split("## Failure codes")[1], re.MULTILINE)
    assert listed == sorted(set(listed))
    assert raised <= set(listed)
    written = {
        node.value
        for tree in trees
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    assert set(listed) <= written


def test_what_other_collections_must_not_use_says_so() -> None:
    # An __init__.py is there for its package alone, and empty.
    paths = [p for kind in PRIVATE for p in (PLUGINS / kind).rglob("*.py") if p.stat().st_size]
    assert paths
    problems = [
        name_of(path)
        for path in paths
        if not any(part.startswith("_") for part in path.relative_to(PLUGINS).parts)
        or "private to" not in path.read_text(encoding="utf-8")[:600].lower()
    ]
    assert not problems


def test_every_python_file_names_its_licence() -> None:
    places = ("plugins", "tests", "lab", "bench", "molecule")
    problems = [
        name_of(path)
        for place in places
        for path in (ROOT / place).rglob("*.py")
        if "output" not in path.parts
        and path.stat().st_size
        and "SPDX-License-Identifier: GPL-3.0-or-later" not in path.read_text(encoding="utf-8")
    ]
    assert not problems


def test_role_defaults_and_argument_specs_are_the_same(role: Path) -> None:
    path = role / "defaults" / "main.yml"
    defaults = (load(path) or {}) if path.exists() else {}
    options = spec_of(role).get("options") or {}
    assert not set(defaults) - set(options), "not in meta/argument_specs.yml"
    with_default = {name for name, option in options.items() if "default" in option}
    assert not with_default - set(defaults), "not in defaults/main.yml"
    # What is computed for each host is told in words there.
    computed = {name for name, value in defaults.items() if "{{" in str(value)}
    different = {
        name: (defaults[name], options[name].get("default"))
        for name in set(defaults) - computed
        if defaults[name] != options[name].get("default")
    }
    assert not different


def test_the_plan_may_take_the_inputs_of_docker_engine_for_the_variables_of_the_role() -> None:
    """plugin_utils/_inputs.py, HostVariables.engine: each variable only names an input or what the family has."""
    role = ROOT / "roles" / "docker_engine"
    options = load(role / "meta" / "argument_specs.yml")["argument_specs"]["main"]["options"]
    variables = load(role / "vars" / "main.yml")
    families = variables["__docker_engine_families"]
    of_family = {"package_names": "packages"}
    for name, template in variables["__docker_engine_variables"].items():
        option = options.get(f"docker_engine_{name}")
        if name == "registries":
            assert template == "{{ __docker_engine_registries }}"
        elif option is None:
            part = of_family.get(name, name)
            assert template == f"{{{{ __docker_engine_family.{part} }}}}", name
            assert all(part in family for family in families.values()), name
        else:
            # Some say their type, for users whose templates give types; the spec has it as well.
            of_type = {"bool": "bool", "str": "string"}.get(option["type"], "")
            plain = f"{{{{ docker_engine_{name} }}}}"
            assert template in (plain, plain.replace(" }}", f" | {of_type} }}}}")), name
    assert "{{" not in str(families)


def test_role_options_are_described(role: Path) -> None:
    spec = spec_of(role)
    assert spec["short_description"]
    assert spec["description"]
    problems = [
        where
        for where, option in options_in(spec.get("options"), role.name)
        if not option.get("description") or not option.get("type")
    ]
    assert not problems


def test_role_options_have_a_prefix(role: Path) -> None:
    prefix = "swarm_" if role.name in {"swarm_manager", "swarm_worker"} else f"{role.name}_"
    assert not [name for name in spec_of(role).get("options") or {} if not name.startswith(prefix)]


def test_role_has_a_readme(role: Path) -> None:
    readme = (role / "README.md").read_text(encoding="utf-8")
    assert f"flotilla.swarm.{role.name}" in readme


def test_tasks_use_full_names() -> None:
    paths = [
        path
        for pattern in ("roles/*/tasks/**/*.yml", "roles/*/handlers/*.yml", "playbooks/**/*.yml")
        for path in ROOT.glob(pattern)
    ]
    problems = [f"{name_of(path)}: {found}" for path in paths for found in unqualified(load(path))]
    assert not problems


@pytest.mark.parametrize("path", CHANGES, ids=lambda path: path.name)
def test_changelog_fragment(path: Path) -> None:
    sections = [name for name, title in load(ROOT / "changelogs" / "config.yaml")["sections"]]
    fragment = load(path)
    assert fragment
    assert not set(fragment) - {*sections, "release_summary", "trivial"}
    for section, entries in fragment.items():
        texts = [entries] if section == "release_summary" else entries
        assert isinstance(texts, list)
        assert texts
        for text in texts:
            assert isinstance(text, str)
            assert text.strip().endswith((".", ")")), text


def test_there_are_changelog_fragments_for_the_version_that_galaxy_is_told() -> None:
    assert CHANGES
    releases = load(ROOT / "changelogs" / "changelog.yaml")["releases"]
    assert load(ROOT / "galaxy.yml")["version"] in releases


@pytest.mark.parametrize("path", DOCUMENTS, ids=name_of)
def test_links_and_make_targets_in_documents_exist(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    links = re.findall(r"\]\(([^)#\s]+)(?:#[^)\s]*)?\)", text)
    missing = [
        link
        for link in links
        if "://" not in link
        and not link.startswith("mailto:")
        and not (path.parent / link).exists()
    ]
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in re.findall(r"`(?:[A-Z_]+=\S+ )*make ([a-z][a-z-]*)", text):
        if not re.search(rf"^{target}:", makefile, re.MULTILINE):
            missing.append(f"make {target}")
    assert not missing


@pytest.mark.parametrize(
    "path", sorted(ROOT.glob("playbooks/**/*.yml")), ids=lambda path: path.stem
)
def test_a_task_file_is_named_by_its_folder(path: Path) -> None:
    """Ansible looks for `hosts.yml` in the folder of the user before it looks beside the file that includes it."""
    found = re.findall(r"(?:include|import)_tasks: (.+)", path.read_text(encoding="utf-8"))
    assert not [name for name in found if not name.startswith(("tasks/", '"{{'))]
