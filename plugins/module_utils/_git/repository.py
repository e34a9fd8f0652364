# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""A git repository that a host follows: what its branches point to, its files, its signatures, and a commit on top.

It is a bare repository, read from the object store. There is no working tree, so no hook, filter, attribute or symbolic link of the
repository has an effect, and its files are data.
"""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import shutil
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from .._common.errors import SwarmError
from .._host.commands import MOST, Done, run

# An object of git, in full.
COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
# What follows a branch or a tag: no revision syntax, no option, nothing that git refuses (git-check-ref-format(1)).
REF = re.compile(r"(?!-)(?!.*(?:\.\.|//|@\{|\.lock(?:/|$)|/\.|\.$|/$))[^\x00-\x20\x7f~^:?*\[\\]+")
# The ways to a repository. No ext::, which runs a program, and no option.
URL = re.compile(
    r"(?:https?|ssh|git)://(?:[^\s/@]+@)?[\w\[][\w.:\]-]*/[^\s\x00-\x1f]+|[\w.]+@\w[\w.-]*:[^\s\x00-\x1f-][^\s\x00-\x1f]*|/[^\x00-\x1f]+"
)
_USER_INFO = re.compile(r"(?<=://)[^/@\s]*@")
# Bytes of a repository and of a file in it, files in a listing, new commits whose signatures are checked, attempts to push.
LARGEST, LARGEST_FILE, MOST_FILES, MOST_COMMITS, PUSHES = 256 << 20, 4 << 20, 100_000, 1000, 5
# Seconds to ask a server, to fetch from it or push to it, and for a command on this host.
ASK, TRANSFER, LOCAL = 20.0, 300.0, 60.0


@dataclass(frozen=True)
class Access:
    """How a repository is reached. Its files are for root alone.

    `key` is the private key for ssh, `known_hosts` has the keys of servers, `token_file` the password or token for https,
    `ca_file` the authority of the server's certificate.
    """

    url: str
    key: str = ""
    known_hosts: str = ""
    token_file: str = ""
    user: str = "git"
    ca_file: str = ""


@dataclass(frozen=True)
class Commit:
    """A commit as people see it."""

    id: str
    subject: str
    author: str
    at: int  # seconds since 1970, when it was committed


@dataclass(frozen=True)
class Entry:
    """A file in a commit. `kind` is blob, or what else has no data of its own: a link, or a submodule."""

    path: str
    kind: str
    size: int


@dataclass(frozen=True)
class Repository:
    """One repository in a folder of this host. Everything that asks the server can raise git_unreachable, everything else git_failed."""

    name: str  # in messages
    folder: str
    access: Access
    largest: int = LARGEST

    # The server

    def remote_refs(self, pattern: str) -> dict[str, str]:
        """The commits by ref that match, such as refs/heads/main or refs/tags/v*: one request, and no transfer."""
        done = self._remote(
            ["ls-remote", "--", self.access.url, pattern], f"ask {self.name} for {pattern}", ASK
        )
        found = {}
        for line in done.output.decode(errors="replace").splitlines():
            commit, _tab, ref = line.partition("\t")
            if COMMIT.fullmatch(commit):
                # An annotated tag is listed once more, with the commit that it points to.
                found[ref.removesuffix("^{}")] = commit
        return found

    def remote_head(self, branch: str) -> str:
        """The commit of a branch on the server. Raises no_branch."""
        ref = f"refs/heads/{branch}"
        found = self.remote_refs(ref).get(ref)
        if found is None:
            raise SwarmError(
                "no_branch",
                f"Could not read {self.name}: it has no branch {branch}. Create the branch, or correct its name.",
            )
        return found

    def fetch(self, ref: str, commit: str) -> None:
        """Have this commit, which the server has under the ref. Of what is there already, nothing is transferred."""
        if self.has(commit):
            return
        self._create()
        words = ["fetch", "--no-tags", "--force", "--no-write-fetch-head", "--quiet"]
        failure: SwarmError | None = None
        try:
            self._remote(
                [*words, "--", self.access.url, f"{ref}:refs/flotilla/{ref}"],
                f"fetch {self.name}",
                TRANSFER,
            )
        except SwarmError as error:
            failure = error
        # A transfer that has reached the limit of a file has failed.
        if size_of(self.folder) > self.largest:
            self.forget()
            failure = SwarmError(
                "git_too_large",
                f"Could not fetch {self.name}: it is larger than the limit of {self.largest >> 20} MB. Move large files out of the"
                " repository and its history.",
            )
        if failure is not None:
            raise failure
        if not self.has(commit):
            raise SwarmError(
                "git_unreachable",
                f"Could not fetch {self.name}: {ref} has moved meanwhile. The next look finds the new commit.",
            )

    def forget(self) -> None:
        """Remove the copy on this host; the next fetch makes a new one."""
        shutil.rmtree(self.folder, ignore_errors=True)

    # What is here

    def has(self, commit: str) -> bool:
        """Whether the commit is here, with all that belongs to it."""
        if not os.path.isdir(self.folder):
            return False
        done = self._git(["cat-file", "-e", f"{checked(commit)}^{{tree}}"])
        return done.ok

    def is_ancestor(self, old: str, new: str) -> bool:
        """Whether the history of a commit has the other one. What is not here any more has been rewritten."""
        return (
            self.has(old)
            and self._git(["merge-base", "--is-ancestor", checked(old), checked(new)]).ok
        )

    def commit(self, commit: str) -> Commit:
        """A commit as people see it."""
        done = self._must(
            [
                "show",
                "--no-patch",
                "--no-show-signature",
                "--format=%an%x00%ct%x00%s",
                checked(commit),
            ],
            f"read commit {commit[:12]}",
        )
        author, at, subject = done.output.decode(errors="replace").rstrip("\n").split("\0", 2)
        return Commit(commit, printable(subject), printable(author), int(at))

    def last_change(self, commit: str, folder: str) -> str:
        """The latest commit that changed a folder; the commit itself where none did."""
        done = self._must(
            ["rev-list", "-1", checked(commit), "--", folder or "."],
            f"look for changes of {folder or 'the repository'}",
        )
        return done.output.decode().strip() or commit

    def changed_paths(self, old: str, new: str) -> list[str]:
        """The files that differ between two commits."""
        done = self._must(
            ["diff-tree", "-r", "-z", "--name-only", "--no-renames", checked(old), checked(new)],
            "compare two commits",
        )
        return [path for path in done.output.decode(errors="replace").split("\0") if path]

    def files(self, commit: str, folder: str = "") -> list[Entry]:
        """The files of a commit below a folder, by their paths in the repository. Raises git_too_large."""
        words = ["ls-tree", "-r", "-z", "-l", "--full-tree", checked(commit)]
        done = self._must([*words, "--", f"{folder}/"] if folder else words, "list the files")
        found = []
        for line in done.output.decode(errors="surrogateescape").split("\0"):
            if line:
                about, _tab, path = line.partition("\t")
                mode, kind, _id, size = about.split()
                is_file = kind == "blob" and mode != "120000"
                found.append(
                    Entry(path, "blob" if is_file else "link", int(size) if is_file else 0)
                )
        if len(found) > MOST_FILES:
            raise SwarmError(
                "git_too_large",
                f"Could not read {self.name}: it has {len(found)} files, and the limit is {MOST_FILES}.",
            )
        return found

    def read(self, commit: str, path: str, largest: int = LARGEST_FILE) -> bytes:
        """The data of a file. Raises not_found, git_too_large, or bad_option for a path that leaves the repository."""
        clean = os.path.normpath(path)
        if os.path.isabs(clean) or clean.split("/")[0] == ".." or "\0" in clean:
            raise SwarmError(
                "bad_option",
                f"Could not read {path} of {self.name}: it is outside of the repository.",
            )
        listed = self._must(
            ["ls-tree", "-z", "-l", "--full-tree", checked(commit), "--", clean],
            f"look for {clean}",
        )
        about, _tab, found = (
            listed.output.decode(errors="surrogateescape").rstrip("\0").partition("\t")
        )
        words = about.split()
        if found != clean or len(words) != 4 or words[1] != "blob":
            raise SwarmError(
                "not_found",
                f"Could not read {clean} of {self.name}: commit {commit[:12]} has no such file.",
            )
        if words[0] == "120000":
            raise SwarmError(
                "not_found",
                f"Could not read {clean} of {self.name}: it is a symbolic link, which is not followed. Name the file itself.",
            )
        if int(words[3]) > largest:
            raise SwarmError(
                "git_too_large",
                f"Could not read {clean} of {self.name}: it has {words[3]} bytes, and the limit is {largest}.",
            )
        return self._must(["cat-file", "blob", words[2]], f"read {clean}", most=largest + 1).output

    def check_signatures(self, old: str, new: str, signers: str) -> None:
        """Raise unsigned unless each commit that came after `old` is signed by one of the allowed signers (a file, ssh-keygen(1)).

        Without `old`, the commit itself is checked, because there is no beginning to check from.
        """
        one = not old or not self.has(old)
        words = (
            ["-1", checked(new)]
            if one
            else [f"--max-count={MOST_COMMITS + 1}", checked(new), f"^{checked(old)}"]
        )
        commits = (
            self._must(["rev-list", *words, "--"], "list the new commits").output.decode().split()
        )
        if len(commits) > MOST_COMMITS:
            raise SwarmError(
                "git_too_large",
                f"Could not check the signatures of {self.name}: there are more than {MOST_COMMITS} new commits.",
            )
        for commit in commits:
            done = self._git(
                ["-c", f"gpg.ssh.allowedSignersFile={signers}", "verify-commit", commit]
            )
            if not done.ok:
                raise SwarmError(
                    "unsigned",
                    f"Could not accept commit {commit[:12]} of {self.name}: no allowed signer has signed it. Sign it, or add the signer"
                    " to the allowed signers.",
                    commit=commit,
                )

    def archive(self, commit: str, path: str, folder: str = "") -> None:
        """Write the files of a commit, or those below a folder, as a tar file."""
        words = ["archive", "--format=tar", f"--output={path}", checked(commit)]
        done = self._git(
            [*words, "--", folder] if folder else words, TRANSFER, largest_file=self.largest * 4
        )
        if not done.ok:
            raise self._failed(f"archive commit {commit[:12]}", done)

    # A commit on top

    def push_change(
        self,
        branch: str,
        on: str,
        files: Mapping[str, bytes],
        message: str,
        author: str,
        signing_key: str = "",
    ) -> str:
        """Put a commit on top of `on`, the head of the branch, and push it; returns the commit.

        Files keep their mode. Raises git_raced if the branch has moved meanwhile, so that the change can be made again on top of
        what is there.
        """
        index = os.path.join(self.folder, f"index-{os.getpid()}")
        name, _space, address = author.partition(" <")
        more = {
            "GIT_INDEX_FILE": index,
            **{f"GIT_{who}_NAME": name for who in ("AUTHOR", "COMMITTER")},
            **{f"GIT_{who}_EMAIL": address.rstrip(">") for who in ("AUTHOR", "COMMITTER")},
        }
        attempt = f"commit to {self.name}"
        try:
            self._must(["read-tree", checked(on)], attempt, more=more)
            modes = {entry.path: entry for entry in self.files(on)}
            for path, data in files.items():
                if path not in modes or modes[path].kind != "blob":
                    raise SwarmError(
                        "not_found", f"Could not {attempt}: {path} is no file of commit {on[:12]}."
                    )
                blob = (
                    self._must(["hash-object", "-w", "--stdin"], attempt, stdin=data)
                    .output.decode()
                    .strip()
                )
                mode = (
                    self._must(["ls-files", "-s", "-z", "--", path], attempt, more=more)
                    .output[:6]
                    .decode()
                )
                self._must(
                    ["update-index", "--cacheinfo", f"{mode},{blob},{path}"], attempt, more=more
                )
            tree = self._must(["write-tree"], attempt, more=more).output.decode().strip()
            signing = (
                ["-c", "gpg.format=ssh", "-c", f"user.signingkey={signing_key}"]
                if signing_key
                else []
            )
            words = ["commit-tree", tree, "-p", checked(on), *(["-S"] if signing_key else [])]
            made = self._must([*signing, *words], attempt, stdin=message.encode(), more=more)
        finally:
            for path in (index, f"{index}.lock"):
                if os.path.exists(path):
                    os.unlink(path)
        commit = made.output.decode().strip()
        # The server refuses unless its branch is where this commit began.
        ref = f"refs/heads/{branch}"
        words = [
            "push",
            "--porcelain",
            f"--force-with-lease={ref}:{on}",
            "--",
            self.access.url,
            f"{commit}:{ref}",
        ]
        done = self._git(words, TRANSFER, remote=True)
        if not done.ok:
            said = done.output.decode(errors="replace") + done.errors
            if any(
                word in said
                for word in ("stale info", "fetch first", "non-fast-forward", "cannot lock ref")
            ):
                raise SwarmError(
                    "git_raced", f"Could not push to {self.name}: {branch} has moved meanwhile."
                )
            raise self._unreachable(f"push to {self.name}", done)
        return commit

    # Commands

    def _create(self) -> None:
        if os.path.isfile(os.path.join(self.folder, "HEAD")):
            return
        self.forget()
        os.makedirs(self.folder, mode=0o700)
        self._must(["init", "--bare", "--quiet"], f"create the copy of {self.name}")

    def _remote(self, words: Sequence[str], attempt: str, seconds: float) -> Done:
        done = self._git(words, seconds, remote=True, largest_file=self.largest)
        if not done.ok:
            raise self._unreachable(attempt, done)
        return done

    def _must(
        self,
        words: Sequence[str],
        attempt: str,
        stdin: bytes = b"",
        most: int = MOST,
        more: Mapping[str, str] | None = None,
    ) -> Done:
        done = self._git(words, stdin=stdin, most=most, more=more)
        if not done.ok:
            raise self._failed(attempt, done)
        return done

    def _git(
        self,
        words: Sequence[str],
        seconds: float = LOCAL,
        *,
        stdin: bytes = b"",
        most: int = MOST,
        more: Mapping[str, str] | None = None,
        remote: bool = False,
        largest_file: int = 0,
    ) -> Done:
        folder = self.folder if os.path.isdir(self.folder) else "/"
        environment = {**environment_of(self.access if remote else None), **(more or {})}
        if folder != "/":
            environment["GIT_DIR"] = self.folder
        options = options_of(self.access) if remote else []
        try:
            return run(
                ["git", *_SAFE, *options, *words], seconds,
                stdin=stdin, most=most, environment=environment, folder=folder, largest_file=largest_file,
            )  # fmt: skip
        except FileNotFoundError:
            raise SwarmError(
                "no_git",
                f"Could not read {self.name}: git is missing on this host. Install the package git.",
            ) from None

    def _failed(self, attempt: str, done: Done) -> SwarmError:
        return SwarmError("git_failed", f"Could not {attempt} of {self.name}: {_reason(done)}.")

    def _unreachable(self, attempt: str, done: Done) -> SwarmError:
        return SwarmError("git_unreachable", f"Could not {attempt}: {_reason(done)}.")


# Nothing of the repository or of this host's configuration runs a program or leaves the repository.
_SAFE = (
    "--no-pager", "--no-replace-objects", "--literal-pathspecs",
    "-c", "core.hooksPath=/dev/null", "-c", "core.fsmonitor=false", "-c", "gc.auto=0", "-c", "maintenance.auto=false",
    "-c", "protocol.ext.allow=never", "-c", "protocol.file.allow=always", "-c", "fetch.fsckObjects=true", "-c", "transfer.fsckObjects=true",
    "-c", "credential.helper=", "-c", "core.askPass=", "-c", "http.followRedirects=initial",
    "-c", "http.lowSpeedLimit=1000", "-c", "http.lowSpeedTime=30", "-c", "submodule.recurse=false", "-c", "advice.diverging=false",
)  # fmt: skip


def environment_of(access: Access | None) -> dict[str, str]:
    """All that git gets from its environment. Pure."""
    found = {
        "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "HOME": "/nonexistent",
        "LC_ALL": "C",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": "/dev/null",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_NO_LAZY_FETCH": "1",
    }
    if access is not None:
        found["GIT_SSH_COMMAND"] = ssh_command(access)
    return found


def ssh_command(access: Access) -> str:
    """The ssh of git, which reads it with a shell. It knows the server or refuses it, and never asks. Pure."""
    options = [
        "BatchMode=yes", "ConnectTimeout=10", "ServerAliveInterval=10", "ServerAliveCountMax=3", "StrictHostKeyChecking=yes",
        "IdentitiesOnly=yes", "ControlMaster=no", "ControlPath=none", "ForwardAgent=no", "GlobalKnownHostsFile=/dev/null",
        f"UserKnownHostsFile={access.known_hosts or '/dev/null'}",
    ]  # fmt: skip
    words = ["ssh", "-F", "/dev/null", *(word for option in options for word in ("-o", option))]
    if access.key:
        words += ["-i", access.key]
    return " ".join(shlex.quote(word) for word in words)


def options_of(access: Access) -> list[str]:
    """The options of git for one server. The token is read from its file by git's own helper, so it is in no argument. Pure."""
    words = []
    if access.ca_file:
        words += ["-c", f"http.sslCAInfo={access.ca_file}"]
    if access.token_file:
        user, file = shlex.quote(access.user), shlex.quote(access.token_file)
        answer = f'printf "username=%s\\npassword=" {user}; cat -- {file}'
        script = f'!f() {{ test "$1" = get || exit 0; {answer}; }}; f'
        # For this server alone: one to which it redirects must not get the token.
        words += ["-c", f"credential.{_server_of(access.url)}.helper={script}"]
    return words


def _server_of(url: str) -> str:
    """The scheme, the host and the port of an address. Pure."""
    scheme, _colons, rest = _USER_INFO.sub("", url).partition("://")
    return f"{scheme}://{rest.partition('/')[0]}"


def checked(commit: str) -> str:
    """A commit that can be a word of a command."""
    if not COMMIT.fullmatch(commit):
        raise SwarmError(
            "bad_option", f"Could not read a commit: {commit[:60]!r} is not the ID of one."
        )
    return commit


def bad_access(access: Access, refs: Collection[str] = ()) -> str:
    """What is wrong with an address or the names of branches; empty if nothing is. Pure."""
    if not URL.fullmatch(access.url):
        return f"{redacted(access.url)} is not an address of a repository such as ssh://git@git.example/shop.git"
    if "@" in access.url and ":" in access.url.split("@")[0].partition("://")[2]:
        return "its address has a password: use a key or token_file"
    if access.token_file and not access.url.startswith("https://"):
        return f"{redacted(access.url)} would send the password in the clear, or not at all: use https://, or a key"
    wrong = [ref for ref in refs if not REF.fullmatch(ref)]
    return f"{wrong[0]!r} is not the name of a branch or tag" if wrong else ""


def redacted(text: str) -> str:
    """A message of git without names and passwords in addresses. Pure."""
    return printable(_USER_INFO.sub("", text))


def _reason(done: Done) -> str:
    """Why git has failed, without the full stop."""
    return redacted(done.why).rstrip(".")


def printable(text: str, most: int = 300) -> str:
    """A text of somebody else on one line, without characters that a terminal obeys. Pure."""
    words = " ".join(text.split())
    return "".join(each if each.isprintable() else "?" for each in words)[:most]


def size_of(folder: str) -> int:
    """The bytes of all files below a folder."""
    found = 0
    for place, _folders, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(OSError):
                found += os.lstat(os.path.join(place, name)).st_size
    return found
