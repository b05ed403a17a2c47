"""Exporting a run: everything that it takes to look at it, replay it and verify it elsewhere, into one file.

Owns what belongs to a run: its events and those of the runs that it was forked from, up to the fork; the blobs that
they hold, the git objects that they name, the prompts, the versions, and the proof that they stand so in this home's
chain. Reads the home and changes nothing in it, whether a bus runs or not. A file is written whole or not at all.
"""

from __future__ import annotations

import errno
import heapq
import os
import platform
import tempfile
from collections.abc import Iterable, Iterator
from hashlib import sha256
from itertools import groupby
from pathlib import Path
from typing import Literal

import msgspec

from .agents.bundles import StoreNeeds, write_bundle
from .agents.git import Git
from .agents.prompt import PACKAGED
from .eventstore import storage
from .eventstore.blobs import BlobStore
from .eventstore.chain import GENESIS
from .eventstore.event import Event
from .eventstore.migrations import SCHEMA_VERSION
from .eventstore.proof import Stretch
from .eventstore.reader import LogReader
from .eventstore.run import read_run
from .imported_run import KeptRun, kept_run
from .orchestration.errors import RunNotFound
from .orchestration.result import RunView
from .run_contents import RunContents, hollow_beginnings, lineage_of
from .run_file import EVENTS, FORMAT, LINKS, Ancestor, Manifest, PromptFile, RunFileWriter, StoreFile, line_of
from .run_file_errors import RunFileExists, RunFileUnwritable
from .run_log import RunLog

Proof = Literal["auto", "full", "events"]
#: With `auto`, the proof is full while so many other events lie between those of the run, or so many times its own.
OTHERS_MAX, OTHERS_FACTOR = 10_000, 20
_PAGE = 1000


class Exported(msgspec.Struct, frozen=True):
    """What was written: `missing` are commits that events name and no store has any more, `unknown_prompts` those whose
    text isn't there any more.
    """

    file: Path
    run: str
    manifest: Manifest
    missing: tuple[str, ...]
    unknown_prompts: tuple[str, ...]


def export_run(
    log: RunLog, run: str, place: Path, target: Path, *, version: str, prompts: tuple[Path, ...], proof: Proof = "auto"
) -> Exported:
    """Write a run that is kept at `place` (see `run_place`) to a new file.

    `version` is that of the program, `prompts` the folders of the project's own prompts. An open run is exported as it
    stands. Raises RunNotFound for an id that events only carry, RunFileExists, RunFileUnwritable, BlobMissing,
    BlobDamaged, GitFailed and the log's errors.
    """
    if os.path.lexists(target):
        raise RunFileExists(str(target))
    found, view = RunContents(), RunView(run, log.load)
    begun = {event.position: event for event in hollow_beginnings(log, run)}
    for event in heapq.merge(read_run(log, run), begun.values(), key=lambda event: event.position):
        found.take(event)
        if event.position not in begun:
            view.take(event)
    if view.status == "unknown":
        raise RunNotFound(run)
    outcome = view.state.outcome or None
    draft = target.with_name(f".{target.name}.{os.getpid()}.partial")
    try:
        with tempfile.TemporaryDirectory(prefix="twelvefold-export-") as scratch:
            manifest = _write(log, run, found, place, draft, Path(scratch), version, prompts, proof, outcome)
        _name(draft, target)
        storage.sync_folder(target.parent)
    except FileExistsError as error:
        raise RunFileExists(str(target)) from error
    except OSError as error:
        raise RunFileUnwritable(str(target), error.strerror or str(error)) from error
    finally:
        draft.unlink(missing_ok=True)
    missing = tuple(commit for store in manifest.stores for commit in store.missing)
    unknown = tuple(prompt.name for prompt in manifest.prompts if not prompt.member)
    return Exported(target, run, manifest, missing, unknown)


def _write(
    log: RunLog,
    run: str,
    found: RunContents,
    place: Path,
    draft: Path,
    scratch: Path,
    version: str,
    folders: tuple[Path, ...],
    proof: Proof,
    outcome: str | None,
) -> Manifest:
    own = frozenset(found.positions)
    kept, lineage = kept_run(place), lineage_of(log, run)
    if kept is not None:
        chain, complete = kept.manifest.chain, kept.manifest.complete
    else:
        chain, complete = _stretches(log, lineage, found.positions, proof)
    with RunFileWriter(draft) as file:
        file.add_pieces(EVENTS, (line_of(event) for event in _between(log, chain, kept) if event.position in own))
        links = (event for event in _between(log, chain, kept) if event.position not in own)
        file.add_pieces(LINKS, (line_of(msgspec.structs.replace(event, payload=None)) for event in links))
        for blob in sorted(found.blobs):
            store = BlobStore(place / "blobs")
            store.check(blob)
            file.add_file(f"blobs/{blob}", store.path(blob))
        stores = [_add_store(file, place, needs, scratch / str(n)) for n, needs in enumerate(found.stores())]
        manifest = Manifest(
            twelvefold_run=FORMAT,
            run=run,
            lineage=lineage,
            outcome=outcome,
            events=len(found.positions),
            forgotten=found.forgotten,
            chain=tuple(chain),
            complete=complete,
            versions={
                "twelvefold": version,
                "python": platform.python_version(),
                "log_schema": SCHEMA_VERSION,
                "runs": found.versions,
            },
            blobs=tuple(sorted(found.blobs)),
            stores=tuple(stores),
            prompts=tuple(_add_prompts(file, found.prompts, folders)),
            members=file.members,
        )
        file.finish(manifest)
    return manifest


def _name(draft: Path, target: Path) -> None:
    """Give a finished file its name, replacing nothing; raises OSError."""
    try:
        os.link(draft, target)
    except OSError as error:
        # Not every file system has hard links.
        if error.errno not in (errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK) or os.path.lexists(target):
            raise
        draft.rename(target)


def _stretches(
    log: LogReader, lineage: tuple[Ancestor, ...], positions: list[int], proof: Proof
) -> tuple[tuple[Stretch, ...], bool]:
    """Return the stretches that prove the events, and whether they are all between the first and the last."""
    cuts = [ancestor.until for ancestor in lineage if ancestor.until is not None]
    parts = [list(part) for _, part in groupby(positions, key=lambda at: sum(at > cut for cut in cuts))]
    others = sum(part[-1] - part[0] + 1 - len(part) for part in parts)
    few = others <= max(OTHERS_MAX, OTHERS_FACTOR * len(positions))
    complete = proof == "full" or (proof == "auto" and few)
    if not complete:
        numbered = enumerate(positions)
        parts = [[at for _, at in part] for _, part in groupby(numbered, key=lambda pair: pair[1] - pair[0])]
    return tuple(_stretch(log, part[0] - 1, part[-1]) for part in parts), complete


def _stretch(log: LogReader, after: int, until: int) -> Stretch:
    def hash_at(position: int) -> str:
        return log.read(after=position - 1, limit=1)[0].hash.hex() if position else GENESIS.hex()

    return Stretch(after, until, hash_at(after), hash_at(until))


def _between(log: LogReader, chain: Iterable[Stretch], kept: KeptRun | None) -> Iterator[Event]:
    """Yield every event of the stretches; of a run that was imported the others are kept beside its log."""
    links = iter(()) if kept is None else kept.links()
    yield from heapq.merge(_pages(log, chain), links, key=lambda event: event.position)


def _pages(log: LogReader, chain: Iterable[Stretch]) -> Iterator[Event]:
    for stretch in chain:
        after = stretch.after
        while page := log.read(after=after, until=stretch.until, limit=_PAGE):
            yield from page
            after = page[-1].position


def _add_store(file: RunFileWriter, place: Path, needs: StoreNeeds, scratch: Path) -> StoreFile:
    """Add the bundle of one store, where that is there still."""
    git, bundle = Git(), scratch.with_suffix(".bundle")
    bundled = write_bundle(git, place / "stores" / needs.store, needs, bundle, scratch)
    if bundled is None:
        return StoreFile(needs.store, "", {}, missing=tuple(dict.fromkeys((*needs.refs.values(), *needs.bases))))
    member = f"git/{needs.store.removesuffix('.git').replace('/', '-')}.bundle"
    file.add_file(member, bundle)
    return StoreFile(needs.store, member, bundled.refs, bundled.shallow, bundled.object_format, bundled.missing)


def _add_prompts(file: RunFileWriter, named: dict[str, str], folders: tuple[Path, ...]) -> Iterator[PromptFile]:
    """Add the text of each prompt whose file still has the hash that the run names."""
    for hash, name in sorted(named.items(), key=lambda item: (item[1], item[0])):
        paths = (folder / f"{name}.md" for folder in (*folders, PACKAGED))
        path = next((path for path in paths if path.is_file() and _hash_of(path) == hash), None)
        member = f"prompts/{name}-{hash[:12]}.md" if path is not None else ""
        if path is not None:
            file.add_file(member, path)
        yield PromptFile(name, hash, member)


def _hash_of(path: Path) -> str:
    return sha256(path.read_bytes()).hexdigest()
