"""Values too large for an event: into blobs and back, and what of them is found in a payload."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from twelvefold.eventstore.blob_files import BlobFiles
from twelvefold.eventstore.blob_names import blobs_named
from twelvefold.eventstore.blobs import BlobStore
from twelvefold.eventstore.large_values import hold, inflate, is_reference, may_hold, shrink, size_held
from twelvefold.eventstore.storage_errors import BlobDamaged, BlobMissing

encode, decode = msgspec.json.encode, msgspec.json.decode
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=20,
)


class Blobs(dict[str, bytes]):
    """Blobs in memory."""

    def put(self, content: bytes) -> str:
        sha256 = hashlib.sha256(content).hexdigest()
        self[sha256] = content
        return sha256


def test_only_the_largest_values_leave_a_payload() -> None:
    """A payload that fits stays as it is; of one that doesn't, no more goes into blobs than has to."""
    blobs = Blobs()
    data = {"path": "0.1", "value": "x" * 5000, "evidence": ["y" * 3000], "message": "z" * 900}
    text = encode(data)
    assert shrink(text, blobs.put, len(text)) is text
    assert not blobs
    once = decode(shrink(text, blobs.put, 6000))
    assert once == {**data, "value": {"blob": hashlib.sha256(encode("x" * 5000)).hexdigest(), "size": 5002}}
    twice = shrink(text, blobs.put, 2000)
    assert is_reference(decode(twice)["evidence"])
    assert decode(twice)["message"] == "z" * 900
    assert inflate(decode(twice), blobs.get) == data
    assert blobs_named(twice.decode()) == set(blobs)
    assert may_hold(twice.decode())
    assert not may_hold(text.decode())


def test_what_cannot_be_made_small_comes_back_as_small_as_it_can() -> None:
    """Many small values don't become references that are larger than themselves."""
    blobs = Blobs()
    text = encode({str(n): n for n in range(10_000)})
    assert shrink(text, blobs.put, 1000) == text
    assert not blobs


@given(st.dictionaries(st.sampled_from(["path", "value", "evidence", "message", "error"]), JSON), st.integers(0, 500))
def test_whatever_is_shrunk_comes_back(data: dict[str, Any], size_max: int) -> None:
    """Any payload comes back whole, and is shrunk the same way twice, so that deciding again says the same."""
    blobs = Blobs()
    text = encode(data)
    small = shrink(text, blobs.put, size_max)
    assert small == shrink(text, blobs.put, size_max)
    assert encode(inflate(decode(small), blobs.get)) == text


def test_a_reference_inside_a_blob_stays_named_by_the_payload() -> None:
    """A value that could not be loaded and went into another blob is found in the payload, and comes back with it."""
    blobs = Blobs()
    inner = hold("i" * 2000, blobs.put)
    small = shrink(encode({"value": [inner, "o" * 2000]}), blobs.put, 1000)
    assert blobs_named(small.decode()) == set(blobs)
    assert len(blobs) == 2
    assert is_reference(decode(small)["value"])
    assert inflate(decode(small), blobs.get) == {"value": ["i" * 2000, "o" * 2000]}


def test_beyond_the_bound_references_stay() -> None:
    """No more is loaded than is asked for, whatever a reference says of its size; what still fits is."""
    blobs = Blobs()
    values = [hold(letter * 1000, blobs.put) for letter in "abc"]
    assert inflate(values, blobs.get, 2500) == ["a" * 1000, "b" * 1000, values[2]]
    assert inflate(values, blobs.get, None) == ["a" * 1000, "b" * 1000, "c" * 1000]
    lying = {**values[0], "size": 1}
    assert inflate(lying, blobs.get) == lying
    assert size_held([*values, {"deep": [values[0]]}, {"blob": "0" * 64, "size": 1 << 40}, "text"]) == 4 * 1002


def test_a_blob_that_is_gone_or_no_json_stays_a_reference() -> None:
    """What can't be loaded is left as it is, beside what can."""
    blobs = Blobs()
    good = hold([1, 2], blobs.put)
    gone = {"blob": "0" * 64, "size": 9}
    raw = {"blob": blobs.put(b"\xff\xfe not JSON"), "size": 11}
    deep = {"blob": blobs.put(b"[" * 100_000 + b"]" * 100_000), "size": 200_000}
    assert inflate({"all": [good, gone, raw, deep]}, blobs.get) == {"all": [[1, 2], gone, raw, deep]}


@pytest.mark.parametrize(
    "value",
    [
        {"blob": "abc", "size": 3},
        {"blob": "0" * 64},
        {"blob": "0" * 64, "size": "3"},
        {"blob": "0" * 64, "size": 3, "more": 1},
        {"blob": 1, "size": 3},
        "0" * 64,
        None,
    ],
)
def test_what_looks_like_a_reference_is_none(value: Any) -> None:
    """Data that only resembles a reference is data."""
    assert not is_reference(value)
    assert inflate(value, {}.get) == value


def test_files_are_put_where_the_owner_takes_them_in(tmp_path: Path) -> None:
    """What one instance offers, it finds before and after it was admitted, and others find it after."""
    root = tmp_path / "home" / "blobs"
    mine, others = BlobFiles(root, "client-1"), BlobFiles(root)
    reference = hold(["v"] * 1000, mine.put)
    assert mine.load(reference) == ["v"] * 1000
    with pytest.raises(BlobMissing):
        others.get(reference["blob"])
    BlobStore(root).admit("client-1", encode(reference).decode())
    assert mine.load(reference) == others.load(reference) == ["v"] * 1000


def test_a_changed_file_is_no_blob(tmp_path: Path) -> None:
    """A stored blob whose content was changed is damaged, and loading leaves the reference."""
    files = BlobFiles(tmp_path, "client-1")
    reference = hold("v" * 1000, files.put)
    BlobStore(tmp_path).admit("client-1", encode(reference).decode())
    place = BlobStore(tmp_path).path(reference["blob"])
    place.chmod(0o600)
    place.write_bytes(b"w" * 1002)
    with pytest.raises(BlobDamaged):
        files.get(reference["blob"])
    assert files.load(reference) == reference
    with pytest.raises(BlobDamaged):
        files.get(reference["blob"], 10)
