"""`twelvefold why FILE:LINE`: from a line of code to commit, effect, model call and the request behind them."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from shlex import quote
from typing import Annotated, Any

import typer

from ..agents.blame import BlamedLine, blame, file_at, line_in
from ..agents.git import Git
from ..errors import UsageInvalid
from ..eventstore.event import Event
from ..projections.origins import ModelCall
from ..run_file_errors import LineNotFound
from ..settings import load_settings
from ..why import Reason, line_of_run
from ..why import why as reason_of
from .output import Style, note, rfc3339, write, write_json
from .run_documents import in_short

_PLACE = re.compile(r"(?P<file>.+):(?P<line>[0-9]+)")
#: As compilers and editors write it.
_WITH_COLUMN = re.compile(r"(?P<file>.+):(?P<line>[0-9]+):[0-9]+")
#: How much of a message or a value is shown.
_SHOWN = 160


def why(
    place: Annotated[str, typer.Argument(metavar="FILE:LINE", help="A line of a file, counted from 1.")],
    run: Annotated[
        str | None,
        typer.Option("--run", metavar="R", help="The line as this run left it; FILE from the top, or REPO/FILE."),
    ] = None,
    revision: Annotated[
        str | None, typer.Option("--rev", metavar="REV", help="The line in this commit, not in what is checked out.")
    ] = None,
    messages: Annotated[bool, typer.Option("--messages", help="Show all that the model was asked.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Tell why a line is as it is: its commit, effect, model call and prompt, and what caused them.

    FILE is looked for from the current folder; its repository is only read. The line may have moved since, or its
    commit been rebased or squashed: then it is found by its text in what the run has made. With --json the keys are
    file, line, text, commit (id, author, time, subject), by (commit or text), run, path, agent, step (commit, line,
    position), effect (kind, name, position, parameters), model (name, position, usage, prompts, messages, reply; null
    where no model chose it), action, causes (position, type, path, time, text; the nearest first), request (run,
    position, time, caller, labels, input). What isn't known is null.
    """
    given = _PLACE.fullmatch(place)
    if given is not None and not Path(given["file"]).exists():
        given = _WITH_COLUMN.fullmatch(place) or given
    if given is None or int(given["line"]) == 0:
        raise UsageInvalid(f"{place!r} is not FILE:LINE, such as src/app.py:12", "twelvefold why")
    if run is not None and revision is not None:
        raise UsageInvalid("--run and --rev are two places to look at, choose one", "twelvefold why")
    home, file, number = load_settings().home, given["file"], int(given["line"])
    if run is not None:
        found = line_of_run(home, run, file.removeprefix("./"), number)
        if found is None:
            remedy = f"twelvefold diff {run} RUN    # or look at the files that it changed: twelvefold status {run}"
            raise LineNotFound(place, "the run has made no such file or line, or its store is gone", remedy)
        reason = reason_of(home, found[0], place, run=run, git_dir=found[1])
    else:
        top, line = _blamed(place, Path(file), number, revision)
        reason = reason_of(home, line, place, at=top)
    document = document_of(reason, file)
    if as_json:
        write_json(document)
    else:
        _show(reason, document, place, whole=messages)


def _blamed(place: str, file: Path, number: int, revision: str | None) -> tuple[Path, BlamedLine]:
    """Return the top of the repository that a file lies in, and the line as blamed there."""
    git, folder = Git(), file.absolute().parent
    if not folder.is_dir():
        raise LineNotFound(place, f"there is no folder {folder}", "ls")
    asked = git.run("rev-parse", "--show-toplevel", at=folder, expect=(0, 128))
    if asked.status:
        reason = f"{folder} is in no working tree of a git repository"
        raise LineNotFound(place, reason, f"git -C {quote(str(folder))} status")
    top = Path(asked.text)
    at = f"git -C {quote(str(top))}"
    path = str((folder.resolve() / file.name).relative_to(top.resolve()))
    commit = _commit(git, top, revision or "HEAD", place)
    committed = file_at(git, commit, path, at=top)
    if committed is None:
        raise LineNotFound(place, f"the commit {commit[:12]} has no such file", f"{at} log --oneline -- {quote(path)}")
    line: int | None = number
    if revision is None:
        try:
            line = line_in(committed, file.read_bytes(), number)
        except OSError as error:
            raise LineNotFound(place, f"the file can't be read ({error.strerror})", "git status") from error
    found = None if line is None else blame(git, commit, path, line, at=top)
    if found is None:
        count = len(committed.splitlines())
        reason = f"it isn't in a commit yet, or beyond the file's end ({count} lines are committed)"
        raise LineNotFound(place, reason, f"{at} diff -- {quote(path)}")
    return top, found


def _commit(git: Git, top: Path, revision: str, place: str) -> str:
    asked = ("rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}")
    found = git.run(*asked, at=top, expect=(0, 1, 128))
    if found.status:
        raise LineNotFound(
            place, f"there is no commit {revision!r} in {top}", f"git -C {quote(str(top))} log --oneline"
        )
    return found.text


def document_of(reason: Reason, file: str) -> dict[str, Any]:
    """Return the document of --json."""
    origin, line = reason.origin, reason.line
    effect = _data(origin.effect)
    task = _data(next((event for event in reason.causes if event.type == "task.requested"), None))
    return {
        "file": file,
        "line": line.line,
        "text": line.text,
        "commit": {
            "id": line.commit,
            "author": line.author,
            "time": rfc3339(line.time_s * 1_000_000_000),
            "subject": line.subject,
        },
        "by": reason.by,
        "run": reason.run,
        "path": task.get("path"),
        "agent": task.get("agent"),
        "step": {"commit": reason.step.commit, "line": reason.step.line, "position": origin.event.position},
        "effect": None
        if origin.effect is None
        else {
            "kind": effect.get("kind"),
            "name": effect.get("name"),
            "position": origin.effect.position,
            "parameters": _data(origin.intent or origin.effect).get("parameters"),
        },
        "model": None if origin.model is None else _model(origin.model),
        "action": _data(origin.action).get("result"),
        "causes": [
            {
                "position": event.position,
                "type": event.type,
                "path": _path(event),
                "time": rfc3339(event.time),
                "text": _words(event),
            }
            for event in reason.causes
        ],
        "request": _request(reason.causes),
    }


def _model(call: ModelCall) -> dict[str, Any]:
    asked, answered = _data(call.asked).get("parameters") or {}, _data(call.answered)
    return {
        "name": asked.get("model") or answered.get("name"),
        "position": call.asked.position,
        "usage": answered.get("usage"),
        "prompts": asked.get("prompts"),
        "messages": list(call.messages),
        "reply": answered.get("result"),
    }


def _request(causes: tuple[Event, ...]) -> dict[str, Any] | None:
    """Return what it all began with: the request of the run, or of the run that asked for that one."""
    event = next((event for event in reversed(causes) if event.type == "run.requested"), None)
    if event is None:
        return None
    data = _data(event)
    plan = data.get("plan")
    given = plan.get("input") if isinstance(plan, dict) else None
    return {
        "run": event.run,
        "position": event.position,
        "time": rfc3339(event.time),
        "caller": data.get("caller"),
        "labels": data.get("labels"),
        "input": given if given is not None else data.get("input"),
    }


def _path(event: Event) -> str | None:
    if event.stream.startswith("task."):
        return event.stream.split(".", 2)[-1]
    path = _data(event).get("path")
    return path if isinstance(path, str) else None


def _words(event: Event) -> str:
    data = _data(event)
    parts = [data.get(name) for name in ("agent", "name", "reason", "message", "question", "answer")]
    said = [part for n, part in enumerate(parts) if isinstance(part, str) and part and part not in parts[:n]]
    return "  ".join(said) if event.payload is not None else "(forgotten)"


def _show(reason: Reason, document: dict[str, Any], place: str, *, whole: bool) -> None:
    """Write the chain as people read it, the nearest first."""
    style, line = Style(sys.stdout), reason.line
    write(f"{style.bold(place)}  {line.text.strip()}")
    found = "" if reason.by == "commit" else "  (another commit than the run's: found by its text)"
    _row(style, "commit", f"{line.commit[:12]}  {line.subject}", f"{document['commit']['time']}{found}")
    if reason.step.commit != line.commit:
        _row(style, "step", f"{reason.step.commit[:12]}", f"line {reason.step.line} then")
    effect, model, action = document["effect"], document["model"], document["action"]
    if effect is not None:
        where = f"position {effect['position']}, task {document['path']}"
        _row(style, "effect", f"{effect['kind']} {effect['name']}", where)
        _row(style, "", _cut(in_short(effect["parameters"])))
    if model is None:
        _row(style, "model", "none was asked for it")
    else:
        for label, text, more in _told_of(model, action):
            _row(style, label, text, more)
        for message in model["messages"] if whole else model["messages"][-1:]:
            _row(style, "asked", f"[{message.get('role')}]")
            text = str(message.get("content") or in_short(message.get("tool_calls")))
            for row in text.splitlines() if whole else [_cut(" ".join(text.split()))]:
                _row(style, "", row)
    label = "because"
    for cause in document["causes"]:
        what = "  ".join(filter(None, (cause["type"], cause["path"], _cut(" ".join(cause["text"].split())))))
        _row(style, label, what, f"position {cause['position']}")
        label = ""
    _show_request(document["request"], style)
    if model is not None and not whole:
        note("all that the model was asked: --messages")


def _told_of(model: dict[str, Any], action: Any) -> Iterator[tuple[str, str, str]]:
    usage = model["usage"] if isinstance(model["usage"], dict) else {}
    tokens = f"{usage.get('tokens_in', '?')}+{usage.get('tokens_out', '?')} tokens"
    yield "model", str(model["name"]), f"position {model['position']}, {tokens}, {len(model['messages'])} messages"
    if isinstance(action, dict):
        yield "chose", f"{action.get('name')} {_cut(in_short(action.get('arguments')))}", ""
    for prompt in model["prompts"] or ():
        yield "prompt", str(prompt.get("name")), str(prompt.get("hash"))[:12]


def _show_request(request: dict[str, Any] | None, style: Style) -> None:
    if request is None:
        _row(style, "request", "not known any more")
        return
    caller = request["caller"] if isinstance(request["caller"], dict) else {}
    _row(style, "request", f"run {request['run']}", f"{request['time']} by {caller.get('program') or 'a client'}")
    given = request["input"]
    issue = given.get("issue") if isinstance(given, dict) else None
    if isinstance(issue, dict):
        _row(style, "", _cut(f"{issue.get('name')}: {' '.join(str(issue.get('text')).split())}"))
    else:
        _row(style, "", _cut(in_short(given)))


def _row(style: Style, label: str, text: str, more: str = "") -> None:
    if text:
        write(f"  {style.cyan(label.ljust(8))} {text}" + (f"  {style.dim(more)}" if more else ""))


def _cut(text: str) -> str:
    return text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"


def _data(event: Event | None) -> dict[str, Any]:
    data = event.data if event is not None and event.payload is not None else None
    return data if isinstance(data, dict) else {}
