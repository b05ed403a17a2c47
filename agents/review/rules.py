"""What a review goes by, beside the change itself.

Pure. Owns the shape that every own check is given.
"""

from __future__ import annotations

import msgspec


class Rules(msgspec.Struct, frozen=True, kw_only=True):
    """The issue that the change is for, and the files that it may touch.

    `scope_files` of None: any. With `scope_strict` the scope is all that was asked for, to the file, and anything
    beyond it is a reason to refuse; else it is a guess of what the issue is about.
    """

    scope_files: tuple[str, ...] | None = None
    scope_strict: bool = False
    issue: str = ""

    def names(self, *texts: str) -> bool:
        """Tell whether the issue speaks of one of these names, so that what was done to it was asked for."""
        return any(text and text in self.issue for text in texts)
