"""A search of files without ripgrep, run as a program by its path (`python -I -S search_walk.py SPEC`).

Imports nothing of ours, and may be killed at any moment: a regular expression can take ages. Writes one JSON object a
matching line; an expression that is none goes to standard error, with status 2. Keeps: links are not followed.
"""

from __future__ import annotations

import json
import os
import re
import stat
import sys
from typing import Any

_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


def _content(path: bytes) -> bytes:
    """Return a regular file's content, empty for what is none, or binary, or gone."""
    try:
        handle = os.open(path, _FLAGS)
    except OSError:
        return b""
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        return b""
    with open(handle, "rb") as file:  # noqa: PTH123 - a descriptor
        content = file.read()
    return b"" if b"\0" in content else content


def _search(spec: dict[str, Any], wanted: re.Pattern[str]) -> None:
    left = spec["limit"] + 1
    longest = spec["line_length_max"]
    for name in spec["files"]:
        path = name.encode("latin-1")
        lines = _content(path).decode("utf-8", "replace").split("\n")
        for number, line in enumerate(lines if lines[-1] else lines[:-1], 1):
            shown = line.rstrip("\r")
            if wanted.search(shown):
                cut = shown if len(shown) <= longest else f"{shown[:longest]}…"
                facts = {"path": path.decode("utf-8", "backslashreplace"), "line": number, "text": cut}
                sys.stdout.write(json.dumps(facts) + "\n")
                left -= 1
                if not left:
                    return


def main() -> int:
    """Search the files that SPEC names; returns the exit status."""
    with open(sys.argv[1], encoding="utf-8") as file:  # noqa: PTH123
        spec = json.load(file)
    expression = re.escape(spec["pattern"]) if spec["literal"] else spec["pattern"]
    try:
        wanted = re.compile(expression, re.IGNORECASE if spec["ignore_case"] else 0)
    except (re.error, RecursionError, OverflowError) as error:
        sys.stderr.write(f"{error}\n")
        return 2
    _search(spec, wanted)
    return 0


if __name__ == "__main__":
    sys.exit(main())
