"""The evidence of a node, joined from that of its parts: bounded, as thousands of parts may have some each. Pure.

Every piece stays recorded with the task that gave it; what is joined is what a reader, or a plan that demands kinds of
evidence, looks at first.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

#: Pieces that are told of one node; a payload may hold a MiB in all.
PIECES_MAX = 500
OMITTED = "omitted"

Piece = dict[str, Any]


def join_evidence(parts: Iterable[Iterable[Piece]]) -> tuple[Piece, ...]:
    """Return the evidence of all parts in order; beyond the bound only what is the first of its kind is told.

    The last piece then is `{"kind": "omitted", "count": n}`.
    """
    pieces: list[Piece] = []
    kinds: set[str] = set()
    omitted = 0
    for part in parts:
        for piece in part:
            kind = str(piece.get("kind"))
            if kind == OMITTED:
                count = piece.get("count")
                omitted += count if isinstance(count, int) else 1
            elif len(pieces) < PIECES_MAX or kind not in kinds:
                kinds.add(kind)
                pieces.append(piece)
            else:
                omitted += 1
    if omitted:
        pieces.append({"kind": OMITTED, "count": omitted})
    return tuple(pieces)
