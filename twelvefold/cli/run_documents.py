"""What commands show of a run: the documents of `--json`, and the lines that people read.

Owns those keys and words. What stands in them is orchestration's: the fold of a run, its tree, what waits for a human.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from ..eventstore.forgotten import Forgotten
from ..orchestration.inbox import Waiting
from ..orchestration.plan import pattern_of
from ..orchestration.run_index import RunSummary
from ..orchestration.run_state import Run, tree_order
from ..orchestration.task_tree import NOT_NEEDED, TreeNode, counts, state_of, walk
from .output import Style, rfc3339

#: How a node stands: a sign, and the name of its style.
SIGNS = {
    "succeeded": ("✓", "green"),
    "ended": ("✓", "dim"),
    "nothing_to_do": ("–", "yellow"),
    "failed": ("✗", "red"),
    "cancelled": ("✗", "red"),
    "rolled_back": ("↩", "yellow"),
    "needs_human": ("?", "yellow"),
    "waiting": ("·", "dim"),
    "backoff": ("↻", "yellow"),
    "stopping": ("■", "yellow"),
}
#: How many paths or pieces of evidence are told one by one.
LISTED_MAX = 6
_EXITS = {"needs_human": 7, "failed": 1, "cancelled": 1, "rolled_back": 1}


def exit_of(outcome: str | None, reason: str | None) -> int:
    """Return the exit status that a run's outcome means; an open run's is 0."""
    return 124 if outcome == "failed" and reason == "timeout" else _EXITS.get(outcome or "", 0)


def run_state(run: Run) -> str:
    """Say where a run stands: requested, open, paused, resting, stopping, ended."""
    if run.status == "open" or run.status == "resting":
        if run.stop is not None:
            return "stopping"
        if run.paused or run.pause_asked:
            return "paused"
    return run.status


def summary_document(one: RunSummary, now_ns: int) -> dict[str, Any]:
    """Return what `runs --json` has for a run."""
    ended = one.ended_ns
    return {
        "run": one.run,
        "state": one.state,
        "outcome": one.outcome,
        "reason": one.reason,
        "pattern": one.pattern,
        "labels": one.labels,
        "fork": None if one.parent is None else {"parent": one.parent, "at": one.at},
        "requested": rfc3339(one.requested_ns),
        "ended": rfc3339(ended) if ended else None,
        "elapsed_s": round(((ended or now_ns) - one.requested_ns) / 1e9, 6),
        "positions": {"first": one.first, "last": one.last},
        "forgotten": one.forgotten,
    }


def waiting_document(one: Waiting) -> dict[str, Any]:
    """Return what `inbox --json` has for one thing that waits for a human."""
    return {
        "id": one.id,
        "kind": one.kind,
        "run": one.run,
        "path": one.path,
        "agent": one.agent or None,
        "reason": one.reason or None,
        "question": one.question,
        "takes": list(one.takes),
        "since": rfc3339(one.since),
        "expires": rfc3339(one.expires) if one.expires else None,
        "has_default": one.default is not msgspec.UNSET,
        "default": None if one.default is msgspec.UNSET else one.default,
        "error": one.error,
    }


def asked_line(one: dict[str, Any]) -> str:
    """Return what a document of `waiting_document` asks as one line: the question, and what made it necessary."""
    question, error = one["question"], in_short(one["error"])
    words = " ".join((question if isinstance(question, str) else msgspec.json.encode(question).decode()).split())
    return words if not error or error in words else f"{words}: {error}"


def taken_back_rows(document: dict[str, Any]) -> list[tuple[str, str]]:
    """Return what is undone and what is not, where a run's document tells and that was, or is to be, decided."""
    undone, standing = document.get("undone") or (), document.get("not_undone") or ()
    parked = any(one["kind"] in ("compensation", "stuck") for one in document.get("waiting", ()))
    known = parked or bool(undone) or document.get("state") == "ended"
    return [("undone", listed(undone)), ("standing", listed(standing if known else ()))]


def status_document(
    run: Run, report: dict[str, Any], waiting: list[Waiting], forgotten: Forgotten | None = None
) -> dict[str, Any]:
    """Return what `status --json` prints: all of the run's own document (`report`), and how it stands."""
    end = run.end
    return {
        **report,
        # A job's is a sentence; of a plan of somebody's own only its author knows what its words mean.
        "reason": report["reason"] if report["repo"] else end.get("reason") or None,
        "state": run_state(run),
        "message": end.get("message") or None,
        "error": end.get("error"),
        "value": end.get("value"),
        "pattern": pattern_of(run.plan) if run.plan is not None else None,
        "labels": run.labels if isinstance(run.labels, dict) else {},
        "fork": fork_document(run),
        "requested": rfc3339(run.requested_ns),
        "ended": rfc3339(run.last_ns) if run.status == "ended" else None,
        "tasks": [_task(task) for _, task in sorted(run.tasks.items(), key=lambda item: tree_order(item[0]))],
        "undone": sorted(run.undone, key=tree_order),
        "not_undone": sorted(end.get("not_undone") or (), key=tree_order),
        "budget": _budget(run),
        "waiting": [waiting_document(one) for one in waiting],
        "forgotten": None if forgotten is None else forgotten_document(forgotten),
    }


def forgotten_document(one: Forgotten) -> dict[str, Any]:
    """Return what `status --json` has of a run's having been forgotten."""
    why = one.facts.get("why")
    return {"since": rfc3339(one.since_ns), "by": one.by, "why": why, "done": one.done, "freed": one.freed or None}


def fork_document(run: Run) -> dict[str, Any] | None:
    """Return where a fork comes from; null for any other run."""
    if not run.lineage:
        return None
    return {
        "parent": run.lineage[0].run,
        "at": run.lineage[0].until,
        "live": list(run.live),
        "lineage": [{"run": one.run, "until": one.until} for one in run.lineage],
    }


def _task(task: Any) -> dict[str, Any]:
    report = task.report
    return {
        "path": task.path,
        "agent": task.agent,
        "outcome": report.outcome if report is not None else None,
        "state": state_of(task),
        "reason": (report.reason if report is not None else task.reason) or None,
        "attempts": task.attempt,
        "undo": task.undo,
    }


def _budget(run: Run) -> dict[str, Any]:
    """Return each bound and what is spent of it; a bound that there is not is null."""
    wall_s = max(run.carried_ns + run.last_ns - run.requested_ns, 0) / 1e9
    spent = {"tasks": run.spent.tasks, "wall_s": round(wall_s, 6), "tokens": run.spent.tokens, "usd": run.spent.usd}
    return {name: {"limit": getattr(run.budget, name), "spent": used} for name, used in spent.items()}


def tree_document(node: TreeNode) -> dict[str, Any]:
    """Return what `tree --json` has for a node, with all below it."""
    return {
        "path": node.path,
        "pattern": node.pattern or None,
        "name": node.name or None,
        "agent": node.agent or None,
        "state": node.state,
        "attempts": node.attempts,
        "reason": node.reason or None,
        "message": node.message or None,
        "undone": node.undone,
        "children": [tree_document(child) for child in node.children],
    }


def tree_lines(node: TreeNode, style: Style, *, most: int | None = None) -> Iterator[str]:
    """Yield the lines of a tree; of more than `most` children of one node only the first, and how the others stand."""
    yield from _lines(node, "", "", style, most)


def _sign(node: TreeNode) -> tuple[str, str]:
    """Return how a node stands. Of a pattern that has ended this is told only where all of it went well.

    Whether a failure below it counted is for the pattern to judge, and stands in what became of the run.
    """
    if node.state == "failed" and node.reason == NOT_NEEDED:
        return SIGNS["nothing_to_do"]
    if node.state == "ended" and any(one.state == "failed" and one.reason != NOT_NEEDED for one in walk(node)):
        return "•", "dim"
    return SIGNS.get(node.state, ("…", "yellow"))


def _lines(node: TreeNode, lead: str, below: str, style: Style, most: int | None) -> Iterator[str]:
    sign, paint = _sign(node)
    told = [style.cyan(node.name or node.agent or node.pattern), style.dim(node.path)]
    if node.name and (node.agent or node.pattern):
        told.append(style.dim(node.agent or node.pattern))
    if node.pattern == "undo":
        told.append("undo")
    if node.undone:
        told.append("undone")
    if node.attempts > 1:
        told.append(f"attempt {node.attempts}")
    words = " ".join((node.message or node.reason).split())
    if words:
        told.append(style.dim(words[:160]))
    yield f"{lead}{getattr(style, paint)(sign)} {'  '.join(told)}"
    shown = node.children if most is None or len(node.children) <= most else node.children[:most]
    hidden = node.children[len(shown) :]
    for n, child in enumerate(shown):
        last = n == len(shown) - 1 and not hidden
        yield from _lines(child, below + ("└─ " if last else "├─ "), below + ("   " if last else "│  "), style, most)
    if hidden:
        stand = sum((counts(child) for child in hidden), counts(hidden[0]) - counts(hidden[0]))
        words = ", ".join(f"{number} {state}" for state, number in sorted(stand.items()))
        yield f"{below}└─ {style.dim(f'{len(hidden)} more: {words}')}"


def listed(words: Sequence[str]) -> str:
    """Join words, of many only the first, and say how many more there are."""
    more = len(words) - LISTED_MAX
    return ", ".join(words[:LISTED_MAX]) + (f", and {more} more" if more > 0 else "")


def age(time_ns: int, now_ns: int | None = None) -> str:
    """Return how long ago a moment was, or how long it is until then, in its largest unit."""
    seconds = ((time.time_ns() if now_ns is None else now_ns) - time_ns) / 1e9
    for unit, size in (("d", 86_400), ("h", 3_600), ("m", 60)):
        if abs(seconds) >= size:
            return f"{seconds / size:.0f}{unit}" if seconds > 0 else f"in {-seconds / size:.0f}{unit}"
    return f"{seconds:.0f}s" if seconds >= 0 else f"in {-seconds:.0f}s"


def in_short(value: Any) -> str:
    """Return data of any shape as one line of bounded length."""
    if value is None:
        return ""
    if isinstance(value, dict) and isinstance(value.get("message"), str):
        value = value["message"]
    text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
    text = " ".join(text.split())
    return text if len(text) <= 400 else text[:399] + "…"
