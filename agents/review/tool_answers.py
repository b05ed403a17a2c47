"""What analyzers answer, read: one function for each form.

Pure. Keeps: what isn't the form that is known raises ToolUnreadable; a tool that says something else than expected has
found nothing out, and must not pass for one that found nothing.
"""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from typing import Any

import msgspec

from .finding import Severity


class ToolUnreadable(Exception):
    """A tool's answer isn't of the form that is known of it."""


class Raw(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that a tool says, before it is known whether the change brought it. `text` is the line it stands on."""

    path: str
    line: int
    rule: str
    severity: Severity
    message: str
    end_line: int | None = None
    text: str = ""


def relative(path: str, root: str) -> str:
    """Return a path as the repository's files are named; tools give absolute ones, relative ones, and `./` ones."""
    if path.startswith("file://"):
        path = path.removeprefix("file://")
    for top in (root, str(PurePosixPath(root))):
        if path.startswith(f"{top}/"):
            return path[len(top) + 1 :]
    return str(PurePosixPath(path)) if path else ""


def _decoded(answer: bytes, kind: Any) -> Any:
    try:
        return msgspec.json.decode(answer, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        said = answer[:200].decode("utf-8", "replace").strip()
        raise ToolUnreadable(
            f"its answer can't be read: {error} ({said!r})" if said else "it answered nothing"
        ) from error


class _Place(msgspec.Struct):
    row: int


class _RuffOne(msgspec.Struct):
    filename: str
    message: str
    location: _Place | None
    code: str | None = None
    end_location: _Place | None = None


def read_ruff(answer: bytes, root: str) -> list[Raw]:
    """Read `ruff check --output-format json`."""
    return [
        Raw(
            path=relative(one.filename, root),
            line=max(one.location.row if one.location else 1, 1),
            end_line=one.end_location.row if one.end_location else None,
            rule=one.code or "invalid-syntax",
            severity="warning",
            message=one.message,
        )
        for one in _decoded(answer, list[_RuffOne])
    ]


_FLAKE8 = re.compile(r"(.+?):(\d+):(\d+): ([A-Z]+\d*) (.*)")


def read_flake8(answer: bytes, root: str) -> list[Raw]:
    """Read flake8's lines."""
    found = []
    for line in answer.decode("utf-8", "replace").splitlines():
        match = _FLAKE8.fullmatch(line)
        if match is None:
            raise ToolUnreadable(f"a line of its answer can't be read: {line[:200]!r}")
        path, row, _, code, text = match.groups()
        found.append(Raw(path=relative(path, root), line=int(row), rule=code, severity="warning", message=text))
    return found


_MYPY = re.compile(r"(.+?):(\d+)(?::\d+)?(?::\d+:\d+)?: (error|warning|note): (.*?)(?:  \[([\w-]+)\])?")
_MYPY_BARE = re.compile(r"(?:Success: |Found \d+ error|mypy: |.*: note: |Warning: )|^$")


def read_mypy(answer: bytes, root: str) -> list[Raw]:
    """Read mypy's lines; notes only explain the errors before them."""
    found = []
    for line in answer.decode("utf-8", "replace").splitlines():
        match = _MYPY.fullmatch(line)
        if match is None:
            if _MYPY_BARE.match(line):
                continue
            raise ToolUnreadable(f"a line of its answer can't be read: {line[:200]!r}")
        path, row, level, text, code = match.groups()
        if level == "error":
            found.append(
                Raw(path=relative(path, root), line=int(row), rule=code or "misc", severity="error", message=text)
            )
    return found


class _BanditOne(msgspec.Struct):
    filename: str
    line_number: int
    issue_severity: str
    issue_confidence: str
    issue_text: str
    test_id: str
    line_range: list[int] = []


class _Bandit(msgspec.Struct):
    results: list[_BanditOne]
    errors: list[dict[str, Any]] = []


_BANDIT: dict[tuple[str, str], Severity] = {("HIGH", "HIGH"): "error", ("HIGH", "MEDIUM"): "warning"}


def read_bandit(answer: bytes, root: str) -> list[Raw]:
    """Read `bandit -f json`; a file that it couldn't parse is told by others."""
    found = []
    for one in _decoded(answer, _Bandit).results:
        pair = one.issue_severity.upper(), one.issue_confidence.upper()
        level = _BANDIT.get(pair, "warning" if pair[0] == "MEDIUM" and pair[1] != "LOW" else "note")
        # It repeats the secret that it has found.
        text = re.sub(r"(Possible hardcoded password: )'.*'", r"\1'…'", one.issue_text)
        found.append(
            Raw(
                path=relative(one.filename, root),
                line=one.line_number,
                end_line=max(one.line_range, default=one.line_number),
                rule=one.test_id,
                severity=level,
                message=text,
            )
        )
    return found


class _EslintMessage(msgspec.Struct, rename="camel"):
    message: str
    severity: int
    rule_id: str | None = None
    line: int | None = None
    end_line: int | None = None
    fatal: bool = False


class _EslintFile(msgspec.Struct, rename="camel"):
    file_path: str
    messages: list[_EslintMessage]


def read_eslint(answer: bytes, root: str) -> list[Raw]:
    """Read `eslint --format json`."""
    return [
        Raw(
            path=relative(file.file_path, root),
            line=max(one.line or 1, 1),
            end_line=one.end_line,
            rule="fatal" if one.fatal else one.rule_id or "eslint",
            severity="error" if one.severity >= 2 else "warning",
            message=one.message,
        )
        for file in _decoded(answer, list[_EslintFile])
        for one in file.messages
        # It says so of files that its own settings leave out.
        if not (one.rule_id is None and not one.fatal and "ignored" in one.message)
    ]


class _ShellOne(msgspec.Struct, rename="camel"):
    file: str
    line: int
    level: str
    code: int
    message: str
    end_line: int | None = None


class _Shell(msgspec.Struct):
    comments: list[_ShellOne]


_LEVELS: dict[str, Severity] = {"error": "error", "warning": "warning"}


def read_shellcheck(answer: bytes, root: str) -> list[Raw]:
    """Read `shellcheck --format json1`."""
    return [
        Raw(
            path=relative(one.file, root),
            line=max(one.line, 1),
            end_line=one.end_line,
            rule=f"SC{one.code}",
            severity=_LEVELS.get(one.level, "note"),
            message=one.message,
        )
        for one in _decoded(answer, _Shell).comments
    ]


class _SemgrepPlace(msgspec.Struct):
    line: int


class _SemgrepExtra(msgspec.Struct):
    message: str
    severity: str


class _SemgrepOne(msgspec.Struct):
    check_id: str
    path: str
    start: _SemgrepPlace
    end: _SemgrepPlace
    extra: _SemgrepExtra


class _Semgrep(msgspec.Struct):
    results: list[_SemgrepOne]
    errors: list[dict[str, Any]] = []


def read_semgrep(answer: bytes, root: str) -> list[Raw]:
    """Read `semgrep --json`; rules that it could not read make the answer worthless."""
    document = _decoded(answer, _Semgrep)
    fatal = [str(one.get("message", ""))[:200] for one in document.errors if one.get("level") == "error"]
    if fatal and not document.results:
        raise ToolUnreadable(f"it could not look: {fatal[0]}")
    return [
        Raw(
            path=relative(one.path, root),
            line=one.start.line,
            end_line=one.end.line,
            rule=one.check_id,
            severity={"ERROR": "error", "WARNING": "warning"}.get(one.extra.severity.upper(), "note"),  # type: ignore[arg-type]
            message=one.extra.message,
        )
        for one in document.results
    ]
