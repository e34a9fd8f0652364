# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A repository on a real git: what a host reads of it, what it refuses, and a change that it pushes."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from ansible_collections.flotilla.swarm.plugins.module_utils._common.errors import SwarmError
from ansible_collections.flotilla.swarm.plugins.module_utils._git.repository import (
    REF,
    Access,
    Repository,
    bad_access,
    environment_of,
    options_of,
    printable,
    redacted,
    ssh_command,
)

AUTHOR = "Flotilla <flotilla@swarm.example>"


class Work:
    """Somebody who works on the repository."""

    def __init__(self, folder: Path) -> None:
        self.bare, self.tree = folder / "shop.git", folder / "work"
        self.git("init", "-q", "--bare", "-b", "main", str(self.bare), at=folder)
        self.git("clone", "-q", str(self.bare), str(self.tree), at=folder)

    def git(self, *words: str, at: Path | None = None) -> str:
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.bare.parent),
            "GIT_CONFIG_NOSYSTEM": "1",
            **{f"GIT_{who}_NAME": "Ada" for who in ("AUTHOR", "COMMITTER")},
            **{f"GIT_{who}_EMAIL": "ada@shop.example" for who in ("AUTHOR", "COMMITTER")},
        }
        done = subprocess.run(
            ["git", "-c", "init.defaultBranch=main", *words],
            cwd=at or self.tree,
            env=environment,
            check=True,
            capture_output=True,
            text=True,
        )
        return done.stdout.strip()

    def commit(self, message: str = "Change", *flags: str, **files: str) -> str:
        for name, text in files.items():
            path = self.tree / name.replace("__", "/").replace("_", ".")
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)
        self.git("add", "-A")
        self.git("commit", "-q", "--allow-empty", "-m", message, *flags)
        self.git("push", "-q", "--force", "origin", "HEAD:main")
        return self.git("rev-parse", "HEAD")


@pytest.fixture
def work(tmp_path: Path) -> Work:
    return Work(tmp_path)


@pytest.fixture
def seen(work: Work, tmp_path: Path) -> Repository:
    return Repository("shop", str(tmp_path / "copy.git"), Access(str(work.bare)))


def look(seen: Repository) -> str:
    """Fetch the head of main."""
    head = seen.remote_head("main")
    seen.fetch("refs/heads/main", head)
    return head


def failure(work: Work, seen: Repository) -> str:
    with pytest.raises(SwarmError) as caught:
        look(seen)
    return caught.value.code


def test_a_commit_is_found_fetched_and_read(work: Work, seen: Repository) -> None:
    commit = work.commit(
        "Add the shop\n\nMore.", app_yml="name: shop", web__compose_yml="services: {}"
    )
    assert look(seen) == commit
    about = seen.commit(commit)
    assert (about.subject, about.author) == ("Add the shop", "Ada")
    assert seen.read(commit, "./web/compose.yml") == b"services: {}"
    assert [entry.path for entry in seen.files(commit)] == ["app.yml", "web/compose.yml"]
    assert [entry.path for entry in seen.files(commit, "web")] == ["web/compose.yml"]
    # Nothing is written where nothing is new.
    assert seen.has(commit)


def test_the_last_change_of_a_folder_and_what_changed(work: Work, seen: Repository) -> None:
    first = work.commit(a__app_yml="1", b__app_yml="1")
    second = work.commit(b__app_yml="2")
    head = look(seen)
    assert (head, seen.last_change(head, "a"), seen.last_change(head, "b")) == (
        second,
        first,
        second,
    )
    assert seen.changed_paths(first, second) == ["b/app.yml"]


@pytest.mark.parametrize(
    "path", ["../secret", "/etc/passwd", "a/../../b", "missing", "web", "link"]
)
def test_only_files_of_the_repository_are_read(path: str, work: Work, seen: Repository) -> None:
    (work.tree / "link").symlink_to("/etc/passwd")
    commit = work.commit(web__compose_yml="x")
    look(seen)
    with pytest.raises(SwarmError) as caught:
        seen.read(commit, path)
    assert caught.value.code in ("bad_option", "not_found")
    # A link is no file with data.
    assert {entry.path: entry.kind for entry in seen.files(commit)}["link"] == "link"


def test_a_file_that_is_too_large_is_refused(work: Work, seen: Repository) -> None:
    commit = work.commit(big="x" * 1000)
    look(seen)
    assert len(seen.read(commit, "big", largest=1000)) == 1000
    with pytest.raises(SwarmError, match="1000 bytes"):
        seen.read(commit, "big", largest=999)


def test_a_repository_that_is_too_large_is_refused_and_leaves_nothing(
    work: Work, tmp_path: Path
) -> None:
    (work.tree / "big").write_bytes(os.urandom(2 << 20))
    work.commit()
    for largest in (1 << 20, (2 << 20) + 1000):
        small = Repository("shop", str(tmp_path / "small.git"), Access(str(work.bare)), largest)
        assert failure(work, small) == "git_too_large"
        assert not os.path.exists(small.folder)


def test_a_history_that_was_rewritten_is_noticed(work: Work, seen: Repository) -> None:
    first = work.commit(a="1")
    look(seen)
    second = work.commit(a="2")
    look(seen)
    assert seen.is_ancestor(first, second)
    work.git("reset", "-q", "--hard", first)
    other = work.commit(a="3")
    assert look(seen) == other
    assert seen.is_ancestor(first, other)
    assert not seen.is_ancestor(second, other)
    seen.forget()
    assert not seen.is_ancestor(first, other)


def test_what_cannot_be_reached_or_is_not_there_says_so(
    work: Work, seen: Repository, tmp_path: Path
) -> None:
    work.commit()
    with pytest.raises(SwarmError, match="it has no branch other") as caught:
        seen.remote_head("other")
    assert caught.value.code == "no_branch"
    gone = Repository("shop", str(tmp_path / "x"), Access(str(tmp_path / "nothing")))
    assert failure(work, gone) == "git_unreachable"
    # What is broken on this host is made again after it was removed.
    look(seen)
    (Path(seen.folder) / "HEAD").unlink()
    commit = work.commit(a="5")
    assert look(seen) == commit


def test_hooks_and_filters_of_a_repository_do_not_run(
    work: Work, seen: Repository, tmp_path: Path
) -> None:
    mark = tmp_path / "ran"
    commit = work.commit(_gitattributes="* filter=evil\n", a="1")
    look(seen)
    hook = Path(seen.folder) / "hooks" / "reference-transaction"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(f"#!/bin/sh\ntouch {mark}\n")
    hook.chmod(0o755)
    work.commit(a="2")
    look(seen)
    seen.archive(commit, str(tmp_path / "tree.tar"))
    assert not mark.exists()


def test_only_signed_commits_are_accepted(work: Work, seen: Repository, tmp_path: Path) -> None:
    keys = {}
    for name in ("ada", "eve"):
        key = tmp_path / name
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
        keys[name] = str(key)
    signers = tmp_path / "signers"
    signers.write_text(f"ada@shop.example {Path(keys['ada'] + '.pub').read_text()}")

    def signed(name: str, **files: str) -> str:
        work.git("config", "gpg.format", "ssh")
        work.git("config", "user.signingkey", keys[name])
        return work.commit("Signed", "-S", **files)

    first = signed("ada", a="1")
    look(seen)
    seen.check_signatures("", first, str(signers))
    unsigned = work.commit(a="2")
    top = signed("ada", a="3")
    look(seen)
    # The one that is not signed is below one that is.
    with pytest.raises(SwarmError) as caught:
        seen.check_signatures(first, top, str(signers))
    assert caught.value.details == {"commit": unsigned}
    seen.check_signatures(unsigned, top, str(signers))
    stranger = signed("eve", a="4")
    look(seen)
    with pytest.raises(SwarmError, match="no allowed signer has signed it"):
        seen.check_signatures(top, stranger, str(signers))
    # A change that is made here is signed too.
    mine = seen.push_change(
        "main", stranger, {"a": b"5"}, "Update", "Ada <ada@shop.example>", keys["ada"]
    )
    seen.check_signatures(stranger, mine, str(signers))


def test_a_change_is_one_commit_on_top_and_keeps_modes(work: Work, seen: Repository) -> None:
    (work.tree / "run").write_text("1")
    (work.tree / "run").chmod(0o755)
    head = work.commit(web__compose_yml="old", other="stays")
    look(seen)
    made = seen.push_change(
        "main", head, {"web/compose.yml": b"new", "run": b"2"}, "Update shop_web: 1 -> 2\n", AUTHOR
    )
    assert seen.remote_head("main") == made
    work.git("pull", "-q", "origin", "main")
    assert (
        work.git("log", "-1", "--format=%s|%an|%ae|%P")
        == f"Update shop_web: 1 -> 2|Flotilla|flotilla@swarm.example|{head}"
    )
    assert (work.tree / "web" / "compose.yml").read_text() == "new"
    assert (work.tree / "other").read_text() == "stays"
    assert os.access(work.tree / "run", os.X_OK)
    assert not [name for name in os.listdir(seen.folder) if name.startswith("index-")]


def test_a_push_that_loses_a_race_can_be_made_again_on_top(work: Work, seen: Repository) -> None:
    head = work.commit(a="1", b="1")
    look(seen)
    theirs = work.commit(b="2")
    with pytest.raises(SwarmError) as caught:
        seen.push_change("main", head, {"a": b"2"}, "Update", AUTHOR)
    assert caught.value.code == "git_raced"
    assert look(seen) == theirs
    made = seen.push_change("main", theirs, {"a": b"2"}, "Update", AUTHOR)
    assert (seen.read(made, "a"), seen.read(made, "b")) == (b"2", b"2")
    with pytest.raises(SwarmError, match="is no file of commit"):
        seen.push_change("main", made, {"new": b""}, "Update", AUTHOR)


# What reaches a command line


@pytest.mark.parametrize(
    "url",
    [
        "ext::sh -c touch% /tmp/x",
        "-oProxyCommand=x",
        "ssh://-oProxyCommand=x/y",
        "git@-x:y",
        "ssh://git@-x/y",
        "file:///x",
        "https://a b",
        "git@host:-x",
        "",
        "x",
    ],
)
def test_an_address_that_is_none_is_refused(url: str) -> None:
    assert bad_access(Access(url))


@pytest.mark.parametrize(
    "url",
    [
        "ssh://git@git.example:2222/shop.git",
        "git@git.example:shop.git",
        "https://git.example/a/b.git",
        "/srv/git/shop.git",
    ],
)
def test_addresses_of_repositories(url: str) -> None:
    assert bad_access(Access(url), ["main", "release/1.2", "v1.0"]) == ""


def test_a_password_in_an_address_is_refused_and_not_shown() -> None:
    assert "password" in bad_access(Access("https://ada:hunter2@git.example/a.git"))
    assert "hunter2" not in redacted("fatal: https://ada:hunter2@git.example/a.git: no")


@pytest.mark.parametrize(
    "ref",
    [
        "-x",
        "a..b",
        "a b",
        "x~1",
        "x^",
        "a//b",
        "x.lock",
        ".",
        "a/.b",
        "x/",
        "@{1}",
        "a\nb",
        "a:b",
        "*",
    ],
)
def test_names_that_are_no_branch(ref: str) -> None:
    assert not REF.fullmatch(ref)
    assert bad_access(Access("/srv/x"), [ref])


def test_ssh_knows_the_server_or_refuses_it() -> None:
    command = ssh_command(Access("git@h:x", key="/etc/my keys/id", known_hosts="/etc/hosts known"))
    assert "StrictHostKeyChecking=yes" in command
    assert "-i '/etc/my keys/id'" in command
    assert "'UserKnownHostsFile=/etc/hosts known'" in command
    assert "GIT_SSH_COMMAND" not in environment_of(None)


def test_a_token_is_in_no_argument(tmp_path: Path) -> None:
    file = tmp_path / "it's a token"
    file.write_text("hunter2")
    words = options_of(Access("https://git.example/x", token_file=str(file), user="ada"))
    assert "hunter2" not in " ".join(words)
    asked = subprocess.run(
        ["git", "-c", "credential.helper=", *words, "credential", "fill"],
        input="protocol=https\nhost=git.example\n\n",
        env={**environment_of(None), "PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    )
    assert {"username=ada", "password=hunter2"} <= set(asked.stdout.splitlines())


def test_a_text_of_others_is_one_line_without_escapes() -> None:
    assert printable("a\x1b[31m\nb\u202e") == "a?[31m b?"
    assert len(printable("x" * 1000)) == 300
