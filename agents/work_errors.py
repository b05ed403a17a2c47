"""Errors of the work on repositories: git itself, the request, stores, workspaces and publishing (E440 to E459).

Owns what can go wrong outside an issue's own text; what is wrong with an issue or its edits is a task's outcome, and
stands in `edits` and `issue` as data.
"""

from __future__ import annotations

from dataclasses import dataclass
from shlex import quote

from ..eventstore.errors import TwelvefoldError


@dataclass(eq=False)
class GitMissing(TwelvefoldError):
    """The program `git` was not found, or is older than 2.36.

    Twelvefold keeps commits in stores of its own by calling git. Version 2.36 brought `core.fsync`, without which a
    power cut could take a commit that the log names already.
    """

    code = "E440"
    found: str

    def message(self) -> str:
        """Say what was found instead."""
        return f"git 2.36 or newer is needed, and {self.found} was found"

    def help(self) -> str:
        """Name the command that installs it."""
        return "sudo apt-get install git    # or your system's way; then: git --version"


@dataclass(eq=False)
class GitFailed(TwelvefoldError):
    """A git command ended with an error that has no class of its own; its own words are part of the message."""

    code = "E441"
    command: str
    status: int
    stderr: str

    def message(self) -> str:
        """Give the command, its exit status and what it said."""
        return f"git {self.command} ended with {self.status}: {self.stderr.strip() or 'it said nothing'}"


@dataclass(eq=False)
class NotARepository(TwelvefoldError):
    """The folder given with --repo does not exist, or is not the top of a git repository's working tree.

    A folder *inside* a repository is not taken for it on purpose: the repository found further up could be
    another one than you mean, and its branch would land in the wrong place.
    """

    code = "E442"
    exit_code = 3
    path: str
    top: str = ""
    exists: bool = True

    def message(self) -> str:
        """Name the folder, and the repository that it lies in, if it does."""
        if not self.exists:
            return f"{self.path} is not a folder"
        if self.top:
            return f"{self.path} is not the top of a repository: it lies inside of {self.top}"
        return f"{self.path} is not a git repository"

    def help(self) -> str:
        """Name the right folder, or how to make a repository."""
        if self.top:
            return f"--repo {quote(self.top)}"
        if not self.exists:
            return "twelvefold repos    # lists the repositories beside this one"
        git = f"git -C {quote(self.path)}"
        return f"{git} init && {git} add -A && {git} commit --allow-empty -m 'First commit'"


@dataclass(eq=False)
class NoCommits(TwelvefoldError):
    """The repository has no commit yet, so there is nothing that work could start from."""

    code = "E443"
    path: str

    def message(self) -> str:
        """Name the repository."""
        return f"{self.path} has no commits"

    def help(self) -> str:
        """Make the first commit."""
        git = f"git -C {quote(self.path)}"
        return f"{git} add -A && {git} commit --allow-empty -m 'First commit'"


@dataclass(eq=False)
class BareRepository(TwelvefoldError):
    """The repository is bare: it has no working tree, so nothing says how its tests are run."""

    code = "E444"
    path: str

    def message(self) -> str:
        """Name the repository."""
        return f"{self.path} is a bare repository"

    def help(self) -> str:
        """Clone it, and use the clone."""
        return f"git clone {quote(self.path)} checkout    # then: --repo checkout"


@dataclass(eq=False)
class UnknownRevision(TwelvefoldError):
    """A revision that was given (with `--base`, or as the range of a review) names no commit of the repository."""

    code = "E445"
    exit_code = 3
    path: str
    revision: str

    def message(self) -> str:
        """Name the revision and the repository."""
        return f"'{self.revision}' names no commit in {self.path}"

    def help(self) -> str:
        """Show what there is."""
        return f"git -C {quote(self.path)} log --oneline --all"


@dataclass(eq=False)
class RefTaken(TwelvefoldError):
    """The branch that was to be published exists already, at another commit, or a branch is in its way.

    Twelvefold never moves a branch that it did not make. A branch called `twelvefold` leaves no room for
    `twelvefold/…`: git keeps both in one place.
    """

    code = "E446"
    exit_code = 4
    repo: str
    ref: str
    found: str

    def message(self) -> str:
        """Name the ref and what is in its way."""
        return f"{self.ref} cannot be made in {self.repo}: {self.found}"

    def help(self) -> str:
        """Show what is in the way."""
        return f"git -C {quote(self.repo)} branch --list 'twelvefold*' -v"


@dataclass(eq=False)
class RefMoved(TwelvefoldError):
    """A published branch is not where it was published, or is checked out: it is somebody's work now, and stays."""

    code = "E447"
    exit_code = 4
    repo: str
    ref: str
    expected: str
    actual: str

    def message(self) -> str:
        """Name the ref and both commits."""
        if self.actual == self.expected:
            return f"{self.ref} in {self.repo} is checked out, so it stays"
        if not self.actual:
            return f"{self.ref} in {self.repo} was deleted by somebody, so it is not made again"
        commits = f"{self.actual[:12]}, not at the published {self.expected[:12]}"
        return f"{self.ref} in {self.repo} is at {commits}, so it stays"

    def help(self) -> str:
        """Show the branch."""
        return f"git -C {quote(self.repo)} log -3 {quote(self.ref)} --"


@dataclass(eq=False)
class CommitMissing(TwelvefoldError):
    """A commit that a run refers to is in none of its stores.

    Stores are kept until `forget`; one that was removed by hand takes the runs that use it along.
    """

    code = "E448"
    exit_code = 3
    store: str
    commit: str

    def message(self) -> str:
        """Name the commit and where it was looked for."""
        return f"commit {self.commit[:12]} is not in {self.store}"


@dataclass(eq=False)
class IncompleteRepository(TwelvefoldError):
    """The repository is a partial clone, and files of the base commit are missing from it.

    Twelvefold never lets git ask the network by itself, so it takes what is there.
    """

    code = "E449"
    path: str
    commit: str

    def message(self) -> str:
        """Name the repository and the commit."""
        return f"{self.path} is a partial clone that lacks objects of {self.commit[:12]}"

    def help(self) -> str:
        """Fetch the missing objects."""
        return f"git -C {quote(self.path)} fetch --refetch --filter=blob:limit=100g"


@dataclass(eq=False)
class InvalidRef(TwelvefoldError):
    """Only well-formed branches below refs/heads/twelvefold/ and full commit ids are taken; this was something else."""

    code = "E450"
    exit_code = 2
    given: str

    def message(self) -> str:
        """Show what was given."""
        return f"{self.given!r} is neither a full commit id nor a branch below refs/heads/twelvefold/"


@dataclass(eq=False)
class UnreadableIssue(TwelvefoldError):
    """The issue file cannot be read as text in UTF-8."""

    code = "E451"
    exit_code = 3
    path: str
    reason: str

    def message(self) -> str:
        """Name the file and the reason."""
        return f"{self.path}: {self.reason}"
