"""Errors of several repositories and of research in them (E490 to E494).

Owns what is wrong with the names of repositories, with what is permitted in them, and with a citation. What can go
wrong inside one repository is in `work_errors`.
"""

from __future__ import annotations

from dataclasses import dataclass
from difflib import get_close_matches
from shlex import quote

from ..eventstore.errors import TwelvefoldError


@dataclass(eq=False)
class RepositoryRulesInvalid(TwelvefoldError):
    """The file `repos.toml`, which says what is permitted in each repository, cannot be understood.

    Nothing is permitted anywhere until it is mended: rules that cannot be read are not rules that allow everything.
    """

    code = "E490"
    exit_code = 2
    file: str
    problem: str

    def message(self) -> str:
        """Name the file and what is wrong."""
        return f"{self.file}: {self.problem}"

    def help(self) -> str:
        """Open the file."""
        return f"${{EDITOR:-vi}} {quote(self.file)}    # docs/repositories.md shows its form"


@dataclass(eq=False)
class RepositoryNameTaken(TwelvefoldError):
    """Two repositories have one name, so that it could mean either.

    A repository is called as its folder unless TWELVEFOLD_REPOS or `repos.toml` gives it another name.
    """

    code = "E491"
    exit_code = 4
    name: str
    paths: tuple[str, ...]

    def message(self) -> str:
        """Name both places."""
        return f"two repositories are called {self.name!r}: {' and '.join(self.paths)}"

    def help(self) -> str:
        """Give one of them another name."""
        return f"export TWELVEFOLD_REPOS={quote(f'other-{self.name}={self.paths[-1]}')}"


@dataclass(eq=False)
class RepositoryUnknown(TwelvefoldError):
    """What was given is neither a folder nor the name of a repository that Twelvefold sees."""

    code = "E492"
    exit_code = 3
    name: str
    known: tuple[str, ...] = ()

    def message(self) -> str:
        """Name it, and what it may have been meant to be."""
        close = get_close_matches(self.name, self.known, 1)
        hint = f"; did you mean {close[0]}?" if close else ""
        return f"there is no repository {self.name!r}{hint}"

    def help(self) -> str:
        """List those that there are."""
        return "twelvefold repos"


@dataclass(eq=False)
class RepositoryForbidden(TwelvefoldError):
    """`repos.toml` doesn't permit this in this repository.

    `read` is looking into it at all, `write` is publishing branches into it, `commands` is running programs on its
    files, its tests included.
    """

    code = "E493"
    exit_code = 4
    path: str
    action: str
    file: str
    command: str = ""

    def message(self) -> str:
        """Name the repository, what is not permitted, and where that stands."""
        what = {"read": "reading", "write": "publishing into", "commands": "running commands in"}[self.action]
        which = f" ({self.command})" if self.command else ""
        return f"{what} {self.path} is not permitted{which}: {self.file} says so"

    def help(self) -> str:
        """Open the file that says so."""
        return f"${{EDITOR:-vi}} {quote(self.file)}    # set {self.action} = true for it"


@dataclass(eq=False)
class CitationInvalid(TwelvefoldError):
    """A citation does not hold: what it quotes is not what stands in that place of that commit."""

    code = "E494"
    citation: str
    problem: str

    def message(self) -> str:
        """Name the citation and what is wrong with it."""
        return f"{self.citation}: {self.problem}"
