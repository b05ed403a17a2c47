"""Blobs: admitted whole and durable before their event, and collected when nothing names them."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from twelvefold.eventstore.blob_names import blob_reference, blobs_named
from twelvefold.eventstore.blobs import COLLECT_AFTER_S, BlobStore
from twelvefold.eventstore.event import new_event
from twelvefold.eventstore.storage_errors import BlobDamaged, BlobMissing, BlobNotStored


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


def test_what_is_there_already_is_not_kept_twice(tmp_path: Path) -> None:
    """The same content offered again, by the same writer or another, leaves nothing behind once it is admitted."""
    store = BlobStore(tmp_path / "blobs")
    sha256, payload = offered(store, b"passed on")
    store.admit("fixer.1", payload)
    for instance in ("fixer.1", "orchestrator"):
        assert store.offer(instance, b"passed on") == sha256
        store.admit(instance, payload)
        assert list(store.incoming(instance).iterdir()) == []
    assert store.read(sha256) == b"passed on"


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
    with pytest.raises(BlobDamaged, match="symbolic"):
        store.admit("fixer.1", payload)
    place.unlink()
    os.link(secret, place)
    mode = secret.stat().st_mode
    with pytest.raises(BlobDamaged, match="second name"):
        store.admit("fixer.1", payload)
    assert secret.stat().st_mode == mode
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
    # A file's own time is its writer's to set, so it counts from when it came.
    os.utime(store.path(orphan), (0, 0))
    old = store.path(orphan).stat().st_ctime
    assert store.collect({named}, old + COLLECT_AFTER_S - 60) == 0
    assert store.collect({named}, old + COLLECT_AFTER_S + 60) == 2
    assert store.read(named) == b"named"
    assert not (store.incoming("fixer.1") / left).exists()
    with pytest.raises(BlobMissing):
        store.read(orphan)


def test_nothing_in_the_blob_folders_keeps_a_bus_from_starting(tmp_path: Path) -> None:
    """Folders in a file's place, files in a folder's, empty folders of instances: removed where possible, else left."""
    store = BlobStore(tmp_path / "blobs")
    assert store.collect(set(), 2e9) == 0
    folder = store.incoming("fixer.1")
    (folder / "deep").mkdir()
    (folder / "deep" / "file").write_bytes(b"x")
    (store.root / "incoming" / "file").write_bytes(b"x")
    (store.root / "ab").write_bytes(b"x")
    (store.root / "cd" / "folder").mkdir(parents=True)
    store.incoming("fixer.2")
    later = folder.stat().st_ctime + COLLECT_AFTER_S + 60
    assert store.collect(set(), later - COLLECT_AFTER_S) == 0
    assert store.collect(set(), later) == 1
    assert [path.name for path in (store.root / "incoming").iterdir()] == ["fixer.1"]
    assert (folder / "deep" / "file").exists()


def test_a_blob_that_cannot_be_stored_is_refused_and_can_be_taken_in_later(tmp_path: Path) -> None:
    """The event that names it isn't appended; once the cause is gone the same offer is good."""
    store = BlobStore(tmp_path / "blobs")
    sha256, payload = offered(store, b"content")
    obstacle = store.root / sha256[:2]
    obstacle.touch()
    with pytest.raises(BlobNotStored, match="Not a directory"):
        store.admit("fixer.1", payload)
    obstacle.unlink()
    store.admit("fixer.1", payload)
    assert store.read(sha256) == b"content"
