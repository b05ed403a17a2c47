"""What an import leaves at a run's place beside log, blobs and stores, and whether all of that is still so.

Owns the check of an exported run against its manifest, which an import makes before anything gets its place and
`verify` repeats at any time after. Changes nothing.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Iterator
from hashlib import sha256
from pathlib import Path

import msgspec

from .agents.bundles import check_store
from .agents.git import Git
from .eventstore import sqlite
from .eventstore.blobs import BlobStore
from .eventstore.errors import TwelvefoldError
from .eventstore.event import Event
from .eventstore.presence import is_there
from .eventstore.proof import flaw_in
from .eventstore.reader import LogReader
from .eventstore.run import read_run
from .orchestration.result import RunView
from .run_contents import RunContents, lineage_of
from .run_file import LINKS, MANIFEST, Manifest, StoreFile, event_of, read_manifest
from .run_file_errors import ImportDamaged
from .run_place import imported_runs, imports_folder

_PAGE = 1000
#: Makes the error for a part that isn't what it should be, and for a reason.
Fault = Callable[[str, str], TwelvefoldError]


class KeptRun(msgspec.Struct, frozen=True):
    """What an import has left beside the log of a run: the manifest of the file, and the headers of other events."""

    manifest: Manifest
    place: Path

    def links(self) -> Iterator[Event]:
        """Yield the events that stand between those of the run, without their payloads; raises OSError, ValueError."""
        with (self.place / LINKS).open("rb") as lines:
            yield from map(event_of, lines)


def kept_run(place: Path) -> KeptRun | None:
    """Return what an import has left at a run's place, None for a home; raises ImportDamaged."""
    file = place / MANIFEST
    if not is_there(file):
        return None
    try:
        return KeptRun(read_manifest(file.read_bytes()), place)
    except (OSError, ValueError) as error:
        raise ImportDamaged(place.name, str(place), f"{file} can't be read ({error})") from error


def check_events(
    manifest: Manifest, events: Callable[[], Iterable[Event]], links: Iterable[Event], fault: Fault
) -> RunContents:
    """Require events that are proven, and that are all of the run; return what they name. Raises what `fault` makes.

    The links must not belong to the run.
    """
    contents, runs = RunContents(), {one.run: one.until for one in manifest.lineage}

    def hidden() -> Iterator[Event]:
        for event in links:
            if event.payload is not None or _is_of(event, runs):
                raise fault(f"event {event.position}", "it belongs to the run, and its data is left out")
            yield event

    flaw = flaw_in(manifest.chain, heapq.merge(events(), hidden(), key=lambda event: event.position))
    if flaw is not None:
        raise fault(f"event {flaw.position}", flaw.reason)
    versions: dict[str, int] = {}
    for event in events():
        # Only now they are known to be what a log has taken.
        contents.take(event)
        before = versions.get(event.stream, 0)
        if event.version != before + 1 and _run_of(event.stream) in runs:
            raise fault(f"event {event.position}", f"its stream has {event.version - before - 1} more before it")
        versions[event.stream] = event.version
    return contents


def _is_of(event: Event, runs: dict[str, int | None]) -> bool:
    """Tell whether an event belongs to one of the runs, each up to its position."""
    names = {event.run, _run_of(event.stream)}
    return any(name in runs and event.position <= (runs[name] or event.position) for name in names)


def _run_of(stream: str) -> str:
    """Return the run that a stream is of, "" for one of no run."""
    family, _, rest = stream.partition(".")
    return rest.partition(".")[0] if family in ("run", "task", "request") else ""


def check_contents(manifest: Manifest, contents: RunContents, log: LogReader, fault: Fault) -> None:
    """Require a manifest to say what the events say, which are read from `log` too; raises what `fault` makes."""
    view = RunView(manifest.run)
    for event in read_run(log, manifest.run):
        view.take(event)
    told = {
        "lineage": manifest.lineage == lineage_of(log, manifest.run),
        "events": manifest.events == len(contents.positions),
        "forgotten": manifest.forgotten == contents.forgotten,
        "outcome": manifest.outcome == (view.state.outcome or None),
        "versions": manifest.versions.get("runs") == contents.versions,
        "blobs": manifest.blobs == tuple(sorted(contents.blobs)),
        "prompts": {one.hash: one.name for one in manifest.prompts} == contents.prompts,
        "stores": _has_all(manifest.stores, contents),
    }
    for name, true in told.items():
        if not true:
            raise fault(MANIFEST, f"its {name} are not what the events say")


def _has_all(stores: tuple[StoreFile, ...], contents: RunContents) -> bool:
    """Tell whether each commit that events name is in its store's bundle, or known to be missing."""
    held = {one.store: {*one.refs.values(), *one.missing} for one in stores}
    needed = {one.store: {*one.refs.values(), *one.bases} for one in contents.stores()}
    return held.keys() == needed.keys() and all(needed[store] <= held[store] for store in needed)


def verify_imported(place: Path) -> Manifest:
    """Check an imported run as it was checked when it was imported; raises ImportDamaged, or an error of its log."""
    run = place.name

    def fault(part: str, reason: str) -> ImportDamaged:
        return ImportDamaged(run, str(place), f"{part}: {reason}")

    kept = kept_run(place)
    if kept is None:
        raise fault(MANIFEST, "it is missing")
    manifest = kept.manifest
    try:
        with LogReader(place / "log.db") as log:
            contents = check_events(manifest, lambda: _all_of(log), kept.links(), fault)
            check_contents(manifest, contents, log, fault)
            if log.ask(_integrity, None) != "ok":
                raise fault("log.db", "its structure is damaged")
        for blob in manifest.blobs:
            BlobStore(place / "blobs").check(blob)
        for store in manifest.stores:
            if store.member:
                check_store(Git(), place / "stores" / store.store, store.refs)
        for prompt in manifest.prompts:
            if prompt.member and sha256((place / prompt.member).read_bytes()).hexdigest() != prompt.hash:
                raise fault(prompt.member, "it is not the prompt that the run has used")
    except (OSError, ValueError) as error:
        raise ImportDamaged(run, str(place), str(error)) from error
    except TwelvefoldError as error:
        raise error if isinstance(error, ImportDamaged) else fault("its files", error.message()) from error
    return manifest


def verify_imports(home: Path) -> list[Manifest]:
    """Check every imported run of a home, and return their manifests; raises ImportDamaged."""
    return [verify_imported(imports_folder(home) / run) for run in imported_runs(home)]


def _all_of(log: LogReader) -> Iterator[Event]:
    after = 0
    while page := log.read(after=after, limit=_PAGE):
        yield from page
        after = page[-1].position


def _integrity(connection: sqlite.Connection, _: None) -> str:
    return str(connection.execute("PRAGMA integrity_check(1)").fetchone()[0])
