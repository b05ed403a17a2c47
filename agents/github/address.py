"""How an issue on GitHub is named: `owner/repo#12`, or the address of its page. Pure."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

import msgspec

_OWNER = r"[A-Za-z0-9](?:[A-Za-z0-9_-]{0,98}[A-Za-z0-9])?"
_REPO = r"[A-Za-z0-9._-]{1,100}"
_SHORT = re.compile(rf"({_OWNER})/({_REPO})#([1-9][0-9]{{0,9}})")
_PAGE = re.compile(rf"/({_OWNER})/({_REPO})/(issues|pull)/([1-9][0-9]{{0,9}})/?")
_NAME = re.compile(rf"({_OWNER})/({_REPO})")
#: `git@host:owner/repo.git`, as ssh and git take it.
_SCP = re.compile(r"(?:[A-Za-z0-9._-]+@)?([A-Za-z0-9.-]+):(?!//)(.+)")


class RepositoryName(msgspec.Struct, frozen=True):
    """A repository on a GitHub server; `host` is "" where the one that is set up is meant."""

    owner: str
    name: str
    host: str = ""

    def __str__(self) -> str:
        return f"{self.owner}/{self.name}"

    def is_same(self, other: RepositoryName) -> bool:
        """Tell whether both are one repository: GitHub doesn't tell capitals from small letters."""
        return (str(self).lower(), self.host.lower()) == (str(other).lower(), other.host.lower())


class IssueAddress(msgspec.Struct, frozen=True):
    """An issue of a repository."""

    repository: RepositoryName
    number: int

    def __str__(self) -> str:
        return f"{self.repository}#{self.number}"


def issue_address(text: str) -> IssueAddress | None:
    """Return the issue that a text names as a whole, None for any other text."""
    text = text.strip()
    if found := _SHORT.fullmatch(text):
        return _address(found[1], found[2], found[3], "")
    parts = urlsplit(text) if text.startswith(("https://", "http://")) else None
    if parts is not None and (found := _PAGE.fullmatch(parts.path)):
        return _address(found[1], found[2], found[4], parts.netloc.rpartition("@")[2])
    return None


def repository_name(text: str, host: str = "") -> RepositoryName | None:
    """Return the repository that `owner/repo` names, None for any other text."""
    found = _NAME.fullmatch(text)
    return None if found is None or set(found[2]) == {"."} else RepositoryName(found[1], found[2], host)


def repository_of_url(url: str) -> RepositoryName | None:
    """Return the repository that a remote's URL leads to, None where it is no such URL (a folder, say)."""
    scp = None if "://" in url else _SCP.fullmatch(url)
    if scp is not None:
        host, path = scp[1], scp[2]
    else:
        parts = urlsplit(url)
        if parts.scheme not in ("https", "http", "ssh", "git", "git+ssh") or not parts.netloc:
            return None
        host, path = parts.netloc.rpartition("@")[2], parts.path
        if parts.scheme in ("ssh", "git+ssh"):
            host = host.partition(":")[0]
    return repository_name(path.strip("/").removesuffix(".git"), host)


def _address(owner: str, repo: str, number: str, host: str) -> IssueAddress | None:
    name = repository_name(f"{owner}/{repo}", host)
    return None if name is None else IssueAddress(name, int(number))
