"""What the rows of a projection were folded by: a hash of its code, so that a change of it is noticed.

Covers the module of its class, and of the same package each module that this one takes something from, and so on. What
lies elsewhere is covered by the projection's `version`, which its author raises.
"""

from __future__ import annotations

import inspect
import sys
from hashlib import sha256
from pathlib import Path
from types import ModuleType
from typing import Any

from .projection import Projection


def code_of(projection: Projection[Any]) -> str:
    """Return a hash of a projection's code; of a class whose source isn't there, a hash of its compiled methods.

    Taken at the first call and kept: sources may change while what was imported of them goes on.
    """
    kept = _CODES.get(type(projection))
    if kept is None:
        kept = _CODES[type(projection)] = _code_of(projection)
    return kept


_CODES: dict[type, str] = {}


def _code_of(projection: Projection[Any]) -> str:
    owner = sys.modules.get(type(projection).__module__)
    parts = []
    if owner is not None:
        for name, module in sorted(_taken_from(owner).items()):
            source = _source(module)
            if source is not None:
                parts.append(name.encode() + b"\0" + sha256(source).digest())
    if not parts:
        for method in (projection.keys, projection.initial, projection.apply):
            code = getattr(inspect.unwrap(method), "__code__", None)
            parts.append(b"" if code is None else code.co_code + repr(code.co_consts).encode())
    # What the class says of itself may be computed.
    said = (projection.version, projection.types, projection.key_names, projection.by_run, projection.inherits)
    return sha256(b"\0".join([repr(said).encode(), *parts])).hexdigest()[:32]


def _taken_from(owner: ModuleType) -> dict[str, ModuleType]:
    """Return a module and those of its package that it, or one of them, takes a name from, by their names."""
    package = owner.__package__ or owner.__name__
    found = {owner.__name__: owner}
    waiting = [owner]
    while waiting:
        for value in vars(waiting.pop()).values():
            name = value.__name__ if isinstance(value, ModuleType) else getattr(value, "__module__", None)
            if not isinstance(name, str) or name in found or not f"{name}.".startswith(f"{package}."):
                continue
            module = sys.modules.get(name)
            if module is not None:
                found[name] = module
                waiting.append(module)
    return found


def _source(module: ModuleType) -> bytes | None:
    file = getattr(module, "__file__", None)
    if not isinstance(file, str):
        return None
    try:
        return Path(file).read_bytes()
    except OSError:
        return None
