"""`twelvefold research`: a question about repositories, answered with what stands in them.

Leaves finding to the agent `research`, and which repositories there are to `sisters`.
"""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .output import Style, note, write, write_json

if TYPE_CHECKING:
    from ..orchestration.result import RunResult
    from ..settings import Settings

_EXITS = {"succeeded": 0, "needs_human": 7}


def research(
    question: Annotated[str, typer.Argument(metavar="QUESTION", help="What you want to know, in quotes.")],
    repo: Annotated[
        list[str] | None,
        typer.Option("--repo", metavar="DIR|NAME", help="Look into this repository, or these; all sisters."),
    ] = None,
    base: Annotated[str | None, typer.Option("--base", metavar="REV", help="Read this revision; HEAD.")] = None,
    limit: Annotated[int, typer.Option("--limit", metavar="N", help="So many passages at most.", min=1, max=20)] = 8,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
    timeout: Annotated[
        float | None, typer.Option("--timeout", metavar="S", help="Seconds after which it fails.", min=0.001)
    ] = None,
) -> int:
    """Answer a question about repositories with passages of their code, documents and history.

    Each passage is cited as repo@commit:path:lines, and is compared with what stands there at that commit. Where
    TWELVEFOLD_MODEL names a model, it writes the answer; sentences that cite no passage are left out. Without an `up`,
    what the question needs is started. Nothing of the repositories changes; docs/research.md tells the rest.

    Exit status: 0 where something was found, 1 where nothing was.

    The keys with --json are run, question, found, answer, written_by (the model, null without one), sentences (text,
    citations), citations (n, ref, name, repo, commit, path, lines, text, text_hash, names, kind, author, time,
    score), repos (name, path, commit, files, indexed, notes), missing_words, notes, outcome, reason.
    """
    from ..errors import UsageInvalid
    from ..one_task import do_task
    from ..settings import load_settings
    from .run_progress import progress

    if not question.strip():
        raise UsageInvalid("the question is empty", "twelvefold research")
    settings = load_settings()
    task: dict[str, Any] = {"question": question, "revision": base, "limit": limit, **_places(repo, base, settings)}
    result = do_task(
        "research",
        task,
        settings=settings,
        environ=os.environ,
        labels={"job": "research", "question": question[:200]},
        progress=lambda run: progress(run, quiet=as_json),
        timeout_s=timeout,
    )
    return _show(result, as_json)


def _places(repo: list[str] | None, base: str | None, settings: Settings) -> dict[str, Any]:
    """Return the repositories that are meant, as `name=folder`: those that are named, else all that may be read.

    Raises what keeps one that is named from being read, before anything is started.
    """
    from ..agents.research.sources import open_source
    from ..errors import UsageInvalid
    from ..sisters import chosen, known_sisters, rules_of

    rules = rules_of(settings)
    known = known_sisters(settings, Path.cwd())
    if repo:
        names = {one.path.resolve(): one.name for one in known}
        folders = [folder.resolve() for folder in chosen(repo, settings, Path.cwd())]
        for folder in folders:
            rules.require(folder, "read")
            open_source(folder, revision=base)
        return {"repos": [f"{names.get(folder, folder.name)}={folder}" for folder in folders]}
    readable = [one for one in known if rules.of(one.path).read]
    if not readable:
        raise UsageInvalid("there is no repository here or beside this one: name one by --repo", "twelvefold research")
    return {"repos": [f"{one.name}={one.path}" for one in readable], "optional": True}


def _show(result: RunResult, as_json: bool) -> int:
    # A run with nothing to do hands no value on; its task has one.
    values = [one.value for one in result.tasks if isinstance(one.value, dict)]
    value: dict[str, Any] = values[0] if values else {}
    if as_json:
        document = {"run": result.run, **(value or {"found": False, "answer": _problem(result), "citations": []})}
        write_json({**document, "outcome": result.outcome, "reason": result.reason or None})
    elif not value:
        note(f"{result.outcome}: {_problem(result)}")
    else:
        _show_answer(value)
    if result.reason == "timeout":
        return 124
    return _EXITS.get(result.outcome or "", 1)


def _problem(result: RunResult) -> str:
    told = [one.error["message"] for one in result.tasks if isinstance(one.error, dict) and "message" in one.error]
    return str(next(iter(told), None) or result.message or result.reason or "it did not end")


def _show_answer(value: dict[str, Any]) -> None:
    style = Style(sys.stdout)
    if not value["found"]:
        write(value["answer"])
    if value["sentences"]:
        write(f"{_plain(value['answer'])}\n")
    for one in value["citations"]:
        place = one["ref"].replace(one["commit"], one["commit"][:12])
        who = f"  {one['author']}, {one['time'][:10]}" if one["author"] else ""
        number = f"[{one['n']}]"
        write(f"{style.dim(number)} {style.bold(place)}{style.dim(who)}")
        write("".join(f"    {_plain(line)}\n" for line in one["text"].split("\n")))
    for text in value["notes"]:
        note(_plain(text))


def _plain(text: str) -> str:
    """Return text of somebody's files without what would steer a terminal."""
    return re.sub(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", lambda found: f"\\x{ord(found[0]):02x}", text.rstrip("\r"))
