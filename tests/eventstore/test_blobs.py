"""Blobs: admitted whole and durable before their event, collected when nothing names them, and backed up."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

import pytest

from twelvefold.eventstore.backup import backup_home
from twelvefold.eventstore.blob_names import blob_reference, blobs_named
from twelvefold.eventstore.blobs import COLLECT_AFTER_S, BlobStore, names_of
from twelvefold.eventstore.event import new_event
from twelvefold.eventstore.integrity import verify_home
from twelvefold.eventstore.log import Append
from twelvefold.eventstore.reader import LogReader
from twelvefold.eventstore.sqlite_log import SqliteLog
from twelvefold.eventstore.storage_errors import BlobDamaged, BlobMissing, TargetExists


def offered(store: BlobStore, content: bytes) -> tuple[str, str]:
    """Offer content as an agent does; return its hash and a payload that names it."""
    sha256 = store.offer("fixer.1", content)
    return sha256, new_event("a.b", {"out": blob_reference(sha256, len(content))}).payload


def test_an_offered_blob_is_admitted_by_the_payload_that_names_it(tmp_path: Path) -> None:
    """Hash checked, made read-only, renamed to its place; admitting again changes nothing."""
    store = BlobStore(tmp_path / "blobs")
    sha256, payload = offered(store, b"x" * 3_000_000)
    assert blobs_named(payload) == {sha256}
    for _ in range(2):
        store.admit("fixer.1", payload)
        assert store.read(sha256) == b"x" * 3_000_000
    assert list(store.incoming("fixer.1").iterdir()) == []
    assert [path.name for path in store.stored()] == [sha256]


def test_payloads_without_blobs_need_none(tmp_path: Path) -> None:
    """Something that merely looks like a reference is none."""
    BlobStore(tmp_path).admit("fixer.1", '{"blob": "not a hash", "size": 1}')


def test_a_missing_or_false_blob_is_refused(tmp_path: Path) -> None:
    """An event whose blob is not there, or not what its name says, must not be appended."""
    store = BlobStore(tmp_path / "blobs")
    sha256 = hashlib.sha256(b"true").hexdigest()
    payload = new_event("a.b", blob_reference(sha256, 4)).payload
    with pytest.raises(BlobMissing):
        store.admit("fixer.1", payload)
    place = store.incoming("fixer.1") / sha256
    place.write_bytes(b"false")
    with pytest.raises(BlobDamaged):
        store.admit("fixer.1", payload)
    with pytest.raises(BlobMissing):
        store.read(sha256)


def test_links_pipes_and_folders_are_no_blobs(tmp_path: Path) -> None:
    """A writer cannot make the owner read another file, or wait on a pipe."""
    store = BlobStore(tmp_path / "blobs")
    secret = tmp_path / "secret"
    secret.write_bytes(b"s")
    sha256 = hashlib.sha256(b"s").hexdigest()
    place = store.incoming("fixer.1") / sha256
    payload = new_event("a.b", blob_reference(sha256, 1)).payload
    place.symlink_to(secret)
    with pytest.raises(BlobMissing):
        store.admit("fixer.1", payload)
    place.unlink()
    os.mkfifo(place)
    with pytest.raises(BlobDamaged, match="regular"):
        store.admit("fixer.1", payload)
    place.unlink()
    place.mkdir()
    with pytest.raises(BlobDamaged, match="regular"):
        store.admit("fixer.1", payload)
    with pytest.raises(ValueError, match="instance"):
        store.incoming("../elsewhere")


def test_blobs_that_no_event_names_are_collected_after_a_day(tmp_path: Path) -> None:
    """Named ones stay however old they are, young ones may still be on their way."""
    store = BlobStore(tmp_path / "blobs")
    named, payload = offered(store, b"named")
    store.admit("fixer.1", payload)
    orphan, payload = offered(store, b"orphan")
    store.admit("fixer.1", payload)
    left = store.offer("fixer.1", b"left behind")
    old = store.path(orphan).stat().st_mtime
    assert store.collect({named}, old + COLLECT_AFTER_S - 60) == 0
    assert store.collect({named}, old + COLLECT_AFTER_S + 60) == 2
    assert store.read(named) == b"named"
    assert not (store.incoming("fixer.1") / left).exists()
    with pytest.raises(BlobMissing):
        store.read(orphan)


def test_a_backup_holds_the_log_and_the_blobs_it_names_and_can_be_put_in_place(tmp_path: Path, fact: Any) -> None:
    """Made while the log is in use; verifies in a new home; never overwrites."""
    home, restored = tmp_path / "home", tmp_path / "restored"
    home.mkdir()
    log, store = SqliteLog(home / "log.db"), BlobStore(home / "blobs")
    sha256, payload = offered(store, b"content")
    offered(store, b"not named")
    store.admit("fixer.1", payload)
    log.append(Append(events=[fact(payload=payload), fact()]))
    backup = backup_home(home, tmp_path / "copy.db")
    log.append(Append(events=[fact()]))
    assert (backup.head, backup.blobs, log.head) == (2, 1, 3)
    with pytest.raises(TargetExists):
        backup_home(home, tmp_path / "copy.db")
    log.close()
    restored.mkdir()
    (tmp_path / "copy.db").rename(restored / "log.db")
    assert backup.blobs_folder is not None
    backup.blobs_folder.rename(restored / "blobs")
    assert verify_home(restored).blobs == 1
    assert BlobStore(restored / "blobs").read(sha256) == b"content"
    again = SqliteLog(restored / "log.db")
    assert again.append(Append(events=[fact()])).events[0].position == 3
    again.close()


def test_verify_notices_a_damaged_or_missing_blob(tmp_path: Path, fact: Any) -> None:
    """A log is only as whole as the blobs that it names."""
    log, store = SqliteLog(tmp_path / "log.db"), BlobStore(tmp_path / "blobs")
    sha256, payload = offered(store, b"content")
    store.admit("fixer.1", payload)
    log.append(Append(events=[fact(payload=payload)]))
    with LogReader(tmp_path / "log.db") as reader:
        assert reader.ask(names_of, None) == {sha256} == log.blob_names()
    log.close()
    place = store.path(sha256)
    place.chmod(0o600)
    place.write_bytes(b"changed")
    with pytest.raises(BlobDamaged):
        verify_home(tmp_path)
    place.unlink()
    with pytest.raises(BlobMissing):
        verify_home(tmp_path)


def test_a_log_backs_itself_up(fact: Any, tmp_path: Path) -> None:
    """The log's own backup is a consistent copy, whatever is appended beside it."""
    log = SqliteLog(tmp_path / "log.db")
    log.append(Append(events=[fact(), fact()]))
    target = tmp_path / "copy.db"
    log.backup(target)
    log.append(Append(events=[fact()]))
    with LogReader(target) as copy:
        assert copy.read() == log.read(limit=2)
    with pytest.raises(TargetExists):
        log.backup(target)
    log.close()
