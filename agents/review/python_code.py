"""Python source as a tree, for the checks that need to know more than lines.

Pure. A file that this interpreter can't parse says nothing here; whether that is an error is `syntax`'s to judge.
"""

from __future__ import annotations

import ast
import warnings


def parse(text: str) -> ast.Module | None:
    """Return the tree of a source text; None where this interpreter can't parse it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # an invalid escape in the user's code is no concern of ours
        try:
            return ast.parse(text)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return None
