"""Runs as files: whole and proven in another home, refused with what is wrong where they aren't what was exported."""

from __future__ import annotations

import hashlib
import os
import shutil
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.made_runs import REPOSITORY, MadeRun
from twelvefold.agents.git import Git
from twelvefold.agents.prompt import PACKAGED
from twelvefold.eventstore import sqlite
from twelvefold.eventstore.blobs import BlobStore
from twelvefold.eventstore.event import Event
from twelvefold.eventstore.run import read_run
from twelvefold.eventstore.sqlite_log import SqliteLog
from twelvefold.imported_run import verify_imports
from twelvefold.run_diff import compare, side_of
from twelvefold.run_export import Exported, Proof, export_run
from twelvefold.run_file_errors import (
    ImportDamaged,
    NoRunFile,
    RunFileDamaged,
    RunFileExists,
    RunFileUnwritable,
    RunKnown,
)
from twelvefold.run_import import import_run, remove_import
from twelvefold.run_place import imported_runs, open_run

A, B, C, D = "a" * 32, "b" * 32, "c" * 32, "d" * 32
LARGE = b'"' + b"large " * 1000 + b'"'
FIXTURES = Path(__file__).parents[1] / "fixtures" / "exported"
PROMPT = PACKAGED / "fixer.md"


@dataclass
class Home:
    """A home with four runs: A with files and a blob, its fork B, C in between them, and D, small and open."""

    folder: Path
    commits: tuple[str, str]

    def export(self, run: str, target: Path, proof: Proof = "auto") -> Exported:
        with open_run(self.folder, run, "") as (log, id, place):
            return export_run(log, id, place, target, version="1", prompts=(), proof=proof)

    def events(self, run: str) -> list[Event]:
        with open_run(self.folder, run, "") as (log, id, _):
            return list(read_run(log, id))

    def write(self, work: Callable[[SqliteLog], object]) -> None:
        log = SqliteLog(self.folder / "log.db")
        try:
            work(log)
        finally:
            log.close()


def make_store(home: Path, run: str) -> tuple[str, str]:
    """A run's store with a base, whose history isn't needed, and a commit on it."""
    store = home / "stores" / REPOSITORY / f"{run}.git"
    store.mkdir(parents=True)
    git = Git()
    git.run("init", "--quiet", "--bare", "--", str(store), at=home)
    commits: list[str] = []
    for n, text in enumerate((b"old\n", b"base\n", b"changed\n")):
        blob = git.run("hash-object", "-w", "--stdin", git_dir=store, stdin=text).text
        tree = git.run("mktree", git_dir=store, stdin=f"100644 blob {blob}\tx.py\n".encode()).text
        parents = ["-p", commits[-1]] if commits else []
        commits.append(git.run("commit-tree", *parents, "-m", f"{n}", tree, git_dir=store, time_s=n).text)
    git.run("update-ref", f"refs/twelvefold/{run}/0.0/1", commits[2], git_dir=store)
    return commits[1], commits[2]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    """The home, written once."""
    folder = tmp_path_factory.mktemp("origin")
    base, changed = make_store(folder, A)
    home = Home(folder, (base, changed))
    blobs = BlobStore(folder / "blobs")
    blobs.collect((), 0)
    sha256 = blobs.offer("worker.1", LARGE)
    reference = {"blob": sha256, "size": len(LARGE)}
    blobs.admit("worker.1", msgspec.json.encode(reference).decode())

    def write(log: SqliteLog) -> None:
        log.append(append_noise(1))
        a, c = MadeRun(log, A, home=str(folder)), MadeRun(log, C)
        a.begin(prompts={"fixer": hashlib.sha256(PROMPT.read_bytes()).hexdigest(), "gone": "e" * 64})
        request = a.request("0.0")
        c.begin()
        a.laid_out("0.0", base)
        cut = a.effect("0.0", "tool", "look", {"n": 1}, reference, read=True).position
        c.request("0.0")
        a.committed("0.0", changed, 1, "x.py")
        a.effect("0.0", "tool", "edit", {"n": 2}, {"ok": True}, commit=changed)
        a.answer("0.0", value={"commit": changed})
        a.end(value={"commit": changed})
        c.answer("0.0")
        c.end()
        b = MadeRun(log, B, home=str(folder))
        b.own("run.forked", parent=A, at=cut)
        b.request("0.0", fork={"carries": [request.id.hex()], "lineage": []})
        b.answer("0.0", value={"commit": base})
        b.end()
        d = MadeRun(log, D)
        d.begin()
        d.request("0.0")

    home.write(write)
    yield home


def append_noise(n: int) -> Any:
    """An event of no run."""
    from twelvefold.eventstore.event import new_event
    from twelvefold.eventstore.log import Append

    return Append(events=[new_event("demo.happened", {"n": n}, id=n.to_bytes(16, "big"))])


@pytest.fixture
def other(tmp_path: Path) -> Path:
    """Another home, with nothing in it."""
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    return folder


def test_a_run_comes_out_as_it_went_in(made: Home, other: Path, tmp_path: Path) -> None:
    """Events, positions, hashes, blobs, commits and prompts are the same in the other home, where it verifies."""
    exported = made.export(A, tmp_path / "a.run")
    assert exported.manifest.complete
    assert exported.file.stat().st_mode & 0o777 == 0o600
    assert exported.unknown_prompts == ("gone",)
    assert exported.manifest.versions["runs"] == {A: {"twelvefold": "aaa"}}
    done = import_run(other, exported.file)
    assert (done.run, done.fresh) == (A, True)
    there = Home(other, made.commits)
    assert there.events(A) == made.events(A)
    assert BlobStore(done.place / "blobs").read(next(iter(exported.manifest.blobs))) == LARGE
    store = done.place / "stores" / REPOSITORY / f"{A}.git"
    shown = [Git().run("cat-file", "blob", f"{commit}:x.py", git_dir=store).out for commit in made.commits]
    assert shown == [b"base\n", b"changed\n"]
    assert Git().run("rev-list", "--all", git_dir=store).text.split() == [made.commits[1], made.commits[0]]
    (prompt,) = (done.place / "prompts").iterdir()
    assert prompt.read_bytes() == PROMPT.read_bytes()
    assert [manifest.run for manifest in verify_imports(other)] == [A]
    with open_run(made.folder, A, "") as one, open_run(other, A, "") as two:
        assert not compare(side_of(*one), side_of(*two)).differs


def test_exporting_again_gives_the_same_bytes(made: Home, other: Path, tmp_path: Path) -> None:
    """So does exporting from where it was imported, the proof with it."""
    for run in (A, B):
        exported = made.export(run, tmp_path / f"{run}.run")
        again = made.export(run, tmp_path / f"{run}.again")
        import_run(other, exported.file)
        onward = Home(other, made.commits).export(run, tmp_path / f"{run}.onward")
        assert exported.file.read_bytes() == again.file.read_bytes() == onward.file.read_bytes()


def test_a_fork_brings_its_parents_past(made: Home, other: Path, tmp_path: Path) -> None:
    """What it shares is in the file up to the cut, and proven; the rest of the parent is not."""
    exported = made.export(B, tmp_path / "b.run")
    assert [one.run for one in exported.manifest.lineage] == [A, B]
    import_run(other, exported.file)
    assert Home(other, made.commits).events(B) == made.events(B)
    assert imported_runs(other) == [B]
    content = (tmp_path / "b.run").read_bytes() + (other / "imports" / B / "log.db").read_bytes()
    assert b'"ok"' not in content
    store = other / "imports" / B / "stores" / REPOSITORY / f"{B}.git"
    assert Git().run("cat-file", "blob", f"{made.commits[0]}:x.py", git_dir=store).out == b"base\n"
    assert Git().run("rev-list", made.commits[0], git_dir=store).text == made.commits[0]
    with open_run(other, B[:6], "") as (log, _, _):
        assert log.head == made.events(B)[-1].position
        assert max(event.position for event in log.read(run=A)) == exported.manifest.lineage[0].until


@pytest.mark.parametrize("proof", ["full", "events"])
def test_a_fork_of_a_fork_from_before_that_one_began_has_its_past(other: Path, tmp_path: Path, proof: Proof) -> None:
    """Of the run in between there is but whom it comes from: the whole past is in the file, elsewhere and onward."""
    home = Home(tmp_path / "origin", ("", ""))
    home.folder.mkdir()

    def write(log: SqliteLog) -> None:
        a, b, d = (MadeRun(log, run) for run in (A, B, D))
        a.begin()
        cut = a.request("0.0").position
        a.answer("0.0")
        a.end()
        for made, parent in ((b, A), (d, B)):
            made.own("run.forked", parent=parent, at=cut)
            made.request("0.0")
            made.answer("0.0")
            made.end()

    home.write(write)
    exported = home.export(D, tmp_path / "d.run", proof)
    assert [one.run for one in exported.manifest.lineage] == [A, B, D]
    import_run(other, exported.file)
    there = Home(other, ("", ""))
    assert there.events(D) == home.events(D)
    assert [event.type for event in there.events(D)][:3] == ["run.requested", "run.started", "task.requested"]
    assert there.export(D, tmp_path / "again.run").file.read_bytes() == exported.file.read_bytes()


def test_only_headers_of_others_go_with_a_run(made: Home, tmp_path: Path) -> None:
    """A full proof holds what lies in between without its data; the events' own proof holds nothing of it."""
    full, own = (made.export(A, tmp_path / proof, proof).file for proof in ("full", "events"))
    with zipfile.ZipFile(full) as file:
        links = [msgspec.json.decode(line) for line in file.read("links.jsonl").splitlines()]
    assert {link["run"] for link in links} == {C}
    assert all(link["data"] is None for link in links)
    with zipfile.ZipFile(own) as file:
        assert file.read("links.jsonl") == b""
        manifest = msgspec.json.decode(file.read("manifest.json"))
    assert not manifest["complete"]
    assert len(manifest["chain"]) > 1


def test_a_file_of_an_earlier_version_still_imports(other: Path) -> None:
    """What was exported once can be looked at for ever: a fork with its parent's past, a blob, a prompt and a store."""
    done = import_run(other, FIXTURES / "format-1.run")
    assert (done.run, done.manifest.outcome, len(done.manifest.blobs)) == (B, "succeeded", 1)
    events = Home(other, ("", "")).events(B)
    assert [event.type for event in events][-3:] == ["task.started", "task.succeeded", "run.succeeded"]
    assert events[-1].hash.hex() == done.manifest.chain[-1].hash
    assert [manifest.run for manifest in verify_imports(other)] == [B]


Parts = dict[str, bytes]


def rewrite(source: Path, target: Path, change: Callable[[Parts], object], *, careful: bool) -> None:
    """Write a file anew after a change to its parts; carefully: with the hashes that fit in its manifest."""
    with zipfile.ZipFile(source) as file:
        parts = {name: file.read(name) for name in file.namelist()}
        comment = file.comment
    change(parts)
    if careful:
        manifest = msgspec.json.decode(parts["manifest.json"])
        manifest["members"] = {
            name: {"sha256": hashlib.sha256(content).hexdigest(), "size": len(content)}
            for name, content in parts.items()
            if name != "manifest.json"
        }
        parts["manifest.json"] = msgspec.json.encode(manifest)
        comment = comment[:-64] + hashlib.sha256(parts["manifest.json"]).hexdigest().encode()
    with zipfile.ZipFile(target, "w") as file:
        for name, content in parts.items():
            file.writestr(name, content)
        file.comment = comment


def lines(change: Callable[[list[dict[str, Any]]], object], part: str = "events.jsonl") -> Callable[[Parts], None]:
    """A change to the lines of a part."""

    def work(parts: Parts) -> None:
        rows = [msgspec.json.decode(line) for line in parts[part].splitlines()]
        change(rows)
        parts[part] = b"".join(msgspec.json.encode(row) + b"\n" for row in rows)

    return work


def said(change: Callable[[dict[str, Any]], object]) -> Callable[[Parts], None]:
    """A change to the manifest."""

    def work(parts: Parts) -> None:
        manifest = msgspec.json.decode(parts["manifest.json"])
        change(manifest)
        parts["manifest.json"] = msgspec.json.encode(manifest)

    return work


def forge(row: dict[str, Any]) -> None:
    """Change an event's data, and the hash of it."""
    row["data"] = row["data"].replace("true", "false")
    row["data_hash"] = hashlib.sha256(row["data"].encode()).hexdigest()


def of(prefix: str, change: Callable[[bytes], bytes]) -> Callable[[Parts], None]:
    """A change to the content of the part whose name begins so."""

    def work(parts: Parts) -> None:
        name = next(name for name in parts if name.startswith(prefix))
        parts[name] = change(parts[name])

    return work


def without(prefix: str) -> Callable[[Parts], None]:
    """Without that part."""

    def work(parts: Parts) -> None:
        del parts[next(name for name in parts if name.startswith(prefix))]

    return work


#: What is changed, and what the refusal has to name.
TAMPERED: dict[str, tuple[Callable[[Parts], object], str]] = {
    "data": (lines(lambda rows: rows[6].update(data='{"kind": "tool"}')), "event 12: its data"),
    "data and its hash": (lines(lambda rows: forge(rows[8])), "event 14: its header"),
    "time": (lines(lambda rows: rows[3].update(time=1)), "event 5: its header"),
    "order": (lines(lambda rows: rows.insert(0, rows.pop(1))), "event 2: the event is missing"),
    "event left out": (lines(lambda rows: rows.pop(4)), "event 8: the event is missing"),
    "end left out": (lines(lambda rows: rows.pop()), "event 16: the event is missing"),
    "event put in": (lines(lambda rows: rows.append({**rows[-1], "position": 99})), "event 99: it stands outside"),
    "forgotten": (lines(lambda rows: rows[8].update(data=None)), "not what"),
    "link": (lines(lambda rows: rows[0].update(source="me"), "links.jsonl"), "event 6: its header"),
    "no event": (of("events.jsonl", lambda content: content + b"{}\n"), "events.jsonl: line 12 is no event"),
    "blob": (of("blobs/", lambda content: content + b" "), "blobs/"),
    "blob left out": (without("blobs/"), "blobs/"),
    "bundle": (of("git/", lambda content: content[:-30] + b"x" + content[-29:]), "git/"),
    "prompt": (of("prompts/", lambda content: content + b"!"), "prompts/fixer"),
    "part put in": (lambda parts: parts.update({"more.txt": b""}), "more.txt"),
    "run": (said(lambda told: told.update(run="../../../../home")), "is no name of a run"),
    "outcome": (said(lambda told: told.update(outcome="failed")), "its outcome"),
    "lineage": (said(lambda told: told["lineage"].insert(0, {"run": C, "until": 5})), "event"),
    "versions": (said(lambda told: told["versions"].update(runs={})), "its versions"),
    "no proof": (said(lambda told: told.update(chain=told["chain"][:0])), "event 2: it stands outside"),
    "commit": (said(lambda told: told["stores"][0].update(refs={})), "git/"),
}


@pytest.mark.parametrize("careful", [False, True])
@pytest.mark.parametrize("name", TAMPERED)
def test_what_was_tampered_with_is_refused_by_name(
    made: Home, other: Path, tmp_path: Path, name: str, careful: bool
) -> None:
    """Whoever changes a part, with or without the hashes that go with it, is told which, and nothing is left."""
    change, named = TAMPERED[name]
    made.export(A, tmp_path / "a.run")
    rewrite(tmp_path / "a.run", tmp_path / "b.run", change, careful=careful)
    with pytest.raises(RunFileDamaged) as refused:
        import_run(other, tmp_path / "b.run")
    assert named in refused.value.message()
    assert imported_runs(other) == []
    assert not (other / "imports").exists() or not any((other / "imports").iterdir())


@pytest.mark.timeout(60)
def test_what_is_no_whole_file_is_refused_at_once(made: Home, other: Path, tmp_path: Path) -> None:
    """A pipe that nobody writes to is not waited for, a device not read to its end; one cut off is told as damaged."""
    os.mkfifo(tmp_path / "pipe")
    for special in (tmp_path / "pipe", Path("/dev/zero")):
        with pytest.raises(NoRunFile) as refused:
            import_run(other, special)
        assert "no regular file" in refused.value.message()
    content = made.export(A, tmp_path / "a.run").file.read_bytes()
    (tmp_path / "cut.run").write_bytes(content[: len(content) // 2])
    with pytest.raises(RunFileDamaged, match="cut off"):
        import_run(other, tmp_path / "cut.run")


def test_a_file_that_would_fill_the_disk_is_refused_before_it_does(made: Home, other: Path, tmp_path: Path) -> None:
    """However small it is packed; what is imported besides and a bus on the same disk go on."""
    made.export(A, tmp_path / "a.run")

    def swell(parts: Parts) -> None:
        said(lambda told: next(one for name, one in told["members"].items() if "blobs/" in name).update(size=1 << 60))(
            parts
        )

    rewrite(tmp_path / "a.run", tmp_path / "b.run", swell, careful=False)
    with pytest.raises(RunFileUnwritable) as refused:
        import_run(other, tmp_path / "b.run")
    assert "are free" in refused.value.message()
    assert imported_runs(other) == []


def test_an_imported_copy_is_removed_whole_and_can_be_had_again(made: Home, other: Path, tmp_path: Path) -> None:
    """What a killed removal has left is no run any more, and goes with the next one."""
    exported = made.export(A, tmp_path / "a.run")
    place = import_run(other, exported.file).place
    place.rename(place.with_name(f".removing-{A}"))
    assert imported_runs(other) == []
    assert import_run(other, exported.file).fresh
    remove_import(other, A)
    assert list((other / "imports").iterdir()) == []
    assert import_run(other, exported.file).fresh
    assert [manifest.run for manifest in verify_imports(other)] == [A]


def test_nothing_is_left_out_of_what_has_no_full_proof(made: Home, other: Path, tmp_path: Path) -> None:
    """Whoever takes an event out, and mends stretches and hashes around it, leaves a gap in its stream."""
    made.export(A, tmp_path / "a.run", "events")

    def take_out(parts: Parts) -> None:
        rows = [msgspec.json.decode(line) for line in parts["events.jsonl"].splitlines()]
        hashes = {row["position"]: row["hash"] for row in rows}
        gone = rows.pop(5)["position"]
        parts["events.jsonl"] = b"".join(msgspec.json.encode(row) + b"\n" for row in rows)
        manifest = msgspec.json.decode(parts["manifest.json"])
        at = next(n for n, one in enumerate(manifest["chain"]) if one["after"] < gone <= one["until"])
        whole = manifest["chain"].pop(at)
        first = {**whole, "until": gone - 1, "hash": hashes.get(gone - 1)}
        second = {**whole, "after": gone, "before": hashes[gone]}
        halves = [one for one in (first, second) if one["after"] < one["until"]]
        manifest["chain"][at:at] = halves
        manifest["events"] -= 1
        parts["manifest.json"] = msgspec.json.encode(manifest)

    rewrite(tmp_path / "a.run", tmp_path / "b.run", take_out, careful=True)
    with pytest.raises(RunFileDamaged, match="its stream has 1 more before it"):
        import_run(other, tmp_path / "b.run")


def test_a_manifest_is_what_was_written(made: Home, other: Path, tmp_path: Path) -> None:
    """What only the manifest says can't be changed unseen either."""
    made.export(D, tmp_path / "d.run")
    rewrite(
        tmp_path / "d.run", tmp_path / "e.run", said(lambda told: told["versions"].update(python="2")), careful=False
    )
    with pytest.raises(RunFileDamaged, match=r"manifest.json: it is not the one that was written"):
        import_run(other, tmp_path / "e.run")


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_no_changed_byte_goes_unseen(made: Home, tmp_path: Path, data: st.DataObject) -> None:
    """A file with any byte changed, or cut short, is refused in words, or holds the very same run."""
    if not (tmp_path / "d.run").exists():
        made.export(D, tmp_path / "d.run")
    content = bytearray((tmp_path / "d.run").read_bytes())
    place = data.draw(st.integers(0, len(content) - 1))
    if data.draw(st.booleans()):
        content[place] ^= data.draw(st.integers(1, 255))
    else:
        del content[place:]
    (tmp_path / "flipped").write_bytes(content)
    home = tmp_path / "flipped-home"
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir()
    try:
        import_run(home, tmp_path / "flipped")
    except (RunFileDamaged, NoRunFile):
        assert imported_runs(home) == []
    else:
        assert Home(home, made.commits).events(D) == made.events(D)


def test_what_is_no_exported_run_is_told_so(made: Home, other: Path, tmp_path: Path) -> None:
    """Other files, and files of a newer version, are refused with what they are."""
    (tmp_path / "text").write_text("hello")
    with zipfile.ZipFile(tmp_path / "zip", "w") as file:
        file.writestr("x", "y")
    for name in ("text", "zip"):
        with pytest.raises(NoRunFile):
            import_run(other, tmp_path / name)
    made.export(D, tmp_path / "d.run")
    newer = said(lambda told: told.update(twelvefold_run=2))
    rewrite(tmp_path / "d.run", tmp_path / "new.run", newer, careful=True)
    with pytest.raises(RunFileDamaged, match="upgrade Twelvefold"):
        import_run(other, tmp_path / "new.run")


def test_a_run_is_in_a_home_once(made: Home, other: Path, tmp_path: Path) -> None:
    """It isn't imported where it is from; the same again changes nothing, and only more of it replaces it."""
    home = Home(tmp_path / "growing", made.commits)
    shutil.copytree(made.folder, home.folder)
    first = home.export(D, tmp_path / "first.run").file
    with pytest.raises(RunKnown, match="one of this home's own"):
        import_run(home.folder, first)
    assert import_run(other, first).fresh
    assert not import_run(other, first).fresh

    def go_on(log: SqliteLog) -> None:
        went = MadeRun(log, D)
        went._count, went._cause = 4, b"x" * 16
        went.requests["0.0"] = b"y" * 16
        went.answer("0.0", value=1)
        went.end()

    home.write(go_on)
    second = home.export(D, tmp_path / "second.run").file
    assert import_run(other, second).fresh
    assert Home(other, made.commits).events(D) == home.events(D)
    with pytest.raises(RunKnown, match="imported already, with 6 events"):
        import_run(other, first)
    foreign = Home(tmp_path / "foreign", made.commits)
    foreign.folder.mkdir()

    def write(log: SqliteLog) -> None:
        other = MadeRun(log, D)
        other.begin()
        other.request("0.0")
        for _ in range(9):
            other.say("task.progressed", "0.0", progress=0.1)

    foreign.write(write)
    with pytest.raises(RunKnown, match="from another log"):
        import_run(other, foreign.export(D, tmp_path / "foreign.run").file)
    assert Home(other, made.commits).events(D) == home.events(D)


def test_what_is_gone_is_told_and_does_not_hinder(made: Home, other: Path, tmp_path: Path) -> None:
    """Forgotten payloads keep their place in the proof, and commits that no store has are named."""
    home = Home(tmp_path / "forgetful", made.commits)
    shutil.copytree(made.folder, home.folder)
    shutil.rmtree(home.folder / "stores")
    position = home.events(A)[8].position
    connection = sqlite.connect(home.folder / "log.db")
    connection.execute("UPDATE events SET data = NULL WHERE position = ?", (position,))
    connection.close()
    exported = home.export(A, tmp_path / "a.run")
    assert exported.manifest.forgotten == 1
    assert set(exported.missing) == {*made.commits}
    import_run(other, exported.file)
    assert Home(other, made.commits).events(A) == home.events(A)
    verify_imports(other)


DAMAGE: dict[str, Callable[[Path], object]] = {
    "log": lambda place: _spoil(place / "log.db"),
    "links": lambda place: (place / "links.jsonl").write_bytes(b""),
    "blob": lambda place: next((place / "blobs").glob("*/*")).write_bytes(b"x"),
    "prompt": lambda place: next((place / "prompts").iterdir()).write_bytes(b"x"),
    "store": lambda place: shutil.rmtree(next((place / "stores").glob("*/*.git/objects/pack"))),
    "manifest": lambda place: (place / "manifest.json").unlink(),
}


def _spoil(log: Path) -> None:
    log.chmod(0o600)
    connection = sqlite.connect(log)
    connection.execute("DROP TRIGGER events_refuse_update")
    connection.execute("UPDATE events SET data = replace(data, 'tests', 'toast') WHERE version = 1")
    connection.close()


def test_verifying_finds_what_happened_to_an_import(made: Home, other: Path, tmp_path: Path) -> None:
    """Each part that an import has laid out is checked again, and importing anew mends it."""
    file = made.export(A, tmp_path / "a.run").file
    for name, damage in DAMAGE.items():
        place = import_run(other, file).place
        verify_imports(other)
        damage(place)
        with pytest.raises(ImportDamaged):
            verify_imports(other)
        assert name
        shutil.rmtree(place)


def test_an_import_that_was_killed_hinders_no_other(made: Home, other: Path, tmp_path: Path) -> None:
    """What it has left half made is made anew, and what it had put aside comes back."""
    file = made.export(D, tmp_path / "d.run").file
    place = import_run(other, file).place
    place.rename(place.with_name(f".older-{D}"))
    (other / "imports" / f".making-{D}").mkdir()
    (other / "imports" / f".making-{D}" / "log.db").write_text("half of it")
    assert imported_runs(other) == []
    assert not import_run(other, file).fresh
    shutil.rmtree(place)
    assert import_run(other, file).fresh
    assert [path.name for path in (other / "imports").iterdir()] == [D]


def test_a_store_without_history_goes_along(made: Home, other: Path, tmp_path: Path) -> None:
    """The store of a run on a shallow clone, which has no commit before its base, is bundled as any other."""
    home = Home(tmp_path / "shallow", made.commits)
    shutil.copytree(made.folder, home.folder)
    store = home.folder / "stores" / REPOSITORY / f"{A}.git"
    (store / "shallow").write_text(f"{made.commits[0]}\n")
    Git().run("repack", "-a", "-d", "--quiet", git_dir=store)
    done = import_run(other, home.export(A, tmp_path / "a.run").file)
    copy = done.place / "stores" / REPOSITORY / f"{A}.git"
    assert Git().run("cat-file", "blob", f"{made.commits[1]}:x.py", git_dir=copy).out == b"changed\n"


def test_nothing_is_overwritten_or_left_half(made: Home, tmp_path: Path) -> None:
    """A file that exists stays; where nothing can be written, nothing is left."""
    (tmp_path / "a.run").write_text("mine")
    with pytest.raises(RunFileExists):
        made.export(A, tmp_path / "a.run")
    assert (tmp_path / "a.run").read_text() == "mine"
    with pytest.raises(RunFileUnwritable):
        made.export(A, tmp_path / "nowhere" / "a.run")
    assert [path.name for path in tmp_path.iterdir()] == ["a.run"]
