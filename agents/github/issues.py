"""Reading an issue from GitHub: what it says, what was said below it, and as what text agents get it.

Keeps: what people wrote reaches agents as the words of those people, marked with who wrote them, and never as more.
Comments of strangers are quoted, so that an edit which somebody passing by proposes isn't one that the issue asks for.
"""

from __future__ import annotations

import re
from typing import Any

import msgspec

from .address import IssueAddress, RepositoryName, repository_name
from .client import GitHub
from .errors import GitHubUnavailable

#: Beyond so many characters of text further comments are left out, and it is said.
TEXT_MAX = 1_000_000
#: Those who may write in the repository, as GitHub calls them.
_TRUSTED = ("OWNER", "MEMBER", "COLLABORATOR")
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0e-\x1f\x7f-\x9f]")


class Comment(msgspec.Struct, frozen=True):
    """What somebody wrote below an issue; `role` is what GitHub says of them (OWNER, MEMBER, NONE, …)."""

    author: str
    role: str
    body: str


class ExternalIssue(msgspec.Struct, frozen=True, kw_only=True):
    """An issue as it stands on GitHub. `address` is where it lies now, also where the repository was moved."""

    address: IssueAddress
    title: str
    body: str
    state: str
    state_reason: str
    labels: list[str]
    author: str
    comments: list[Comment]
    url: str
    is_pull_request: bool


def read_issue(github: GitHub, address: IssueAddress) -> ExternalIssue:
    """Return an issue with all of its comments; raises the errors of `errors`."""
    what = f"issue {address}"
    path = f"/repos/{address.repository}/issues/{address.number}"
    found = github.get(path, what)
    if not isinstance(found, dict) or not isinstance(found.get("title"), str):
        raise GitHubUnavailable(what, github.access.api_url, "it answers with something that is no issue")
    is_pull_request = found.get("pull_request") is not None
    comments: list[Comment] = []
    if not is_pull_request and found.get("comments") != 0:
        comments = [_comment(one) for one in github.pages(f"{path}/comments", f"the comments of {what}")]
    return ExternalIssue(
        address=_actual(found, address),
        title=found["title"],
        body=_text(found.get("body")),
        state=_text(found.get("state")) or "open",
        state_reason=_text(found.get("state_reason")),
        labels=[name for name in map(_label, _list(found.get("labels"))) if name],
        author=_login(found.get("user")),
        comments=comments,
        url=_text(found.get("html_url")),
        is_pull_request=is_pull_request,
    )


def issue_text(issue: ExternalIssue) -> str:
    """Return an issue as the text of an issue file: title, body, labels, comments, those of strangers as quotes."""
    parts = [f"# {_line(issue.title)}", _plain(issue.body)]
    if issue.labels:
        parts.append(f"Labels: {', '.join(map(_line, issue.labels))}")
    told, size, left_out = [], sum(map(len, parts)), 0
    for comment in issue.comments:
        body = _plain(comment.body)
        if not body:
            continue
        size += len(body)
        if size > TEXT_MAX:
            left_out += 1
            continue
        role = f" ({comment.role.lower()})" if comment.role not in ("", "NONE") else ""
        own = comment.role in _TRUSTED or (comment.author != "" and comment.author == issue.author)
        told.append(f"### {_line(comment.author) or 'Somebody'}{role} commented\n\n{body if own else _quoted(body)}")
    if told:
        parts += ["## Comments", *told]
    if left_out:
        parts.append(f"({left_out} further comments are left out, as they are too long.)")
    return "\n\n".join(filter(None, parts)) + "\n"


def _actual(found: dict[str, Any], asked: IssueAddress) -> IssueAddress:
    """Return where an issue lies by its own word: a repository may have been renamed, and the issue transferred."""
    url, number = found.get("repository_url"), found.get("number")
    name = repository_name("/".join(url.rstrip("/").rsplit("/", 2)[-2:])) if isinstance(url, str) else None
    repository = asked.repository if name is None else RepositoryName(name.owner, name.name, asked.repository.host)
    return IssueAddress(repository, number if isinstance(number, int) and number > 0 else asked.number)


def _comment(found: Any) -> Comment:
    given = found if isinstance(found, dict) else {}
    return Comment(_login(given.get("user")), _text(given.get("author_association")), _text(given.get("body")))


def _plain(text: str) -> str:
    """Return a text with plain line ends and without control characters; code in it stays as it is otherwise."""
    return _CONTROL.sub("", text.replace("\r\n", "\n").replace("\r", "\n")).strip()


def _quoted(text: str) -> str:
    return "\n".join(f"> {line}" if line else ">" for line in text.split("\n"))


def _line(text: str) -> str:
    return " ".join(_plain(text).split())


def _label(label: Any) -> str:
    return _text(label.get("name")) if isinstance(label, dict) else _text(label)


def _login(user: Any) -> str:
    return _text(user.get("login")) if isinstance(user, dict) else ""


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
