"""Importing a run that another home has exported: read-only, into a place of its own.

Owns the way from the file to that place. Everything is unpacked and checked in a folder beside it, which gets its name
last: what is there is whole, and a file that isn't what was exported leaves nothing. The home's own log isn't touched,
so that its chain stays what it is, and the imported one stays what it was where it comes from.
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from .agents.bundles import Bundled, borrow, read_bundle
from .agents.git import Git
from .agents.work_errors import GitFailed
from .agents.workspace import clear_folder
from .eventstore import storage
from .eventstore.kept_run import write_kept_log
from .eventstore.presence import is_there
from .eventstore.reader import LogReader
from .eventstore.run import read_run
from .eventstore.storage_errors import StorageFull
from .imported_run import check_contents, check_events, kept_run
from .run_file import EVENTS, LINKS, MANIFEST, Manifest, RunFileReader
from .run_file_errors import RunFileUnwritable, RunKnown
from .run_place import imports_folder

_RUN = re.compile(r"[0-9a-f]{32}")
_STORE = re.compile(r"[0-9a-f]{24}/[0-9a-f]{32}\.git")
_PROMPT = re.compile(r"prompts/[a-z0-9][a-z0-9_-]*\.md")
_BLOB = re.compile(r"[0-9a-f]{64}")


class Imported(msgspec.Struct, frozen=True):
    """What was imported; `fresh` is False where the same run was there before, which stays as it is."""

    run: str
    place: Path
    manifest: Manifest
    fresh: bool


def import_run(home: Path, file: Path) -> Imported:
    """Import the run in a file into a home that exists.

    A run that was imported before is replaced by one that has more of it. Raises RunFileDamaged, NoRunFile, RunKnown,
    RunFileUnwritable, OSError where the file itself can't be read.
    """
    with RunFileReader(file) as reader, _alone(home):
        _check_names(reader)
        manifest = reader.manifest
        contents = check_events(manifest, lambda: reader.events(EVENTS), reader.events(LINKS), reader.damaged)
        for name in (EVENTS, LINKS):
            for _ in reader.pieces(name):
                pass  # to its end, where its hash is known
        place = imports_folder(home) / manifest.run
        _mend(place)
        if _is_there(home, place, reader):
            return Imported(manifest.run, place, manifest, fresh=False)
        making = place.with_name(f".making-{manifest.run}")
        try:
            shutil.rmtree(making, ignore_errors=True)
            _check_room(home, manifest)
            making.mkdir(parents=True, mode=0o700)
            _unpack(reader, making)
            with LogReader(making / "log.db") as log:
                check_contents(manifest, contents, log, reader.damaged)
            reader.check_manifest()
            _give_name(making, place)
        except StorageFull as error:
            raise RunFileUnwritable(str(making), os.strerror(errno.ENOSPC)) from error
        except OSError as error:
            raise RunFileUnwritable(str(making), error.strerror or str(error)) from error
        finally:
            shutil.rmtree(making, ignore_errors=True)
    return Imported(manifest.run, place, manifest, fresh=True)


def remove_import(home: Path, run: str) -> None:
    """Remove the copy of an imported run; killed meanwhile, it is gone, and the next call removes what is left of it.

    Raises RunFileUnwritable.
    """
    place = imports_folder(home) / run
    removing = place.with_name(f".removing-{run}")
    with _alone(home):
        try:
            clear_folder(removing)
            if place.exists():
                place.rename(removing)
            clear_folder(removing)
        except OSError as error:
            raise RunFileUnwritable(str(place), error.strerror or str(error)) from error


def _check_names(reader: RunFileReader) -> None:
    """Require names in the manifest that may become names of files, and parts that are all accounted for."""
    manifest = reader.manifest
    given = [
        (_RUN, [manifest.run, *(one.run for one in manifest.lineage)], "run"),
        (_BLOB, manifest.blobs, "blob"),
        (_STORE, [one.store for one in manifest.stores], "store"),
        (_PROMPT, [one.member for one in manifest.prompts if one.member], "prompt"),
    ]
    for pattern, names, what in given:
        for name in names:
            if not pattern.fullmatch(name):
                raise reader.damaged(MANIFEST, f"{name!r} is no name of a {what}")
    parts = {EVENTS, LINKS, *(f"blobs/{blob}" for blob in manifest.blobs)}
    parts |= {one.member for one in manifest.stores} | {one.member for one in manifest.prompts}
    parts.discard("")
    if differing := sorted(parts ^ manifest.members.keys()):
        raise reader.damaged(differing[0], "the manifest does not say what it is, or has no hash of it")
    if not manifest.lineage or manifest.lineage[-1].run != manifest.run:
        raise reader.damaged(MANIFEST, "the lineage does not end in the run")


def _check_room(home: Path, manifest: Manifest) -> None:
    """Require room for all parts: on a disk that is full the bus could not write either. Raises RunFileUnwritable."""
    needed, free = sum(one.size for one in manifest.members.values()), shutil.disk_usage(home).free
    if needed > free:
        raise RunFileUnwritable(str(home), f"it takes {needed} bytes there, and {free} are free")


def _is_there(home: Path, place: Path, reader: RunFileReader) -> bool:
    """Tell whether the run is there already, with all that the file has; raises RunKnown where it must not be."""
    run = reader.manifest.run
    if is_there(home / "log.db"):
        with LogReader(home / "log.db") as log:
            if log.runs(run, 1):
                raise RunKnown(run, "one of this home's own")
    before = kept_run(place) if place.exists() else None
    if before is None:
        return False
    if before.manifest == reader.manifest:
        return True
    older, newer = before.manifest, reader.manifest
    if older.events > newer.events:
        raise RunKnown(run, f"imported already, with {older.events} events; the file has {newer.events} of them")
    with LogReader(place / "log.db") as log:
        known = {event.position: event.hash for event in read_run(log, run)}
    if any(known.pop(event.position, event.hash) != event.hash for event in reader.events(EVENTS)) or known:
        raise RunKnown(run, "imported already, from another log")
    return False


def _unpack(reader: RunFileReader, making: Path) -> None:
    """Lay out log, blobs, stores and prompts; raises RunFileDamaged and OSError."""
    manifest = reader.manifest
    write_kept_log(making / "log.db", reader.events(EVENTS))
    for blob in manifest.blobs:
        if reader.manifest.members[f"blobs/{blob}"].sha256 != blob:
            raise reader.damaged(f"blobs/{blob}", "its content is not what its name says")
        _write(making / "blobs" / blob[:2] / blob, reader.pieces(f"blobs/{blob}"))
    for prompt in manifest.prompts:
        if prompt.member:
            if manifest.members[prompt.member].sha256 != prompt.hash:
                raise reader.damaged(prompt.member, "it is not the prompt that the run has used")
            _write(making / prompt.member, reader.pieces(prompt.member))
    for store in manifest.stores:
        if store.member:
            bundle = making / "bundle"
            _write(bundle, reader.pieces(store.member))
            bundled = Bundled(store.refs, store.shallow, store.object_format)
            try:
                read_bundle(Git(), bundle, bundled, making / "stores" / store.store)
            except GitFailed as error:
                if os.strerror(errno.ENOSPC) in error.stderr:
                    raise RunFileUnwritable(str(making), os.strerror(errno.ENOSPC)) from error
                raise reader.damaged(store.member, error.message()) from error
            except ValueError as error:
                raise reader.damaged(store.member, str(error)) from error
            bundle.unlink()
    _share_stores(making / "stores", manifest)
    _write(making / LINKS, reader.pieces(LINKS))
    _write(making / MANIFEST, iter((reader.manifest_text,)))


def _share_stores(stores: Path, manifest: Manifest) -> None:
    """Let each run find the commits of those that it was forked from in its own store, as where it comes from."""
    for repository in sorted(stores.iterdir()) if stores.is_dir() else ():
        before: list[Path] = []
        for ancestor in manifest.lineage:
            store = repository / f"{ancestor.run}.git"
            if before:
                borrow(Git(), store, before)
            if store.exists():
                before.append(store)


def _write(file: Path, pieces: Iterator[bytes]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with file.open("xb") as out:
        for piece in pieces:
            out.write(piece)
        out.flush()
        os.fsync(out.fileno())


def _give_name(making: Path, place: Path) -> None:
    """Put what is made in its place, in that of an older import where there is one."""
    for folder, _, _ in os.walk(making, topdown=False):
        storage.sync_folder(Path(folder))
    older = _older(place)
    if place.exists():
        place.rename(older)
    making.rename(place)
    storage.sync_folder(place.parent)
    shutil.rmtree(older, ignore_errors=True)


def _older(place: Path) -> Path:
    """Return where an import lies while another one takes its place."""
    return place.with_name(f".older-{place.name}")


def _mend(place: Path) -> None:
    """Undo what an import that was killed between two renames has left."""
    older = _older(place)
    if older.exists() and not place.exists():
        older.rename(place)
    shutil.rmtree(older, ignore_errors=True)


@contextmanager
def _alone(home: Path) -> Iterator[None]:
    """Hold the only right to import into a home; it ends with the process, however that ends."""
    try:
        guard = (home / "imports.guard").open("a")
    except OSError as error:
        raise RunFileUnwritable(str(home), error.strerror or str(error)) from error
    with guard:
        fcntl.flock(guard, fcntl.LOCK_EX)
        yield
