"""The one door to git.

Owns how git is called: an environment made from nothing (no GIT_* variable, no user or system configuration, no
prompt, no pager, no network), hooks, filesystem monitors and maintenance off, everything synced before a command
returns. Leaves what to ask of git to `store`, `workspace` and `publisher`. Keeps the invariant that no text of an
issue becomes an option, a URL or a configuration value: callers pass paths and texts on stdin, as ids that `is_commit`
accepts, as refs that `check_branch` accepts, or behind `--end-of-options`.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import BinaryIO, cast

import msgspec

from .work_errors import GitFailed, GitMissing, InvalidRef

#: Set for each command, above every configuration file: what a repository's own settings must not be able to change.
SETTINGS: dict[str, str] = {
    "core.hooksPath": "/dev/null",
    "core.fsmonitor": "false",
    "core.untrackedCache": "false",
    "core.fsync": "all",
    "core.fsyncMethod": "fsync",
    "core.fileMode": "true",
    "core.symlinks": "true",
    "core.autocrlf": "false",
    "core.safecrlf": "false",
    "core.attributesFile": "/dev/null",
    "core.excludesFile": "/dev/null",
    "core.alternateRefsCommand": "true",
    "core.quotePath": "false",
    "core.splitIndex": "false",
    "index.sparse": "false",
    "core.sparseCheckout": "false",
    "gc.auto": "0",
    "maintenance.auto": "false",
    "commit.gpgSign": "false",
    "credential.helper": "",
    "diff.ignoreSubmodules": "all",
    "submodule.recurse": "false",
    "fetch.recurseSubmodules": "false",
    "fetch.writeCommitGraph": "false",
    # Version 0 could not ask for a commit that no advertised ref names.
    "protocol.version": "2",
    "protocol.allow": "never",
    "protocol.file.allow": "always",
    "init.defaultBranch": "main",
    # Whoever owns the repository: it was named by the user, and nothing that its settings name is executed.
    "safe.directory": "*",
}
#: Serves a fetch from a repository that is not ours: not one object is asked from a promisor remote meanwhile, which
#: would write in that repository. A constant: git hands it to a shell.
UPLOAD_PACK = "GIT_NO_LAZY_FETCH=1 GIT_ALLOW_PROTOCOL=none git -c safe.directory='*' upload-pack"

_COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_BRANCH = re.compile(r"refs/heads/twelvefold/[A-Za-z0-9._-]+")
_VERSION_MIN = (2, 36)


class Identity(msgspec.Struct, frozen=True):
    """Who the commits name as author and committer."""

    name: str = "Twelvefold"
    email: str = "twelvefold@localhost"


class Answer(msgspec.Struct, frozen=True):
    """What a git command gave back; `out` is bytes, as file names may be any."""

    status: int
    out: bytes
    err: str

    @property
    def text(self) -> str:
        """The output as text, without the newline at its end."""
        return self.out.decode("utf-8", "surrogateescape").rstrip("\n")


def is_commit(text: object) -> bool:
    """Tell whether text is a full commit id (SHA-1 or SHA-256) in lower case."""
    return isinstance(text, str) and _COMMIT.fullmatch(text) is not None


def check_commit(text: object) -> str:
    """Return a full commit id, or raise InvalidRef."""
    if not isinstance(text, str) or not is_commit(text):
        raise InvalidRef(str(text))
    return text


def check_branch(text: object) -> str:
    """Return a full ref below refs/heads/twelvefold/ that git takes, or raise InvalidRef."""
    if not isinstance(text, str) or not _BRANCH.fullmatch(text):
        raise InvalidRef(str(text))
    name = text.rsplit("/", 1)[1]
    # The rest of git-check-ref-format(1); the pattern has excluded all other bytes.
    if name.startswith(".") or name.endswith((".", ".lock")) or ".." in name or len(name) > 200:
        raise InvalidRef(text)
    return text


@cache
def _programs() -> tuple[str, str]:
    """Find `env` and a git that is new enough, once a process; raise GitMissing."""
    env, git = shutil.which("env"), shutil.which("git")
    if env is None or git is None:
        raise GitMissing("none")
    version = _execute([env, "-i", git, "version"], b"", None).text
    numbers = re.search(r"(\d+)\.(\d+)", version)
    if numbers is None or (int(numbers[1]), int(numbers[2])) < _VERSION_MIN:
        raise GitMissing(version or "an unusable one")
    return env, git


def _execute(command: list[str], stdin: bytes, timeout_s: float | None) -> Answer:
    # Imported where it is used: an agent that never calls git does not pay its 10 MB and 0.2 s.
    try:
        import git
    except ImportError as error:  # GitPython refuses to be imported where there is no git
        raise GitMissing("none") from error
    with _file_of_its_own() if stdin else Path("/dev/null").open("rb") as source:
        if stdin:
            source.write(stdin)
            source.seek(0)
        # The working folder is never the caller's, which may have been removed.
        status, out, err = git.cmd.Git("/").execute(
            command,
            istream=source,
            with_extended_output=True,
            with_exceptions=False,
            stdout_as_string=False,
            strip_newline_in_stdout=False,
            kill_after_timeout=timeout_s,
        )
    return Answer(status, out, err if isinstance(err, str) else bytes(err).decode("utf-8", "replace"))


def _file_of_its_own() -> BinaryIO:
    """Return a file without a name: in memory where the system can, which a process that may not write can still do."""
    if hasattr(os, "memfd_create"):
        return os.fdopen(os.memfd_create("git"), "w+b")
    return cast(BinaryIO, tempfile.TemporaryFile())


def _one_of_a_list(path: Path) -> str:
    """Write a path so that git takes it for one, whatever it holds: colons are between paths."""
    text = str(path)
    if ":" not in text and not text.startswith('"'):
        return text
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


class Git:
    """Calls git commands; holds no state but the identity of commits and the longest time a command may take."""

    def __init__(self, identity: Identity | None = None, *, timeout_s: float = 1800.0) -> None:
        self.identity = identity or Identity()
        self.timeout_s = timeout_s

    def run(
        self,
        *args: str,
        at: Path | None = None,
        git_dir: Path | None = None,
        work_tree: Path | None = None,
        index: Path | None = None,
        stdin: bytes = b"",
        settings: Mapping[str, str] | None = None,
        time_s: int | None = None,
        expect: tuple[int, ...] = (0,),
        also: Path | None = None,
    ) -> Answer:
        """Run one git command and return its answer; raise GitFailed for a status that is not expected.

        `at` is a folder in which git finds its repository; `git_dir`, `work_tree` and `index` name the parts
        instead. `also` is another git folder whose objects are read beside. `time_s` (Unix seconds) becomes author and
        committer time of a commit that it makes.
        """
        env, git = _programs()
        variables = self._environment(git, {**SETTINGS, **(settings or {})})
        # Anything else that would talk to a repository does so behind our back, for objects that a partial clone lacks.
        variables["GIT_ALLOW_PROTOCOL"] = "file" if args[0] in ("fetch", "clone") else "none"
        if also is not None:
            variables["GIT_ALTERNATE_OBJECT_DIRECTORIES"] = _one_of_a_list(also / "objects")
        if index is not None:
            variables["GIT_INDEX_FILE"] = str(index)
        if time_s is not None:
            variables |= {"GIT_AUTHOR_DATE": f"@{time_s} +0000", "GIT_COMMITTER_DATE": f"@{time_s} +0000"}
        place = ["-C", str(at)] if at is not None else []
        place += [f"--git-dir={git_dir}"] if git_dir is not None else []
        place += [f"--work-tree={work_tree}"] if work_tree is not None else []
        assignments = [f"{name}={value}" for name, value in variables.items()]
        answer = _execute([env, "-i", *assignments, git, "--no-pager", *place, *args], stdin, self.timeout_s)
        if answer.status not in expect:
            raise GitFailed(" ".join(args[:8]), answer.status, answer.err[-2000:])
        return answer

    def _environment(self, git: str, settings: Mapping[str, str]) -> dict[str, str]:
        variables = {
            "PATH": f"{Path(git).parent}:/usr/local/bin:/usr/bin:/bin",
            "HOME": "/nonexistent",
            "LC_ALL": "C",
            "LANGUAGE": "C",
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_CONFIG_GLOBAL": "/dev/null",
            "GIT_ATTR_NOSYSTEM": "1",
            "GIT_TERMINAL_PROMPT": "0",
            "GIT_ASKPASS": "false",
            "SSH_ASKPASS": "false",
            "GIT_EDITOR": "false",
            "GIT_OPTIONAL_LOCKS": "0",
            "GIT_NO_REPLACE_OBJECTS": "1",
            "GIT_NO_LAZY_FETCH": "1",
            "GIT_LITERAL_PATHSPECS": "1",
            "GIT_AUTHOR_NAME": self.identity.name,
            "GIT_AUTHOR_EMAIL": self.identity.email,
            "GIT_COMMITTER_NAME": self.identity.name,
            "GIT_COMMITTER_EMAIL": self.identity.email,
            "GIT_CONFIG_COUNT": str(len(settings)),
        }
        for number, (name, value) in enumerate(settings.items()):
            variables[f"GIT_CONFIG_KEY_{number}"] = name
            variables[f"GIT_CONFIG_VALUE_{number}"] = value
        return variables
