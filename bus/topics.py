"""Under which topics the bus publishes, and which of them a pattern subscribes to. Pure."""

from __future__ import annotations

#: Topics are event types and end in a NUL, so that `task.failed` isn't a prefix of `task.failed_twice`.
TOPIC_END = b"\0"
#: No name begins with these bytes; they sort last, so that libzmq resends these subscriptions last.
#: Under this one all events of a commit go out together, whatever their types, for who watches everything.
ALL_TOPIC = b"\xfd"
BEACON_TOPIC = b"\xfe"
SYNC_TOPIC = b"\xff"


def topic(type: str) -> bytes:
    """Return the topic on which events of a type are published."""
    return type.encode() + TOPIC_END


def subscription(pattern: str) -> bytes:
    """Return the prefix of topics to subscribe to for a pattern."""
    if pattern == "*":
        return ALL_TOPIC
    if pattern.endswith(".*"):
        return pattern[:-1].encode()
    return topic(pattern)
