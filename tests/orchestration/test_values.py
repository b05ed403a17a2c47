"""References inside a task's input."""

from __future__ import annotations

from typing import Any

import pytest

from twelvefold.orchestration.values import Absent, ReferenceInvalid, references, resolve

VALUES: dict[str, Any] = {"fix": {"commit": "c1", "files": ["a", "b"]}, "0.1": 7}


def look_up(reference: Any) -> Any:
    return VALUES.get(reference.name or reference.path, Absent("not there"))


@pytest.mark.parametrize(
    ("given", "becomes"),
    [
        ({"$from": "fix", "key": "commit"}, "c1"),
        ({"$from": "fix", "key": ["files", 1]}, "b"),
        ([{"x": {"$from": "0.1"}}, "plain"], [{"x": 7}, "plain"]),
        ({"$from": "gone", "default": None}, None),
        ({"$from": "fix", "key": "gone", "default": [1]}, [1]),
        ({"nested": [[{"$from": "fix", "key": ["files", 0]}]]}, {"nested": [["a"]]}),
        ("text with $from", "text with $from"),
    ],
)
def test_references_become_values(given: Any, becomes: Any) -> None:
    """Each reference is replaced by what it means, wherever in the input it stands; all else stays."""
    assert resolve(given, look_up) == becomes


@pytest.mark.parametrize(
    "given", [{"$from": "gone"}, {"$from": "fix", "key": "gone"}, [1, {"a": {"$from": "0.1", "key": "x"}}]]
)
def test_what_is_absent_says_so(given: Any) -> None:
    """A reference without a value makes the whole input absent, with the reason; leniently it becomes None."""
    assert isinstance(resolve(given, look_up), Absent)
    assert not isinstance(resolve(given, look_up, lenient=True), Absent)


@pytest.mark.parametrize(
    ("given", "place"),
    [
        ({"$from": 3}, ""),
        ({"a": [{"$from": "x", "kez": 1}]}, ".a[0]"),
        ({"a": {"$from": "x", "key": {"no": 1}}}, ".a"),
    ],
)
def test_malformed_references_are_named_with_their_place(given: Any, place: str) -> None:
    """A `$from` that can't be understood is refused with its place in the input."""
    with pytest.raises(ReferenceInvalid) as caught:
        list(references(given))
    assert caught.value.place == place
