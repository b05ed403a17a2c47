"""The end of a run on the command line: following it there, what people and programs read of it, the exit status."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from .output import note, write, write_json

if TYPE_CHECKING:
    from ..bus.client import BusClient

EXIT_SIGINT = 130
_EXITS = {"succeeded": 0, "nothing_to_do": 0, "needs_human": 7}


def end_of(
    client: BusClient,
    run: str,
    *,
    owned: bool,
    detach: bool,
    as_json: bool,
    report: Callable[[BusClient, str], dict[str, Any]],
) -> int:
    """Follow a run that was submitted to its end, show that, and return the exit status."""
    from .. import jobs
    from ..agent_errors import AgentsGone
    from ..settings import load_settings
    from .run_progress import progress

    if detach:
        write_json({"run": run}) if as_json else write(run)
        note(f"follow it with: twelvefold tree {run} -f")
        return 0
    try:
        with progress(run, quiet=as_json) as show:
            for event in jobs.follow(client, run, load_settings(), owned=owned):
                show(event)
    except AgentsGone:
        if as_json:
            write_json(report(client, run))
        raise
    except KeyboardInterrupt:
        return _interrupted(client, run, owned)
    document = report(client, run)
    if as_json:
        write_json(document)
    else:
        show_document(document)
        if document["branch"]:
            note(f"see it with: git -C {document['repo']} diff {document['base_commit'][:12]} {document['branch']}")
        if document["outcome"] == "needs_human":
            note("answer what it asks: twelvefold inbox")
    return exit_of(document)


def _interrupted(client: BusClient, run: str, owned: bool) -> int:
    """Cancel the run if nobody else keeps what it runs on alive, else let it go on."""
    from ..orchestration import submit

    if not owned:
        note(f"the run goes on; follow it again with: twelvefold tree {run} -f")
        return EXIT_SIGINT
    note(f"cancelling run {run} …")
    submit.cancel(client, run, "interrupted")
    result = submit.wait(client, run)
    note(
        f"the run is {result.outcome}: nothing was published" if result.outcome == "cancelled" else str(result.outcome)
    )
    return EXIT_SIGINT


def exit_of(document: dict[str, Any]) -> int:
    """Return the exit status that a run's document means."""
    if document["reason"] == "timeout":
        return 124
    return exit_of_outcome(document["outcome"])


def exit_of_outcome(outcome: str | None) -> int:
    """Return the exit status that an outcome means."""
    return _EXITS.get(outcome or "", 1)


def show_document(document: dict[str, Any]) -> None:
    """Write a run's document as people read it."""
    import sys

    from .output import Style
    from .run_documents import asked_line, in_short, taken_back_rows

    style = Style(sys.stdout)
    outcome = document["outcome"]
    paint = {"succeeded": style.green, "nothing_to_do": style.yellow, "needs_human": style.yellow}.get(
        outcome, style.red
    )
    write(
        f"{paint(outcome)}  {document['run']}" + (f"  {document['elapsed_s']:.1f} s" if document["elapsed_s"] else "")
    )
    tests = document["tests"]
    rows = [
        ("reason", document["reason"]),
        ("repo", document["repo"]),
        ("branch", document["branch"]),
        ("commit", document["commit"] and document["commit"][:12] if document["branch"] else None),
        ("patch", document["patch"]),
        ("files", ", ".join(document["files_changed"] or ()) if document["branch"] else None),
        ("tests", _tests_line(tests) if tests else None),
        ("failing", ", ".join(tests["newly_failing"][:20]) if tests and tests["newly_failing"] else None),
        ("review", _review_line(document["review"]) if document["review"] else None),
        *(("note", text) for text in document["notes"]),
        # Those of a plan: what it is about only its author knows.
        ("error", document.get("error")),
        ("value", document.get("value")),
        *taken_back_rows(document),
        *(("asks", f"{one['id']} {one['path']}: {asked_line(one)}") for one in document.get("waiting", ())),
    ]
    for name, value in [*rows, *((one["name"], _change_line(one)) for one in document.get("repos", ()))]:
        if value:
            write(f"  {style.dim(name.ljust(8))} {in_short(value)}")


def _change_line(one: dict[str, Any]) -> str:
    """Return what has become of one of several repositories."""
    if not one["branch"]:
        return "nothing was published" if one["commit"] else "nothing was changed"
    tests = f"; tests {_tests_line(one['tests'])}" if one["tests"] else ""
    return f"{one['branch']} at {one['commit'][:12]}: {', '.join(one['files_changed'] or ())}{tests}"


def _review_line(review: dict[str, Any]) -> str:
    """Return how many findings there are of each severity, and where the first ones stand, in one line."""
    findings = review["findings"]
    if not findings:
        return "nothing found"
    severities = [finding["severity"] for finding in findings]
    counts = [
        f"{severities.count(one)} {one}{'s' if severities.count(one) > 1 else ''}" for one in dict.fromkeys(severities)
    ]
    shown = [f"{finding['file']}:{finding['line']} {finding['rule']}" for finding in findings[:5]]
    more = f", and {len(findings) - 5} more" if len(findings) > 5 else ""
    return f"{', '.join(counts)}: {', '.join(shown)}{more}"


def _tests_line(tests: dict[str, Any]) -> str:
    """Return before and after in one line."""

    def counts(side: dict[str, Any] | None) -> str:
        if side is None:
            return "not run"
        return "no results" if side["passed"] is None else f"{side['passed']} passed, {side['failed']} failed"

    return f"{tests['status']}: {counts(tests['before'])} before; {counts(tests['after'])} after  ({tests['command']})"
