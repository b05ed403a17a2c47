"""A run as one file: which parts it has, and how each is written and read.

A zip file that any program opens. `events.jsonl` has the run's events with their payloads as they stand in the log,
`links.jsonl` the headers of the others in between, `blobs/` what events hold as blobs, `git/` a bundle for each store,
`prompts/` the prompts; `manifest.json` says what there is, with the hash of each part, and the stretches of the chain
that prove it. The same run gives the same bytes. Leaves gathering to `run_export`, and judging to `run_import`.
"""

from __future__ import annotations

import hashlib
import lzma
import os
import stat
import struct
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import msgspec

from .eventstore.event import Event
from .eventstore.proof import Stretch
from .run_file_errors import NoRunFile, RunFileDamaged

#: The version of this layout.
FORMAT = 1
MANIFEST, EVENTS, LINKS = "manifest.json", "events.jsonl", "links.jsonl"
_COMMENT = b"twelvefold run; manifest sha256 "
#: What every zip file with something in it begins with.
_BEGINNING = b"PK\x03\x04"
_PIECE = 1 << 20
#: Larger than any line of an event can be: a payload of 1 MiB, all of it escaped.
_LINE_MAX = 8 << 20
_MANIFEST_MAX = 64 << 20
_EPOCH = (1980, 1, 1, 0, 0, 0)


class Member(msgspec.Struct, frozen=True):
    """One part of the file: its hash and size before it was packed."""

    sha256: str
    size: int


class Ancestor(msgspec.Struct, frozen=True):
    """A run whose events are part of it, all of them or those up to the position `until`, where it was forked."""

    run: str
    until: int | None = None


class StoreFile(msgspec.Struct, frozen=True):
    """A store of the run: its bundle, and what that holds (see `agents.bundles.Bundled`). "" where there is none."""

    store: str
    member: str
    refs: dict[str, str]
    shallow: tuple[str, ...] = ()
    object_format: str = "sha1"
    missing: tuple[str, ...] = ()


class PromptFile(msgspec.Struct, frozen=True):
    """A prompt that the run names; `member` is "" where its text was not there any more when it was exported."""

    name: str
    hash: str
    member: str = ""


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What the file holds. `lineage` has the run last; `complete` tells that no position between its first and its last
    is left out of the proof, so that nothing of the run can be missing.
    """

    twelvefold_run: int
    run: str
    lineage: tuple[Ancestor, ...]
    outcome: str | None
    events: int
    forgotten: int
    chain: tuple[Stretch, ...]
    complete: bool
    versions: dict[str, Any]
    blobs: tuple[str, ...]
    stores: tuple[StoreFile, ...]
    prompts: tuple[PromptFile, ...]
    members: dict[str, Member]


class _Line(msgspec.Struct, forbid_unknown_fields=True):
    position: int
    stream: str
    version: int
    id: str
    type: str
    schema: int
    to: str
    time: int
    source: str
    run: str
    cause: str
    trace: str
    seen: int
    data: str | None
    data_hash: str
    hash: str


#: What the standard library raises for archives that aren't whole, or that want what it can't do.
_UNREADABLE = (
    zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error, EOFError, OSError, OverflowError, RuntimeError,
)  # fmt: skip
#: The fields of an event that are bytes.
_BYTES = ("id", "cause", "data_hash", "hash")
_encode = msgspec.json.Encoder().encode
_decode_line = msgspec.json.Decoder(_Line).decode
_decode_manifest = msgspec.json.Decoder(Manifest).decode


def read_manifest(content: bytes) -> Manifest:
    """Read a manifest; raises ValueError for what is none, or of a newer format."""
    version = msgspec.json.decode(content, type=dict[str, Any]).get("twelvefold_run")
    if isinstance(version, int) and version > FORMAT:
        raise ValueError(f"it has format {version}, this version reads up to {FORMAT}: upgrade Twelvefold")
    return _decode_manifest(content)


def line_of(event: Event) -> bytes:
    """Return an event as a line, bytes in hex; its payload is one JSON text, so that not a byte of it changes."""
    fields = msgspec.structs.asdict(event)
    fields["data"] = fields.pop("payload")
    for name in _BYTES:
        fields[name] = fields[name].hex()
    return _encode(_Line(**fields)) + b"\n"


def event_of(line: bytes) -> Event:
    """Read a line; raises ValueError for one that is no event (msgspec's errors are ValueErrors)."""
    fields = msgspec.structs.asdict(_decode_line(line))
    fields["payload"] = fields.pop("data")
    for name in _BYTES:
        fields[name] = bytes.fromhex(fields[name])
    return Event(**fields)


class RunFileWriter:
    """Writes parts one after the other, then the manifest, synced at the end; raises OSError. Use in a `with` block."""

    def __init__(self, path: Path) -> None:
        # A run holds what its owner's issues, files and models say.
        self._file = os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb")
        self._zip = zipfile.ZipFile(self._file, "w", zipfile.ZIP_DEFLATED, compresslevel=6)
        self.members: dict[str, Member] = {}

    def __enter__(self) -> RunFileWriter:
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self._zip.close()
            self._file.flush()
            os.fsync(self._file.fileno())
        finally:
            self._file.close()

    def add_file(self, name: str, source: Path) -> None:
        """Add a file's bytes."""
        with source.open("rb") as file:
            self.add_pieces(name, iter(lambda: file.read(_PIECE), b""))

    def add_pieces(self, name: str, pieces: Iterator[bytes]) -> None:
        """Add a part piece by piece."""
        digest, size = hashlib.sha256(), 0
        with self._zip.open(_info(name), "w", force_zip64=True) as member:
            for piece in pieces:
                digest.update(piece)
                size += len(piece)
                member.write(piece)
        self.members[name] = Member(digest.hexdigest(), size)

    def finish(self, manifest: Manifest) -> None:
        """Add the manifest, and its hash as the file's comment."""
        content = msgspec.json.format(_encode(manifest), indent=2)
        self._zip.writestr(_info(MANIFEST), content)
        self._zip.comment = _COMMENT + hashlib.sha256(content).hexdigest().encode()


def _info(name: str) -> zipfile.ZipInfo:
    """Describe a part without a time, so that the same content gives the same bytes."""
    info = zipfile.ZipInfo(name, _EPOCH)
    info.compress_type = zipfile.ZIP_DEFLATED
    info.external_attr = 0o600 << 16
    return info


def open_run_file(path: Path) -> IO[bytes]:
    """Open a regular file: any other would be waited for, or read without an end. Raises NoRunFile, OSError."""
    file = os.fdopen(os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK), "rb")
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise NoRunFile(str(path), "it is no regular file")
    return file


class RunFileReader:
    """An exported run that is read, each part checked against its hash in the manifest once it is read to its end.

    Raises NoRunFile, RunFileDamaged, or OSError where the file can't be read. Use in a `with` block.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = open_run_file(path)
        try:
            self._zip = zipfile.ZipFile(self._file)
        except (*_UNREADABLE, ValueError) as error:
            self._file.seek(0)
            begun = self._file.read(len(_BEGINNING)) == _BEGINNING
            self._file.close()
            if begun:
                raise self.damaged("its end", "it is cut off, or was written over") from error
            raise NoRunFile(str(path), f"it can't be opened ({error})") from error
        self._opened: list[IO[bytes]] = []
        try:
            self.manifest = self._read_manifest()
            self._check_members()
        except BaseException:
            self.__exit__()
            raise

    def __enter__(self) -> RunFileReader:
        return self

    def __exit__(self, *_: object) -> None:
        # Whoever met a fault has left a part half read.
        for member in self._opened:
            member.close()
        self._zip.close()
        self._file.close()

    def pieces(self, name: str) -> Iterator[bytes]:
        """Yield a part piece by piece."""
        told = self.manifest.members[name]
        digest, size = hashlib.sha256(), 0
        for piece in self._raw(name):
            digest.update(piece)
            size += len(piece)
            if size > told.size:
                raise self.damaged(name, f"it has more than its {told.size} bytes")
            yield piece
        if digest.hexdigest() != told.sha256:
            raise self.damaged(name, "its content is not what was written")

    def events(self, name: str) -> Iterator[Event]:
        """Yield the events of a part, which are read line by line, and not checked against its hash."""
        number = 0
        try:
            with self._member(name) as member:
                while line := member.readline(_LINE_MAX):
                    number += 1
                    yield event_of(line)
        except _UNREADABLE as error:
            raise self.damaged(name, f"it can't be unpacked beyond line {number} ({error})") from error
        except ValueError as error:
            raise self.damaged(name, f"line {number} is no event ({error})") from error

    def damaged(self, part: str, reason: str) -> RunFileDamaged:
        """Return the error for a part that isn't what it should be."""
        return RunFileDamaged(str(self.path), part, reason)

    def check_manifest(self) -> None:
        """Require the manifest that was written; asked last, as what else is wrong says more."""
        found = hashlib.sha256(self.manifest_text).hexdigest()
        if self._zip.comment != _COMMENT + found.encode():
            raise self.damaged(MANIFEST, "it is not the one that was written")

    def _member(self, name: str) -> IO[bytes]:
        member = self._zip.open(name)
        self._opened.append(member)
        return member

    def _raw(self, name: str) -> Iterator[bytes]:
        try:
            with self._member(name) as member:
                yield from _pieces_of(member)
        except _UNREADABLE as error:
            raise self.damaged(name, f"it can't be unpacked ({error})") from error

    def _read_manifest(self) -> Manifest:
        if MANIFEST not in self._zip.namelist():
            raise NoRunFile(str(self.path), f"there is no {MANIFEST} in it")
        if self._zip.getinfo(MANIFEST).file_size > _MANIFEST_MAX:
            raise self.damaged(MANIFEST, "it is too large")
        content = self.manifest_text = b"".join(self._raw(MANIFEST))
        try:
            return read_manifest(content)
        except (ValueError, RecursionError) as error:
            raise self.damaged(MANIFEST, f"it can't be read ({error})") from error

    def _check_members(self) -> None:
        """Require each part once, and no other."""
        counted = Counter(self._zip.namelist())
        for name in sorted(counted.keys() | self.manifest.members.keys()):
            if counted[name] > 1:
                raise self.damaged(name, "it is there twice")
            if not counted[name]:
                raise self.damaged(name, "it is missing")
            if name not in self.manifest.members and name != MANIFEST:
                raise self.damaged(name, "it is no part of what was exported")
        for name in (EVENTS, LINKS):
            if name not in self.manifest.members:
                raise self.damaged(name, "it is missing")


def _pieces_of(member: IO[bytes]) -> Iterator[bytes]:
    while piece := member.read(_PIECE):
        yield piece
