"""Every error code of every package, for `explain` and for the test that keeps codes unique.

Owns nothing but the search: classes stand beside the modules that raise them, and are imported only to be listed.
"""

from __future__ import annotations

import inspect
from importlib import import_module
from pathlib import Path

from .eventstore.errors import TwelvefoldError

_PACKAGES = ("eventstore", "bus", "projections", "orchestration", "agents", "cli", "")
_MARK = b'code = "E'


def all_errors() -> list[type[TwelvefoldError]]:
    """Return every error class that has a code of its own, in the order of codes, then names."""
    _import_all()
    found: list[type[TwelvefoldError]] = []
    waiting = [TwelvefoldError]
    while waiting:
        cls = waiting.pop()
        waiting += cls.__subclasses__()
        if "code" in vars(cls):
            found.append(cls)
    return sorted(found, key=lambda cls: (cls.code, cls.__name__))


def explanation(cls: type[TwelvefoldError]) -> str:
    """Return the text of `explain`: an error class's docstring."""
    return inspect.getdoc(cls) or ""


def _import_all() -> None:
    """Import each of our modules whose source defines an error code, and no other: some are slow to import."""
    root = Path(__file__).parent
    for package in _PACKAGES:
        folder = root / package
        # Of this package itself only what isn't another one: the others are linked into it.
        for path in sorted(folder.rglob("*.py") if package else folder.glob("*.py")):
            if _MARK in path.read_bytes():
                name = path.relative_to(folder).with_suffix("").parts
                import_module(".".join(filter(None, (__package__, package, *name))))
