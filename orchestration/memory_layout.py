"""Lays out this process's memory so that forks write to few of its pages: what is written together lies together.

A forked process gets a copy of every page that it writes to, and CPython writes a lot: a reference count in each
object that it uses, blocks wherever one is free. Owns the two remedies: code that is run is moved side by side, and
holes between objects are closed, so that what a fork makes lies side by side too. CPython only; elsewhere, and where
the allocator is another one, nothing is done. Keeps what the program means: objects are copied or added, never changed.
"""

from __future__ import annotations

import contextlib
import gc
import os
import sys
from collections.abc import Iterator
from types import CodeType, FrameType, FunctionType
from typing import Any

#: Blocks that fill holes; they live as long as the process.
_fillers: list[object] = []
#: What a bytes object needs beside its content.
_BYTES_OVERHEAD = sys.getsizeof(b"")


class Recorder:
    """Notes the code that is run, in the order of its first run, by all threads begun meanwhile and this one."""

    def __init__(self) -> None:
        self.seen: dict[CodeType, None] = {}

    def _note(self, frame: FrameType, event: str, argument: Any) -> None:
        if event == "call":
            self.seen[frame.f_code] = None

    @contextlib.contextmanager
    def recording(self) -> Iterator[None]:
        """Record while within."""
        # Imported here, not above: a zygote takes care of what such modules register to run at forks.
        import threading

        threading.setprofile(self._note)
        sys.setprofile(self._note)
        try:
            yield
        finally:
            sys.setprofile(None)
            threading.setprofile(None)


def pack(seen: dict[CodeType, None]) -> None:
    """Move code side by side, in this order. Run it again afterwards: what CPython had specialised begins anew."""
    functions: dict[int, list[FunctionType]] = {}
    for found in gc.get_objects():
        if type(found) is FunctionType:
            functions.setdefault(id(found.__code__), []).append(found)
    for code in seen:
        if id(code) in functions:
            copy = _copied(code, seen)
            for function in functions[id(code)]:
                function.__code__ = copy


def _copied(code: CodeType, seen: dict[CodeType, None]) -> CodeType:
    """Copy code with what is run of the functions that it defines."""
    constants = tuple(
        _copied(one, seen) if isinstance(one, CodeType) and one in seen else one for one in code.co_consts
    )
    return code.replace(co_consts=constants)


def close_holes() -> None:
    """Fill every free block of the pools in use, so that the next objects get pages of their own."""
    for size, count in _free_blocks().items():
        if size <= 16:
            _fillers.append([object() for _ in range(count)])
        elif size < 48:
            _fillers.append([float(number) for number in range(count)])
        else:
            _fillers.append([bytes(size - _BYTES_OVERHEAD) for _ in range(count)])


def _free_blocks() -> dict[int, int]:
    """Return the count of free blocks by size, as CPython prints them for debugging ({} where it prints otherwise)."""
    told = getattr(sys, "_debugmallocstats", None)
    if told is None or sys.platform != "linux":
        return {}
    reader, errors = os.memfd_create("free blocks"), os.dup(2)
    os.dup2(reader, 2)
    try:
        told()
    finally:
        os.dup2(errors, 2)
        os.close(errors)
        os.lseek(reader, 0, os.SEEK_SET)
    with os.fdopen(reader, encoding="ascii") as file:
        rows = [line.split() for line in file]
    # class, size, pools, blocks in use, free blocks
    return {int(row[1]): int(row[4]) for row in rows if len(row) == 5 and all(map(str.isdigit, row))}
