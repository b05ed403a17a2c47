"""`twelvefold state`: any read model, as of any position or time, and what differs between two of them."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Annotated, Any

import msgspec
import typer

from ..errors import UsageInvalid
from ..eventstore.forgotten import forgotten
from ..eventstore.reader import LogReader
from ..projections.projection import Projection
from ..projections.registry import BUILT_IN, projection_named
from ..projections.state import Change, changes
from ..read_models import position_of, rows_at, shown, standings
from ..run_place import open_own_log, open_run
from ..settings import load_settings
from .output import Style, harmless, note, redraws, rfc3339, write, write_json, write_jsonl, write_table

_NS = "_ns"


def state(
    projection: Annotated[str, typer.Argument(metavar="[PROJECTION]", help="Which; all, where it is left out.")] = "",
    run: Annotated[str | None, typer.Option("--run", metavar="R", help="Only this run; a prefix will do.")] = None,
    at: Annotated[
        list[str] | None,
        typer.Option(
            "--at", metavar="POS|TIME", help="As of a position, 5m ago, 2026-01-31T12:00Z; twice: the difference."
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
    as_jsonl: Annotated[bool, typer.Option("--jsonl", help="Print one JSON object a line.")] = False,
) -> None:
    """Show any read model as of any position or time.

    Without PROJECTION it lists what there is and how far each is folded; with --run only, all that is known of the run.
    --at takes a position, a moment, or `end`; given twice it shows what changed from the first to the second. With
    --run only events of that run count. Works while a bus runs and when none does. The keys with --json are projection,
    run, position, time, rows, each with the parts of its key and its fields; of a difference projection, run, from, to
    (position, time) and changes (change: added, removed or changed; row, the row's key parts; fields, each with before
    and after); of all projections of a run: run, position, time, projections; of the list: head and projections
    (projection, state, position, lag, rows, version, parked_at, error).
    """
    if len(at or ()) > 2:
        raise UsageInvalid("--at is given once, or twice for a difference", "twelvefold state")
    if as_json and as_jsonl:
        raise UsageInvalid("--json and --jsonl are two forms, choose one", "twelvefold state")
    home, now = load_settings().home, time.time_ns()
    with contextlib.ExitStack() as stack:
        log: LogReader
        if run is not None:
            log, run, _ = stack.enter_context(open_run(home, run, "twelvefold state --run"))
            if forgotten(log, run) is not None:
                note(f"run {run} was forgotten: only what its headers and the request to forget it say is left")
        else:
            log = stack.enter_context(open_own_log(home))
        if not projection and run is None and not at:
            _write_list([_readable(one) for one in standings(home, log)], log.head, as_json, as_jsonl)
            return
        places = [position_of(log, text, now) for text in at or ["end"]]
        names = [projection] if projection else _all_of_a_run() if run is not None else ["runs"]
        show = _Show(log, run, as_json, as_jsonl)

        def rows(one: Projection[Any], position: int) -> dict[str, Any]:
            return rows_at(home, log, one, position, run, progress=_progress(one.name, as_json or as_jsonl))

        found = [(one := projection_named(name), [rows(one, place) for place in places]) for name in names]
        _clear(as_json or as_jsonl)
        if len(places) == 2:
            show.differences(found, places)
        elif projection or run is None:
            show.rows(*found[0], places[0])
        else:
            show.all(found, places[0])


def _all_of_a_run() -> list[str]:
    return [name for name in BUILT_IN if projection_named(name).by_run]


class _Show:
    """How what was found is written."""

    def __init__(self, log: LogReader, run: str | None, as_json: bool, as_jsonl: bool) -> None:
        self._log, self._run, self._json, self._jsonl = log, run, as_json, as_jsonl

    def rows(self, projection: Projection[Any], states: list[dict[str, Any]], position: int) -> None:
        """Write the rows of one projection."""
        found = [_readable(row) for row in shown(projection, states[0])]
        if self._json:
            write_json({"projection": projection.name, "run": self._run, **self._at(position), "rows": found})
        elif self._jsonl:
            for row in found:
                write_jsonl(row)
        else:
            _write_rows(projection, found)
            note(f"as of position {position}{self._time(position)}")

    def all(self, found: list[tuple[Projection[Any], list[dict[str, Any]]]], position: int) -> None:
        """Write the rows of several projections."""
        known = {one.name: [_readable(row) for row in shown(one, states[0])] for one, states in found}
        if self._json:
            write_json({"run": self._run, **self._at(position), "projections": known})
            return
        for one, _ in found:
            if self._jsonl:
                for row in known[one.name]:
                    write_jsonl({"projection": one.name, **row})
            elif known[one.name]:
                write(Style(sys.stdout).bold(one.name))
                _write_rows(one, known[one.name], without=("run",))
                write("")
        if not self._jsonl:
            note(f"as of position {position}{self._time(position)}")

    def differences(self, found: list[tuple[Projection[Any], list[dict[str, Any]]]], places: list[int]) -> None:
        """Write what changed between two positions."""
        documents: list[dict[str, Any]] = [
            {
                "projection": one.name,
                "run": self._run,
                "from": self._at(places[0]),
                "to": self._at(places[1]),
                "changes": [_change(one, change) for change in _between(one, states)],
            }
            for one, states in found
        ]
        if self._json:
            write_json(documents[0] if len(documents) == 1 else documents)
            return
        style = Style(sys.stdout)
        for document in documents:
            for change in document["changes"]:
                if self._jsonl:
                    write_jsonl({"projection": document["projection"], **change})
                else:
                    _write_change(style, document["projection"], change)
        if not self._jsonl:
            count = sum(len(document["changes"]) for document in documents)
            note(f"{count} rows differ between positions {places[0]} and {places[1]}")

    def _at(self, position: int) -> dict[str, Any]:
        found = self._log.read(after=position - 1, limit=1) if position else []
        return {"position": position, "time": rfc3339(found[0].time) if found else None}

    def _time(self, position: int) -> str:
        time = self._at(position)["time"]
        return f" ({time})" if time else ""


def _between(projection: Projection[Any], states: list[dict[str, Any]]) -> list[Change]:
    # What people see of a row counts, and rows that show nothing don't.
    before, after = (dict(_by_key(projection, rows)) for rows in states)
    return changes(before, after)


def _by_key(projection: Projection[Any], rows: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    found = []
    for key, value in rows.items():
        for row in projection.shown(key, value):
            found.append(("/".join([key, *(str(row[name]) for name in ("path", "id") if name in row)]), row))
    return found


def _change(projection: Projection[Any], change: Change) -> dict[str, Any]:
    row = change.after or change.before
    names = (*projection.key_names, *(name for name in ("path", "id") if name in row))
    fields = {
        name.removesuffix(_NS): {"before": _time(name, before), "after": _time(name, after)}
        for name, (before, after) in change.fields.items()
        if name not in names or change.kind == "changed"
    }
    return {"change": change.kind, "row": {name: row[name] for name in names if name in row}, "fields": fields}


def _readable(value: Any) -> Any:
    """Return a row as it is written: times are texts, and lose the unit in their names."""
    if isinstance(value, msgspec.Struct):
        value = msgspec.to_builtins(value)
    if isinstance(value, dict):
        return {str(name).removesuffix(_NS): _time(str(name), one) for name, one in value.items()}
    return [_readable(one) for one in value] if isinstance(value, list | tuple) else value


def _time(name: str, value: Any) -> Any:
    if name.endswith(_NS) and isinstance(value, int):
        return rfc3339(value)
    return _readable(value)


def _write_rows(projection: Projection[Any], rows: list[dict[str, Any]], without: tuple[str, ...] = ()) -> None:
    columns = projection.columns or tuple(
        dict.fromkeys(name for row in rows for name, value in row.items() if not isinstance(value, list | dict))
    )
    if "value" in columns:
        rows = [{"value": ", ".join(_parts(row, projection.key_names)) or None, **row} for row in rows]
    write_table(rows, [name for name in columns if name not in without], empty="there are no rows")


def _parts(row: dict[str, Any], without: Iterable[str], place: str = "") -> Iterator[str]:
    """Yield what a row says beside its key: numbers and texts at whatever depth, no lists and nothing empty."""
    for name, value in row.items():
        if isinstance(value, dict):
            yield from _parts(value, (), f"{place}{name}.")
        elif value and name not in without and isinstance(value, int | float | str):
            yield f"{place}{name} {value:g}" if isinstance(value, float) else f"{place}{name} {value}"


def _write_change(style: Style, name: str, change: dict[str, Any]) -> None:
    sign = {"added": style.green("+"), "removed": style.red("-"), "changed": style.yellow("~")}[change["change"]]
    write(f"{sign} {name} {harmless(' '.join(str(part) for part in change['row'].values()))}")
    for field, values in change["fields"].items():
        before, after = (_word(values[when]) for when in ("before", "after"))
        if change["change"] == "changed":
            write(f"    {field}: {before} -> {after}")
        else:
            shown_value = after if change["change"] == "added" else before
            if shown_value not in ("null", "[]", "{}", '""'):
                write(f"    {field}: {shown_value}")


def _word(value: Any) -> str:
    return harmless(value if isinstance(value, str) and value else msgspec.json.encode(value).decode())


def _write_list(rows: list[dict[str, Any]], head: int, as_json: bool, as_jsonl: bool) -> None:
    if as_json:
        write_json({"head": head, "projections": rows})
    elif as_jsonl:
        for row in rows:
            write_jsonl(row)
    else:
        write_table(rows, ("projection", "state", "position", "lag", "rows", "error"), empty="there are no projections")
        note(f"the log ends at position {head}")


def _progress(name: str, quiet: bool) -> Callable[[int, int], None] | None:
    if quiet or not redraws(sys.stderr):
        return None

    def show(position: int, until: int) -> None:
        sys.stderr.write(f"\r\x1b[Kfolding {name}: {position} of {until} events")
        sys.stderr.flush()

    return show


def _clear(quiet: bool) -> None:
    if not quiet and redraws(sys.stderr):
        sys.stderr.write("\r\x1b[K")
