"""Rows that are kept: they follow the log, survive deaths and deletion, and are never other than folded anew."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from twelvefold.eventstore.event import Event, new_event
from twelvefold.eventstore.log import Append
from twelvefold.eventstore.reader import LogReader
from twelvefold.eventstore.sqlite_log import SqliteLog
from twelvefold.projections import following, registry
from twelvefold.projections.errors import ProjectionBehind, ProjectionDiffers, ProjectionFailed, StoreBusy, StoreFailed
from twelvefold.projections.projection import Projection, data_of
from twelvefold.projections.rebuilding import check_rebuild
from twelvefold.projections.runner import Runner
from twelvefold.projections.state import changes, keep_up, state_at
from twelvefold.projections.store import FILE, Store
from twelvefold.projections.stored import StoredRows

RUN = "0190a0b0c0d0e0f00000000000000001"


class Counts(Projection[dict[str, Any]]):
    """How many events of each type there were, and what they said last."""

    name = "counts"
    types = ("demo.*",)
    key_names = ("type",)

    def keys(self, event: Event) -> Iterable[str]:
        return (event.type,)

    def initial(self, key: str) -> dict[str, Any]:
        return {"count": 0}

    def apply(self, state: dict[str, Any], event: Event) -> dict[str, Any] | None:
        if event.type == "demo.broken":
            raise ValueError("it can't be read")
        if event.type == "demo.gone":
            return None
        return {"count": state["count"] + 1, "last": data_of(event).get("n")}


class CountsOtherwise(Counts):
    version = 2

    def apply(self, state: dict[str, Any], event: Event) -> dict[str, Any] | None:
        return {"count": state["count"] + 10}


class Home:
    """A home with a log that is written here."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._log = SqliteLog(path / "log.db", durability="relaxed")

    def append(self, *types: str, **fields: Any) -> int:
        events = [new_event(type, {"n": n}, id=os.urandom(16), **fields) for n, type in enumerate(types)]
        self._log.append(Append(events=events))
        return self._log.head

    def happen(self, count: int) -> int:
        return self.append(*("demo.a" if n % 3 else "demo.b" for n in range(count)))

    def reader(self) -> LogReader:
        return LogReader(self.path / "log.db")

    def close(self) -> None:
        self._log.close()


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    made = Home(tmp_path)
    yield made
    made.close()


@pytest.fixture(autouse=True)
def short_intervals(monkeypatch: pytest.MonkeyPatch) -> None:
    """Snapshots and eviction happen within few events."""
    monkeypatch.setattr(following, "SNAPSHOT_EVERY", 50)


def follow(home: Home, projection: Projection[Any] | None = None, *, pages: int = 7) -> list[ProjectionFailed]:
    """Fold what there is, in small pages, as a process that ends then."""
    failures: list[ProjectionFailed] = []
    with home.reader() as log, Store(home.path) as store:
        runner = Runner(store, log, [projection or Counts()], parked=failures.append)
        while runner.advance(pages):
            pass
    return failures


def rows(home: Home, position: int | None = None, projection: Projection[Any] | None = None) -> dict[str, Any]:
    with home.reader() as log:
        return state_at(log, projection or Counts(), position, stored=StoredRows(home.path))


def folded(home: Home, position: int | None = None) -> dict[str, Any]:
    with home.reader() as log:
        return state_at(log, Counts(), position)


def test_rows_as_of_every_position_are_those_folded_anew(home: Home) -> None:
    """Whatever was kept where: as of each position the rows are what its events give, removed rows too."""
    home.happen(120)
    home.append("demo.gone")
    follow(home)
    home.happen(60)
    home.append("demo.gone", "demo.b")
    follow(home, pages=1000)
    home.happen(5)
    head = home.append("other.thing")
    for position in range(head + 1):
        assert rows(home, position) == folded(home, position), position


def test_going_on_reads_only_what_is_new(home: Home) -> None:
    """A successor goes on from the checkpoint, with the rows that were kept."""
    head = home.happen(40)
    follow(home)
    kept = StoredRows(home.path).checkpoint("counts")
    assert kept is not None
    assert (kept.position, kept.rows) == (head, 2)
    more = home.happen(3)
    follow(home)
    assert rows(home)["demo.a"]["count"] == sum(bool(n % 3) for n in range(40)) + 2
    kept = StoredRows(home.path).checkpoint("counts")
    assert kept is not None
    assert kept.position == more


def test_rows_and_checkpoint_are_committed_together(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever dies before the commit has changed nothing: neither the rows nor how far they are folded."""
    home.happen(20)
    follow(home)
    before = (StoredRows(home.path).checkpoint("counts"), rows(home, 20))
    home.happen(20)
    commit = following.Following.commit

    def dies(self: following.Following) -> None:
        commit(self)
        raise KeyboardInterrupt

    monkeypatch.setattr(following.Following, "commit", dies)
    with pytest.raises(KeyboardInterrupt):
        follow(home)
    monkeypatch.undo()
    monkeypatch.setattr(following, "SNAPSHOT_EVERY", 50)
    assert (StoredRows(home.path).checkpoint("counts"), rows(home, 20)) == before
    follow(home)
    assert rows(home) == folded(home)


def test_the_file_may_be_deleted_while_it_is_written(home: Home) -> None:
    """Rows come again after somebody removed the file, with or without what lies beside it."""
    home.happen(30)
    with home.reader() as log, Store(home.path) as store:
        runner = Runner(store, log, [Counts()])
        runner.catch_up(log.head)
        (home.path / FILE).unlink()
        head = home.happen(10)
        while runner.advance():
            pass
        assert runner.position == head
    assert rows(home) == folded(home)
    for file in home.path.glob("projections.db*"):
        file.unlink()
    assert rows(home) == folded(home)


@pytest.mark.parametrize("content", [b"", b"no database at all" * 300])
def test_a_file_that_is_none_of_ours_is_thrown_away(home: Home, content: bytes) -> None:
    """Garbage in its place is never read, and made anew by the next who writes."""
    home.happen(30)
    (home.path / FILE).write_bytes(content)
    assert rows(home) == folded(home)
    follow(home)
    kept = StoredRows(home.path).checkpoint("counts")
    assert kept is not None
    assert kept.position == 30


@pytest.mark.parametrize("sound", [1, 20])
def test_a_damaged_file_is_made_anew(home: Home, sound: int) -> None:
    """Pages that are garbage park no projection: the file is thrown away, and the next one folds all anew."""
    home.append(*(f"demo.k{n}" for n in range(3000)))
    follow(home, pages=5000)
    whole = (home.path / FILE).read_bytes()
    (home.path / FILE).write_bytes(whole[: 4096 * sound] + os.urandom(len(whole) - 4096 * sound))
    assert rows(home, 2500) == folded(home, 2500)
    home.append("demo.k1")
    # Where it isn't noticed at once, it is when a row is wanted; the next one finds nothing then.
    with contextlib.suppress(StoreFailed):
        follow(home)
    assert follow(home, pages=5000) == []
    assert rows(home) == folded(home)
    kept = StoredRows(home.path).checkpoint("counts")
    assert kept is not None
    assert (kept.position, kept.rows) == (3001, 3000)


def test_what_a_power_cut_left_is_not_used(home: Home) -> None:
    """Nothing of the file is synced; so one that was being written when the machine went down is made anew."""
    head = home.happen(30)
    follow(home)
    database = sqlite3.connect(home.path / FILE)
    assert database.execute("SELECT boot FROM written").fetchone() == ("",)
    database.execute("UPDATE written SET boot = 'of another start'")
    database.execute("UPDATE rows SET state = '{\"count\":1000}'")
    database.commit()
    database.close()
    with home.reader() as log, Store(home.path) as store:
        runner = Runner(store, log, [Counts()])
        assert runner.position == 0
        runner.catch_up(head)
    assert rows(home) == folded(home)


def test_rows_of_another_log_are_never_used(home: Home, tmp_path: Path) -> None:
    """Rows that were folded from a log which isn't this one any more count as not there."""
    home.happen(30)
    follow(home)
    (tmp_path / "other").mkdir()
    other = Home(tmp_path / "other")
    other.append(*["demo.c"] * 40)
    (other.path / FILE).write_bytes(b"")
    for file in home.path.glob("projections.db*"):
        (other.path / file.name).write_bytes(file.read_bytes())
    assert rows(other) == {"demo.c": {"count": 40, "last": 39}}
    follow(other)
    assert rows(other) == {"demo.c": {"count": 40, "last": 39}}
    other.close()


def test_changed_code_is_folded_beside_and_takes_the_place(home: Home) -> None:
    """While the new rows are made the old ones stay readable; then they are the ones that count."""
    head = home.happen(60)
    follow(home)
    with home.reader() as log, Store(home.path) as store:
        runner = Runner(store, log, [CountsOtherwise()])
        runner.advance(10)
        live = StoredRows(home.path).checkpoint("counts")
        assert live is not None
        assert (live.version, live.position) == (1, head)
        building = [one for one in StoredRows(home.path).checkpoints() if not one.live]
        assert [(one.version, one.position) for one in building] == [(2, 10)]
    # Whoever goes on continues what was begun.
    with home.reader() as log, Store(home.path) as store:
        runner = Runner(store, log, [CountsOtherwise()])
        assert runner.position == 10
        runner.catch_up(head)
    (only,) = StoredRows(home.path).checkpoints()
    assert (only.version, only.live, only.position) == (2, 1, head)
    assert rows(home, projection=CountsOtherwise())["demo.b"] == {"count": 200}


def test_a_failing_projection_parks_before_the_event(home: Home) -> None:
    """It skips nothing, keeps what it had, tells once, and goes on by itself once its code can."""
    home.happen(25)
    home.append("demo.a", "demo.broken", "demo.a")
    (failure,) = follow(home, pages=1000)
    assert (failure.position, failure.type) == (27, "demo.broken")
    kept = StoredRows(home.path).checkpoint("counts")
    assert kept is not None
    assert (kept.position, kept.parked) == (26, 27)
    assert "it can't be read" in kept.error
    assert rows(home, 26) == folded(home, 26)
    with pytest.raises(ProjectionFailed):
        rows(home)
    with pytest.raises(ProjectionBehind, match="can't be read"):
        StoredRows(home.path).wait("counts", 28, timeout_s=30)
    follow(home, CountsOtherwise())
    assert rows(home, projection=CountsOtherwise())["demo.broken"] == {"count": 10}


def test_others_go_on_beside_a_parked_one(home: Home) -> None:
    """One projection that fails holds up no other."""

    class Plain(Counts):
        name = "plain"

        def apply(self, state: dict[str, Any], event: Event) -> dict[str, Any] | None:
            return {"count": state["count"] + 1}

    home.append("demo.a", "demo.broken", "demo.a")
    with home.reader() as log, Store(home.path) as store:
        runner = Runner(store, log, [Counts(), Plain()])
        while runner.advance(1):
            pass
        assert [(one.projection.name, one.position) for one in runner.followed] == [("counts", 1), ("plain", 3)]


def test_a_projection_that_exits_parks_too(home: Home) -> None:
    """Leaving the process is no way to fold an event: the projection parks, and the process that follows goes on."""

    class Leaving(Counts):
        def apply(self, before: dict[str, Any], event: Event) -> dict[str, Any] | None:
            if event.position == 3:
                raise SystemExit(3)
            return super().apply(before, event)

    home.append("demo.a", "demo.a", "demo.a")
    (failure,) = follow(home, Leaving(), pages=1000)
    assert (failure.position, failure.reason) == (3, "SystemExit: 3")


@pytest.mark.parametrize("given", [(7,), "abc", None, ("\udc80",), (("a", "b"),)])
def test_keys_that_are_none_park(home: Home, given: Any) -> None:
    """What is no sequence of texts parks the projection at its event, and nothing else stops."""

    class Keyed(Counts):
        def keys(self, event: Event) -> Iterable[str]:
            return ("a",) if event.position < 3 else given  # type: ignore[no-any-return]

    home.append("demo.a", "demo.a", "demo.a")
    (failure,) = follow(home, Keyed(), pages=1000)
    assert failure.position == 3
    assert rows(home, 2, Keyed()) == {"a": {"count": 2, "last": 1}}


@pytest.mark.parametrize("returns", [True, False])
def test_a_state_that_is_changed_in_place_parks(home: Home, returns: bool) -> None:
    """What is changed in place and returned as it was given would be lost: said at the event, and what was is kept."""

    class InPlace(Counts):
        def apply(self, before: dict[str, Any], event: Event) -> dict[str, Any] | None:
            if event.position < 3:
                return super().apply(before, event)
            before["count"] += 1
            return before if returns else {**before}

    home.append("demo.a", "demo.a", "demo.a")
    (failure,) = follow(home, InPlace(), pages=1000)
    assert (failure.position, "in place" in failure.reason) == (3, True)
    assert rows(home, 2, InPlace()) == {"demo.a": {"count": 2, "last": 1}}
    with pytest.raises(ProjectionFailed, match="in place"):
        rows(home, projection=InPlace())


@pytest.mark.parametrize("state", [{1: "a number for a key"}, {"set": {1, 2}}, {"tuple": (1, 2)}])
def test_a_state_that_json_would_change_parks(home: Home, state: dict[Any, Any]) -> None:
    """What would come back as something else is refused at the event that made it, not found out after a restart."""

    class Odd(Counts):
        def apply(self, before: dict[str, Any], event: Event) -> dict[str, Any] | None:
            return state if event.type == "demo.odd" else {"count": before["count"] + 1}

    home.append("demo.a", "demo.a", "demo.odd", "demo.a")
    (failure,) = follow(home, Odd(), pages=1000)
    assert (failure.position, failure.type) == (3, "demo.odd")
    kept = StoredRows(home.path).checkpoint("counts")
    assert kept is not None
    assert (kept.position, kept.rows) == (2, 1)


def test_a_number_of_another_kind_parks(home: Home) -> None:
    """A whole number in a field of fractions would be written otherwise once it was read."""

    class Share(msgspec.Struct, frozen=True):
        part: float = 0.0

    class Shares(Projection[Share]):
        name = "shares"

        def initial(self, key: str) -> Share:
            return Share()

        def apply(self, state: Share, event: Event) -> Share:
            return Share(0.5) if event.position < 3 else Share(1)

    home.append("demo.a", "demo.a", "demo.a")
    (failure,) = follow(home, Shares(), pages=1000)
    assert failure.position == 3


def test_one_process_writes(home: Home) -> None:
    """A second writer is refused; reading goes on beside the first, and keeping up leaves it to it."""
    home.happen(10)
    with Store(home.path), home.reader() as log:
        with pytest.raises(StoreBusy):
            Store(home.path)
        assert not keep_up(home.path, log, Counts(), 10)
        assert rows(home) == folded(home)


def test_waiting_reads_what_was_written(home: Home) -> None:
    """Waiting for a position returns once it is folded, and says how far things are where it isn't in time."""
    head = home.happen(10)
    with pytest.raises(ProjectionBehind, match="nothing has folded it"):
        StoredRows(home.path).wait("counts", head, timeout_s=0.01)
    follow(home)
    assert StoredRows(home.path).wait("counts", head, timeout_s=30).position == head
    with pytest.raises(ProjectionBehind, match=f"to position {head}, not to {head + 1}"):
        StoredRows(home.path).wait("counts", head + 1, timeout_s=0.01)


def counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the test's projection be the only one that there is."""
    monkeypatch.setattr("twelvefold.projections.rebuilding.all_projections", lambda: ([Counts()], []))


def test_rebuilt_equals_live_or_is_named(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """Folding anew finds rows that somebody changed, and names the projection and the row."""
    counted(monkeypatch)
    home.happen(80)
    follow(home)
    with home.reader() as log:
        assert check_rebuild(home.path, log).equal == 1
        database = sqlite3.connect(home.path / FILE)
        database.execute("UPDATE rows SET state = '{\"count\":1000}' WHERE key = 'demo.b'")
        database.commit()
        database.close()
        with pytest.raises(ProjectionDiffers, match=r"demo\.b"):
            check_rebuild(home.path, log)
    # Nobody is told what isn't so.
    assert rows(home) == folded(home)


def test_damaged_snapshots_count_as_none(home: Home) -> None:
    """A snapshot that doesn't hash to what was folded is passed over."""
    home.happen(200)
    follow(home)
    database = sqlite3.connect(home.path / FILE)
    assert database.execute("SELECT count(*) FROM history").fetchone()[0] > 0
    database.execute("UPDATE history SET state = '{\"count\":7}'")
    database.commit()
    database.close()
    for position in range(0, 200, 7):
        assert rows(home, position) == folded(home, position)


def test_what_was_forgotten_is_gone_from_the_rows(home: Home) -> None:
    """After a run was forgotten, rows are folded anew from what is left, and nobody is given the old ones."""
    home.append("demo.a", "demo.b")
    follow(home)
    head = home.append("run.forgotten", stream=f"request.{RUN}", run=RUN)
    began = StoredRows(home.path).checkpoint("counts")
    assert began is not None
    with home.reader() as log:
        assert StoredRows(home.path).nearest(Counts(), log, 2) is None
    follow(home)
    (only,) = StoredRows(home.path).checkpoints()
    assert (only.position, only.live) == (head, 1)
    assert only.id != began.id
    assert only.began == head


def test_differences_name_rows_and_fields(home: Home) -> None:
    """Between two positions rows come, go and change, field by field."""
    home.append("demo.a", "demo.b", "demo.a", "demo.c")
    told = {one.key: (one.kind, one.fields) for one in changes(folded(home, 1), folded(home, 4))}
    assert told["demo.a"] == ("changed", {"count": (1, 2), "last": (0, 2)})
    assert [told[key][0] for key in ("demo.b", "demo.c")] == ["added", "added"]
    assert [one.kind for one in changes(folded(home, 4), folded(home, 0))] == ["removed"] * 3
    assert changes(folded(home, 3), folded(home, 3)) == []


def test_built_in_projections_are_all_there() -> None:
    """Every built-in projection loads under its name, and none is broken."""
    good, broken = registry.all_projections()
    assert {one.name for one in good} >= {
        "runs", "tasks", "sagas", "agents", "processes", "inbox", "cost", "effects", "repositories"
    }  # fmt: skip
    assert broken == []
    for one in good:
        for field in one.columns:
            assert field.isidentifier()
