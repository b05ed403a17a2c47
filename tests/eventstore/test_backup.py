"""Backups: consistent while the log is in use, whole or absent, for their owner only, and good to go on with."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Any

import pytest

from twelvefold.eventstore.backup import backup_home
from twelvefold.eventstore.blob_names import blob_reference
from twelvefold.eventstore.blobs import BlobStore
from twelvefold.eventstore.event import new_event
from twelvefold.eventstore.integrity import verify_home
from twelvefold.eventstore.log import Append
from twelvefold.eventstore.sqlite_log import SqliteLog
from twelvefold.eventstore.storage_errors import BackupFailed, BlobMissing, TargetExists


def with_blob(log: SqliteLog, store: BlobStore, fact: Any) -> str:
    """Append an event that names a stored blob; return the blob's hash."""
    sha256 = store.offer("fixer.1", b"content")
    payload = new_event("a.b", {"out": blob_reference(sha256, 7)}).payload
    store.admit("fixer.1", payload)
    log.append(Append(events=[fact(payload=payload)]))
    return sha256


def test_a_backup_holds_the_log_and_the_blobs_it_names_and_can_be_put_in_place(tmp_path: Path, fact: Any) -> None:
    """Made while the log is in use; verifies in a new home; never overwrites."""
    home, restored = tmp_path / "home", tmp_path / "restored"
    home.mkdir()
    log, store = SqliteLog(home / "log.db"), BlobStore(home / "blobs")
    sha256 = with_blob(log, store, fact)
    store.offer("fixer.1", b"not named")
    log.append(Append(events=[fact()]))
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


def test_a_backup_is_for_its_owner_only(tmp_path: Path, fact: Any) -> None:
    """What the home hides from others, its copy hides too."""
    home = tmp_path / "home"
    home.mkdir()
    log, store = SqliteLog(home / "log.db"), BlobStore(home / "blobs")
    with_blob(log, store, fact)
    log.close()
    backup_home(home, tmp_path / "copy.db")
    made = [tmp_path / "copy.db", *(tmp_path / "copy.db.blobs").rglob("*"), tmp_path / "copy.db.blobs"]
    assert len(made) == 4
    assert [path for path in made if path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO)] == []


def test_a_backup_that_cannot_be_whole_leaves_nothing(tmp_path: Path, fact: Any, small_disk: Path) -> None:
    """A missing blob, or a disk without space: an error, and neither file nor folder in the target's place."""
    home = tmp_path / "home"
    home.mkdir()
    log, store = SqliteLog(home / "log.db"), BlobStore(home / "blobs")
    sha256 = with_blob(log, store, fact)
    log.append_many([Append(events=[fact(payload='"' + "x" * 1_000_000 + '"')]) for _ in range(3)])
    log.close()
    with pytest.raises(BackupFailed, match=r"copy\.db cannot be written"):
        backup_home(home, small_disk / "copy.db")
    store.path(sha256).unlink()
    with pytest.raises(BlobMissing):
        backup_home(home, tmp_path / "copy.db")
    assert [*small_disk.iterdir(), *tmp_path.glob("copy*")] == []


@pytest.mark.parametrize("taken", ["copy.db", "copy.db.blobs", "copy.db.partial"])
def test_a_backup_replaces_nothing(tmp_path: Path, fact: Any, taken: str) -> None:
    """Whatever stands under one of the names that it needs, a dangling link too, is refused and kept."""
    log = SqliteLog(tmp_path / "log.db")
    log.append(Append(events=[fact()]))
    log.close()
    (tmp_path / taken).symlink_to("nowhere")
    before = sorted(tmp_path.glob("copy*"))
    with pytest.raises(TargetExists) as caught:
        backup_home(tmp_path, tmp_path / "copy.db")
    assert caught.value.path == str(tmp_path / taken)
    assert sorted(tmp_path.glob("copy*")) == before
