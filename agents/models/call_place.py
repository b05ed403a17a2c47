"""Where a model call stands in the task on whose behalf it is made: how many came before it, and whether it is wanted.

Set by `calls.ask` for the time of one call, for the few backends that need it. Outside of a task there is none.
"""

from __future__ import annotations

import threading
from contextvars import ContextVar

import msgspec


class CallPlace(msgspec.Struct, frozen=True):
    """`number` model calls of the task came before this one, `equal` of them asked the same; `withdrawn`: see context.

    Both count alike when the task is delivered again, served calls included.
    """

    number: int
    equal: int
    withdrawn: threading.Event


#: None outside of a task.
PLACE: ContextVar[CallPlace | None] = ContextVar("twelvefold_call_place", default=None)
