"""Lines that an issue wants gone, each said in a sentence: "Remove the line `x = 1` from `a.py`". Pure.

Takes only what is called a line, an import or a statement: of "remove `x` from `a.py`" no text tells how much goes.
"""

from __future__ import annotations

import re

from .issue_blocks import CODE
from .issue_orders import END, Order, Said, path_of
from .issue_paths import Scope, normal
from .issue_statement import Pair

_WHERE = rf"(?: (?:from|in|of) (?:the )?(?:file )?(?P<where>{CODE}))?"
_REMOVAL = re.compile(
    rf"\W*(?:\d+[.)]\s*)?(?:in (?:the )?(?:file )?(?P<lead>{CODE})[,:]? )?(?:please |also |then |and |simply |just )*"
    r"(?:remove|delete|drop) (?:(?:the|this|unused|old|obsolete|dead|stale|superfluous|whole|entire) )*"
    rf"(?:line|import|import line|import statement|statement) (?P<old>{CODE}){_WHERE}{END}",
    re.I,
)


def read_removal(said: Said, start: int) -> Order | None:
    """Read ``Remove the line `a` from `c.py` `` at a place of a paragraph."""
    match = _REMOVAL.match(said.flat, start)
    if match is None:
        return None
    named = [said.code(match, name) for name in ("lead", "where") if match[name]]
    old = said.code(match, "old")
    if len(named) > 1 or not old.strip() or any(not path_of(path) for path in named):
        return None
    offered = [Scope([path for path in scope.paths if path != old], scope.line) for scope in said.offered]
    scopes = [*(Scope([normal(path)], said.line) for path in named), *(scope for scope in offered if scope.paths)]
    return Order(match.end(), [Pair(old, "", True, said.line, scopes)])
