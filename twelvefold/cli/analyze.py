"""`twelvefold analyze`: how complex an issue is and what it falls into; nothing is executed."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .issue_target import issue_of
from .output import Style, note, write, write_json

if TYPE_CHECKING:
    from ..agents.assessment import Origin
    from ..agents.understanding.structure import Understanding
    from ..orchestration.complexity import Assessment
    from ..orchestration.decomposition import Decomposition, Subtask

_WIDTH = 110


def analyze(
    target: Annotated[str, typer.Argument(metavar="TARGET", help="An issue file, or a sentence in quotes.")],
    repo: Annotated[
        Path | None, typer.Option("--repo", metavar="DIR", help="Look into this repository too; none.")
    ] = None,
    base: Annotated[str | None, typer.Option("--base", metavar="REV", help="Its files at this revision; HEAD.")] = None,
    override: Annotated[
        str | None, typer.Option("--override", metavar="LEVEL", help="Take the issue apart as of this level.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Tell how complex an issue is, why, and what it falls into.

    Nothing is executed or changed. The levels are atomic (one place), simple (one file), moderate (two or three),
    complex (up to ten) and enterprise; docs/complexity.md tells how they are found. With --repo the commit's files
    and where names of the issue are used are taken into account.

    The keys with --json are title, repo, base_commit (null without --repo), level, estimated (the level before
    --override), overridden, confidence (0 to 1: the chance that the level is exactly right), levels (of subtasks that
    are worth while), places (how many files are likely to change), reasons (signal, text, places), target_files,
    missing_files (named, and not in the repository), vague (nothing in it could be checked), constraints (what must
    stay as it is) and subtasks: each with id, title, kind (code, documentation, tests, packaging, continuous
    integration, verification), line (of the issue; 0 for none), files, checks, depends_on (ids) and subtasks; and
    issue, what `run` would make of it: kind (bug, feature, docs, refactor, test, perf, security, chore), verdict
    (actionable, needs_information, refuse, nothing_to_do), reason, message, depends_on (issues), missing, and parts:
    what would be fixed one after the other, where an engine for more than explicit edits is set.
    """
    from ..agents.assessment import Origin, origin_of
    from ..agents.understanding.structure import understand_issue
    from ..errors import UsageInvalid
    from ..orchestration.complexity import Complexity

    if base is not None and repo is None:
        raise UsageInvalid("--base needs --repo", "twelvefold analyze")
    if override is not None and override not in list(Complexity):
        problem = f"--override: there is no level {override!r}, only {', '.join(Complexity)}"
        raise UsageInvalid(problem, "twelvefold analyze")
    name, text = issue_of(target)
    origin = Origin() if repo is None else origin_of(repo, base)
    understood = understand_issue(name, text, origin, override=override)
    if as_json:
        write_json({**document(understood.work, origin), "issue": _of_issue(understood)})
    else:
        show(understood.work)
        show_verdict(understood)


def document(found: Decomposition, origin: Origin) -> dict[str, Any]:
    """Return what `--json` prints."""
    judged = found.assessment
    return {
        "title": found.title,
        "repo": origin.repo,
        "base_commit": origin.commit,
        "level": judged.level,
        "estimated": judged.estimated,
        "overridden": judged.overridden,
        "confidence": judged.confidence,
        "levels": judged.level.levels,
        "places": judged.places,
        "reasons": [{"signal": one.name, "text": one.text, "places": one.places} for one in judged.reasons],
        "target_files": judged.targets,
        "missing_files": judged.missing,
        "vague": judged.vague,
        "constraints": found.constraints,
        "subtasks": found.subtasks,
    }


def _of_issue(understood: Understanding) -> dict[str, Any]:
    """Return what of the document a run begins with."""
    issue = understood.issue
    return {
        "kind": issue.kind,
        "verdict": issue.outcome,
        "reason": issue.reason or None,
        "message": issue.message or None,
        "depends_on": issue.depends_on,
        "missing": issue.missing,
        "parts": _parts(understood),
    }


def _parts(understood: Understanding) -> list[str]:
    """Return the titles of the parts in which a run with today's settings would fix the issue; none for no run."""
    import os

    from ..agent_environment import agent_settings_of
    from ..agents.issue_saga import parts_of
    from ..agents.smart_issue import open_engines
    from ..settings import load_settings

    if understood.issue.outcome != "actionable":
        return []
    able = open_engines("auto", agent_settings_of(load_settings(), os.environ))
    return [part.title for part in parts_of(understood, "auto", open_engines=able)]


def show_verdict(understood: Understanding) -> None:
    """Write what `run` would make of the issue."""
    issue = understood.issue
    if issue.outcome != "actionable":
        note(f"`run` would end at once: {issue.reason}: {issue.message}")
        return
    parts = _parts(understood)
    how = "as a whole" if len(parts) == 1 else f"in {len(parts)} parts, one after the other"
    note(f"a {issue.kind} issue; `run` would fix it {how}, then test, review and publish it once")


def show(found: Decomposition) -> None:
    """Write what people read: the level, the reasons, the subtasks as a tree."""
    style = Style(sys.stdout)
    _show_level(found.assessment, style)
    if found.subtasks:
        write("")
        write(style.bold("Subtasks"))
        _show_subtasks(found.subtasks, "", style)
    if found.constraints:
        write("")
        write(style.bold("Stays as it is"))
        for text in found.constraints:
            write(_wrapped(f"- {text}", "  "))
    if found.assessment.vague:
        note("nothing in it could be checked: ask its author for a case, a file or a number")
    elif not found.subtasks:
        note("an atomic issue is not taken apart")


def _show_level(judged: Assessment, style: Style) -> None:
    sure = f"confidence {judged.confidence:.0%}"
    if judged.overridden:
        sure = f"set by --override; the signals say {judged.estimated}"
    files = "1 file" if judged.places < 1.5 else f"{judged.places:.0f} files"
    levels = {0: "no subtasks", 1: "one level of subtasks"}
    depth = levels.get(judged.level.levels, f"up to {judged.level.levels} levels of subtasks")
    write(f"{style.bold(style.green(judged.level))}  {sure}, about {files}, {depth}")
    for reason in judged.reasons:
        weight = f"+{reason.places:g}" if reason.places else ""
        write(f"  {style.dim(weight.rjust(5))}  {reason.text}")


def _show_subtasks(subtasks: Sequence[Subtask], margin: str, style: Style) -> None:
    for subtask in subtasks:
        last = subtask is subtasks[-1]
        branch, below = ("└─ ", "   ") if last else ("├─ ", "│  ")
        after = style.dim(f"  after {', '.join(subtask.depends_on)}") if subtask.depends_on else ""
        write(f"{margin}{branch}{style.bold(subtask.id)} {subtask.title}  {style.dim(subtask.kind)}{after}")
        inner = margin + below + ("│  " if subtask.subtasks else "   ")
        if subtask.files:
            write(_wrapped(", ".join(subtask.files), inner))
        for check in subtask.checks:
            write(_wrapped(f"✓ {check}", inner))
        _show_subtasks(subtask.subtasks, margin + below, style)


def _wrapped(text: str, margin: str) -> str:
    lines = textwrap.wrap(text, max(40, _WIDTH - len(margin)), break_long_words=False) or [""]
    return "\n".join(margin + ("" if n == 0 else "  ") + line for n, line in enumerate(lines))
