"""JSON in what a model writes: the value that its text holds, and the tool calls that it wrote instead of making.

Pure. Owns reading only; whether a value fits a schema is `calls`' to judge. Keeps: text that holds no JSON, or a call
of a tool that wasn't offered, is never taken for one.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Any

import msgspec

from ...eventstore.check import is_too_deep
from .model import ToolCall

#: What some models think aloud before they answer.
_THOUGHT = re.compile(r"<(think|thinking|reasoning)>.*?</\1>", re.DOTALL)
_FENCED = re.compile(r"^[ \t]*```[\w+-]*[ \t]*\n(.*?)^[ \t]*```[ \t]*$", re.DOTALL | re.MULTILINE)


class _NoJson(Exception):
    """The text holds no JSON value."""


def json_in(text: str) -> Any:
    """Return the JSON value in a model's text: all of it, the only fenced block, or the first object or array.

    Raises ValueError, which says why there is none.
    """
    text = _THOUGHT.sub("", text).strip()
    if not text:
        raise ValueError("the answer is empty")
    candidates = [text, *(block.strip() for block in _FENCED.findall(text))]
    for candidate in candidates:
        try:
            return _whole(candidate)
        except _NoJson:
            continue
    # Something beside the JSON, or JSON with a mistake in it: say what is wrong with it then.
    first = next((n for n, sign in enumerate(text) if sign in "{["), None)
    if first is None:
        raise ValueError("the answer holds no JSON")
    try:
        value, _ = json.JSONDecoder(parse_constant=_refused).raw_decode(text[first:])
    except json.JSONDecodeError as error:
        raise ValueError(f"{error.msg} at line {error.lineno}, column {error.colno} of the JSON") from None
    except RecursionError:
        raise ValueError("the JSON is nested too deeply") from None
    return storable(value)


def storable(value: Any) -> Any:
    """Return a JSON value that the log can hold; raises ValueError for others (half characters, numbers too long)."""
    try:
        encoded = msgspec.json.encode(value)
    except (OverflowError, RecursionError) as error:
        raise ValueError(str(error)) from None
    # Among what a model sends it stands a few levels deep.
    if is_too_deep(f"[[[[[[[[{encoded.decode()}]]]]]]]]"):
        raise ValueError("the JSON is nested too deeply")
    return value


def tool_calls_in(text: str, names: Iterable[str]) -> tuple[ToolCall, ...]:
    """Return the calls of these tools that a text consists of, as `{"tool": name, "parameters": {…}}` or alike."""
    known = set(names)
    try:
        found = json_in(text)
    except ValueError:
        return ()
    calls = []
    for number, one in enumerate(found if isinstance(found, list) else [found]):
        call = _call(one, known, number)
        if call is None:
            return ()
        calls.append(call)
    return tuple(calls)


def _call(one: Any, known: set[str], number: int) -> ToolCall | None:
    if not isinstance(one, dict):
        return None
    inner = one.get("function")
    if isinstance(inner, dict):
        one = inner
    name = next((one[key] for key in ("tool", "name", "action", "function") if isinstance(one.get(key), str)), None)
    if name not in known:
        return None
    arguments, problem = arguments_of(
        next((one[key] for key in ("parameters", "arguments", "args", "input") if key in one), {})
    )
    return ToolCall(f"text_{number}", name, arguments, problem)


def arguments_of(given: Any) -> tuple[dict[str, Any], str]:
    """Return a tool call's arguments as services send them (a JSON text, or the object), or what is wrong with them."""
    if given is None or given == "":
        return {}, ""
    if isinstance(given, str):
        try:
            given = json.loads(given, parse_constant=_refused)
        except (ValueError, RecursionError) as error:
            return {}, f"the arguments are not JSON: {error}"
    if not isinstance(given, dict):
        return {}, f"the arguments are no JSON object but {type(given).__name__}"
    try:
        return storable(given), ""
    except ValueError as error:
        return {}, f"the arguments can't be used: {error}"


def _whole(text: str) -> Any:
    try:
        return storable(json.loads(text, parse_constant=_refused))
    except (ValueError, RecursionError):
        raise _NoJson from None


def _refused(constant: str) -> Any:
    raise ValueError(f"{constant} is no JSON")
