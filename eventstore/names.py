"""The grammar of names: streams, event types, queues and groups.

Names are dot-separated tokens of `[a-z0-9_-]`, so that a stream is a NATS subject and a ZeroMQ prefix unchanged. A
pattern is an exact type, or a prefix that ends in `.*`, or `*` for all. Pure.
"""

from __future__ import annotations

import re

NAME = re.compile(r"[a-z0-9_-]+(?:\.[a-z0-9_-]+)*")
NAME_LENGTH_MAX = 255


def is_name(text: str) -> bool:
    """Tell whether text is a well-formed name of at most NAME_LENGTH_MAX characters."""
    return len(text) <= NAME_LENGTH_MAX and NAME.fullmatch(text) is not None


def is_pattern(text: str) -> bool:
    """Tell whether text is an exact name, a prefix pattern such as `task.*`, or `*`."""
    return text == "*" or is_name(text.removesuffix(".*"))


def matches(pattern: str, name: str) -> bool:
    """Tell whether a name falls under a pattern; `task.*` matches `task.failed` but not `task`."""
    if pattern == "*":
        return True
    if pattern.endswith(".*"):
        return name.startswith(pattern[:-1])
    return name == pattern


def prefixes(name: str) -> list[str]:
    """List every pattern under which a name falls, widest first: `*`, `task.*`, `task.failed`."""
    tokens = name.split(".")
    return ["*", *(".".join(tokens[:n]) + ".*" for n in range(1, len(tokens))), name]
