"""Values of shared state: what is put is what is read, and what JSON can't say is refused."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from twelvefold.orchestration.shared_state import put_event


@pytest.mark.parametrize("value", [float("nan"), float("inf"), b"x", {"a": {1: "x"}}, ["x", (b"y",)], {"s": {1.5: 2}}])
def test_what_would_be_read_as_another_value_is_refused(value: Any) -> None:
    """Nothing is stored as null, as base64, or under a key of another type."""
    with pytest.raises(TypeError):
        put_event("release", "key", value)


@pytest.mark.parametrize("value", [None, True, 0, 1.5, "ä", [1, [2]], {"a": {"b": []}}])
def test_json_is_stored_as_it_is(value: Any) -> None:
    """All that JSON has."""
    assert msgspec.json.decode(put_event("release", "key", value).payload)["value"] == value
