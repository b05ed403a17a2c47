"""`twelvefold review`: what is wrong with a change, before anybody else looks at it.

Leaves the review to the agent `pr_review`, and the choice of the two commits to `agents/review/range.py`.
"""

from __future__ import annotations

import base64
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .output import Style, note, write, write_json

if TYPE_CHECKING:
    from ..agents.review.finding import Review
    from ..agents.review.range import Range

FORMATS = ("text", "json", "sarif")
PATCH_BYTES_MAX = 64 << 20


def review(
    range: Annotated[
        str | None,
        typer.Argument(metavar="[RANGE]", help="main..branch, branch, HEAD~3..; what HEAD has that its base lacks."),
    ] = None,
    repo: Annotated[Path, typer.Option("--repo", metavar="DIR", help="The repository; the current folder.")] = Path(),
    patch: Annotated[
        str | None, typer.Option("--patch", metavar="FILE", help="Review this patch on top of RANGE; - is stdin.")
    ] = None,
    format: Annotated[str, typer.Option("--format", metavar="|".join(FORMATS), help="How to print it.")] = "text",
    timeout: Annotated[
        float, typer.Option("--timeout", metavar="S", help="Seconds that analyzers may take in all.", min=1)
    ] = 300.0,
) -> int:
    """Review a change: what it brings that is wrong, risky or missing.

    Looks at the lines and files of the change only: secrets, conflict markers, debug leftovers, syntax errors, tests
    that go, are skipped or demand less, large and binary files, modes, links, lock files, missing tests; and asks ruff,
    flake8, mypy, bandit, eslint, shellcheck and semgrep, those that are installed, before and after the change. Nothing
    goes over the network but the call of a model, where TWELVEFOLD_MODEL names one. docs/review.md tells the rules.

    Exit status: 0 approved (or nothing to review), 1 where a finding asks for changes or not everything could be
    reviewed. Only findings of severity error and confidence high ask for changes.

    The document of --format json has the keys run, verdict (approved, changes_requested, unreviewed; null where there
    is nothing to review), reason, repo, range, base, commit, files, findings (file, line, end_line, side, rule,
    severity, confidence, message, harm, tool), omitted, tools (name, version, status, reason, contained, advisory).
    sarif is SARIF 2.1.0.
    """
    from ..errors import UsageInvalid
    from ..one_task import do_task
    from ..settings import load_settings
    from .run_progress import progress

    if format not in FORMATS:
        raise UsageInvalid(f"--format: there is no {format!r}, only {', '.join(FORMATS)}", "twelvefold review")
    chosen, task = _asked(repo, range, patch)
    if chosen.empty:
        return _show_nothing(chosen, format)
    result = do_task(
        "pr_review",
        {"path": os.environ.get("PATH"), "timeout_s": timeout, "report_only": True, **task},
        settings=load_settings(),
        environ=os.environ,
        labels={"job": "review", "repo": chosen.repo},
        progress=lambda run: progress(run, quiet=format != "text"),
    )
    return _show(result, chosen, format)


def _asked(repo: Path, range: str | None, patch: str | None) -> tuple[Range, dict[str, Any]]:
    """Return the commits that are meant, and the agent's task of them."""
    from ..agents.job import resolve_request
    from ..agents.review.range import Range, resolve_range

    if patch is not None:
        request = resolve_request(repo, range)
        chosen = Range(repo=request.repo, base=request.base, commit="", text=f"{range or 'HEAD'} with {patch}")
        return chosen, {"repo": chosen.repo, "base": chosen.base, **_patch(patch)}
    chosen = resolve_range(repo, range)
    if range is None and (left_out := resolve_request(repo).note()):
        note(left_out.replace("work started from", "the review is of commits, up to"))
    return chosen, {"repo": chosen.repo, "base": chosen.base, "commit": chosen.commit}


def _patch(name: str) -> dict[str, Any]:
    """Read a patch; one that isn't UTF-8 travels as base64."""
    from ..errors import DataUnreadable

    try:
        content = sys.stdin.buffer.read(PATCH_BYTES_MAX + 1) if name == "-" else Path(name).read_bytes()
    except OSError as error:
        raise DataUnreadable(name, error.strerror or str(error)) from error
    if len(content) > PATCH_BYTES_MAX:
        raise DataUnreadable(name, f"it is larger than {PATCH_BYTES_MAX >> 20} MiB")
    try:
        return {"patch": content.decode("utf-8")}
    except UnicodeDecodeError:
        return {"patch": base64.b64encode(content).decode(), "patch_encoding": "base64"}


def _show_nothing(chosen: Range, format: str) -> int:
    from ..agents.review.finding import Review

    reason = f"there is nothing to review: {chosen.text} is empty"
    if format == "json":
        empty = {"files": [], "findings": [], "omitted": 0, "tools": []}
        write_json({"run": None, "verdict": None, "reason": reason, **_facts(chosen, chosen.commit), **empty})
    elif format == "sarif":
        _write_sarif(Review(verdict="approved", reason=reason), chosen, None)
    note(f"{reason}; name a range such as HEAD~1..")
    return 0


def _facts(chosen: Range, commit: str | None) -> dict[str, Any]:
    return {"repo": chosen.repo, "range": chosen.text, "base": chosen.base, "commit": commit or None}


def _show(result: Any, chosen: Range, format: str) -> int:
    """Show what became of a review, and return the exit status."""
    import msgspec

    from ..agents.review.finding import Review

    task = result.tasks[0] if result.tasks else None
    value = task.value if task is not None and isinstance(task.value, dict) else None
    if value is None or "verdict" not in value:
        error = task.error if task is not None else result.error
        said = error.get("message", "") if isinstance(error, dict) else str(error or result.message or "")
        if result.outcome == "nothing_to_do":
            return _show_nothing(chosen, format)
        value = {"verdict": "unreviewed", "reason": said or f"the review ended as {result.outcome}", "commit": None}
        value |= {"files": [], "findings": [], "omitted": 0, "tools": []}
    found = msgspec.convert(value, Review)
    if format == "json":
        keys = ("verdict", "reason", "files", "findings", "omitted", "tools")
        document = {"run": result.run, **_facts(chosen, value.get("commit")), **{key: value[key] for key in keys}}
        write_json(document)
    elif format == "sarif":
        _write_sarif(found, chosen, value.get("commit"))
    else:
        _write_text(found, chosen, len(value["files"]))
    return 0 if found.verdict == "approved" else 1


def _write_sarif(found: Review, chosen: Range, commit: str | None) -> None:
    from importlib.metadata import version

    from ..agents.review.sarif import sarif

    write_json(sarif(found, version=version("twelvefold"), information={"base": chosen.base, "commit": commit}))


def _write_text(found: Review, chosen: Range, files: int) -> None:
    style = Style(sys.stdout)
    paints = {"approved": style.green, "changes_requested": style.red, "unreviewed": style.yellow}
    levels = {"error": style.red, "warning": style.yellow, "note": style.dim}
    counted = f"{files} file{'s' if files != 1 else ''}"
    write(f"{paints[found.verdict](found.verdict.replace('_', ' '))}  {chosen.text}  {style.dim(counted)}")
    for one in found.findings:
        place = f"{one.file}:{one.line}" + (" (before the change)" if one.side == "old" else "")
        told = f"{levels[one.severity](one.severity)} {one.rule} ({one.confidence} confidence, {one.tool})"
        write(f"\n{style.bold(_plain(place))}  {told}")
        write(f"    {_plain(one.message)}")
        write(style.dim(f"    {_plain(one.harm)}"))
    if found.omitted:
        write(f"\nand {found.omitted} more")
    if found.verdict != "approved":
        write(f"\n{_plain(found.reason)}")
    for tool in found.tools:
        version = f" {tool.version}" if tool.version else ""
        note(f"{tool.name}{version}: {tool.status}" + (f" ({_plain(tool.reason)})" if tool.reason else ""))
    if not found.tools:
        note("no analyzer is installed that would have had something to say")


def _plain(text: str) -> str:
    """Return text without what would steer a terminal: file names and messages come from the change."""
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)
