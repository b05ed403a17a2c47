"""Folding events into the rows of one projection, in memory. Pure but for the log that a fork's history is read from.

Owns the order of things: which events a projection gets, that an event changes all of its rows or none, and where the
rows of a fork come from. Leaves keeping rows to `store`.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final

from ..eventstore.event import Event
from ..eventstore.names import matches
from ..eventstore.run import FORKED, Readable, parts_of, read_run
from .errors import ProjectionFailed, StoreFailed
from .projection import Alias, Projection, data_of, text

_PAGE = 5_000
_MISSING: Final = object()
#: So many events are looked at for what a projection of somebody else's changes in place; such code shows early.
_WATCHED = 1_000


class Fold:
    """The rows of one projection while events arrive. `fetch` gives the state of a row that isn't in memory, None for
    one that was never stored; `log` is where the history of a fork's parent is read.

    `states` are the rows in memory (None: there is none under this key), `changed` the keys of those that events have
    changed since the caller emptied it.
    """

    def __init__(
        self,
        projection: Projection[Any],
        *,
        log: Readable | None = None,
        fetch: Callable[[str], Any] | None = None,
    ) -> None:
        self.projection = projection
        self.states: dict[str, Any] = {}
        self.changed: set[str] = set()
        #: Keys whose state is the initial one, as no event has changed it: there is no row of them.
        self._blank: set[str] = set()
        self._log = log
        self._fetch = fetch
        self._initial = _initial_of(projection)
        self._wanted: dict[str, bool] = {}
        #: Of our own projections a test sees to it that they are pure.
        self._is_foreign = not type(projection).__module__.startswith(f"{__package__}.")
        self._to_watch = _WATCHED if self._is_foreign else 0

    def take(self, events: Iterable[Event]) -> None:
        """Fold events, in position order. Raises ProjectionFailed at the first that can't be folded, all before it
        being folded and nothing of it.
        """
        wanted, states, changed = self._wanted, self.states, self.changed
        keys, apply, inherits = self.projection.keys, self.projection.apply, self.projection.inherits
        if self._is_foreign:
            keys = self._checked_keys
        if self._to_watch > 0:
            apply = self._watched_apply
        for event in events:
            interest = wanted.get(event.type)
            if interest is None:
                interest = wanted[event.type] = self.wants(event.type)
            if not interest:
                continue
            try:
                inherited = self._inherited(event) if inherits and event.type == FORKED and event.version == 1 else None
                after = [*inherited.items()] if inherited else []
                for key in keys(event) if event.type != FORKED or self._asks_for(FORKED) else ():
                    before = states.get(key, _MISSING)
                    if inherited and key in inherited:
                        before = inherited[key]
                    elif before is _MISSING:
                        before = states[key] = self._stored(key)
                    if before.__class__ is Alias and before.to:
                        key = before.to
                        before = states[key] if key in states else self._stored(key)
                    new = apply(before, event)
                    if new is not before:
                        after.append((key, new))
            except StoreFailed:
                raise  # not the projection's fault
            except _ChangedInPlace as error:
                states[key] = error.before
                reason = "apply changed the state that it was given in place; return a new one instead"
                raise ProjectionFailed(self.projection.name, event.position, event.type, reason) from None
            except (Exception, SystemExit) as error:
                raise ProjectionFailed(
                    self.projection.name, event.position, event.type, f"{type(error).__name__}: {error}"
                ) from error
            for key, new in after:
                states[key] = new
                changed.add(key)
                self._blank.discard(key)

    def wants(self, type: str) -> bool:
        """Tell whether events of a type mean something here: the projection asks for them, or they begin a fork."""
        return (self.projection.inherits and type == FORKED) or self._asks_for(type)

    def _asks_for(self, type: str) -> bool:
        return any(matches(pattern, type) for pattern in self.projection.types)

    def rows(self) -> Iterator[tuple[str, Any]]:
        """Yield the rows in memory, in the order of their keys."""
        states = self.states
        yield from ((key, states[key]) for key in sorted(states.keys() - self._blank) if states[key] is not None)

    def _checked_keys(self, event: Event) -> Iterable[str]:
        """Return the keys of an event; raises TypeError for what is none, and ValueError for what no file can hold."""
        given: Any = self.projection.keys(event)
        if isinstance(given, str):
            raise TypeError(f"keys gave {given!r}, whose letters would each be a row: return ({given!r},)")
        found = tuple(given)
        for key in found:
            if not isinstance(key, str):
                raise TypeError(f"keys gave {key!r}, and a row's key is a text")
            key.encode()
        return found

    def _watched_apply(self, state: Any, event: Event) -> Any:
        """Apply an event; raises _ChangedInPlace where that isn't pure, by which changes would be lost silently."""
        self._to_watch -= 1
        before = copy.deepcopy(state)
        new = self.projection.apply(state, event)
        if state != before:
            raise _ChangedInPlace(before)
        return new

    def _stored(self, key: str) -> Any:
        found = None if self._fetch is None else self._fetch(key)
        if found is None:
            self._blank.add(key)
            return self._initial(key)
        return found

    def _inherited(self, event: Event) -> dict[str, Any]:
        """Return the rows that a fork's parent had at the fork, under the fork's own id."""
        data = data_of(event)
        parent, at = text(data.get("parent")), data.get("at")
        if self._log is None or not parent or not isinstance(at, int) or at >= event.position:
            return {}
        # A fork of a fork may be cut before its parent was forked: then it begins as that one's parent was.
        for part in parts_of(self._log, parent, at):
            parent, at = part.run, part.until
            if part.first <= part.until:
                break
        child = event.stream.removeprefix("run.")
        past = Fold(self.projection, log=self._log)
        past.take(read_run(self._log, parent, until=at))
        found = {}
        for key, state in past.rows():
            if key != parent and not key.startswith(f"{parent}/"):
                continue
            if isinstance(state, Alias):
                taken: Any = Alias(child + state.to[len(parent) :])
            else:
                taken = self.projection.taken_over(state, event)
            found[child + key[len(parent) :]] = taken
        return found


class _ChangedInPlace(Exception):
    """A state was changed that should have been left as it was; `before` is how it was."""

    def __init__(self, before: Any) -> None:
        super().__init__()
        self.before = before


def fold_log(
    projection: Projection[Any], log: Readable, *, until: int | None = None, run: str | None = None
) -> dict[str, Any]:
    """Return the rows of a projection, folded from the log's beginning up to a position (the head, where None).

    With a run, only the events of that run count, and of a projection by run only its own rows. Raises
    ProjectionFailed.
    """
    fold = Fold(projection, log=log)
    if run is not None:
        fold.take(read_run(log, run, until=until))
        rows = dict(fold.rows())
        if projection.by_run:
            return {key: state for key, state in rows.items() if key == run or key.startswith(f"{run}/")}
        return rows
    for page in pages(log, 0, until):
        fold.take(page)
    return dict(fold.rows())


def pages(log: Readable, after: int, until: int | None) -> Iterator[list[Event]]:
    """Yield what the log holds after a position, up to another one, page by page."""
    while page := list(log.read(after=after, until=until, limit=_PAGE)):
        yield page
        after = page[-1].position


def _initial_of(projection: Projection[Any]) -> Callable[[str], Any]:
    """Return a projection's `initial`; one that takes no key may leave it out."""
    given: Callable[..., Any] = projection.initial
    if inspect.signature(given).parameters:
        return given
    return lambda key: given()
