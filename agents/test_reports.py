"""Report files that a run of tests left: those we asked a tool for, and JUnit XML that a runner writes by itself.

Owns finding and bounding them; reading is `test_results`'. Keeps: a report that is committed in the repository is never
taken for one of this run.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection
from pathlib import Path

#: How Surefire, Failsafe, Gradle, PHPUnit, CTest, mocha-junit and others name theirs, by default or by custom.
_NAMES = re.compile(r"(?i)(?:TEST-.*|.*junit.*|.*test[-_.]?(?:results?|reports?).*|results?|nosetests|rspec.*)\.xml")
_FOLDERS = re.compile(r"(?i)(?:surefire|failsafe|junit|test)[-_]?(?:reports?|results?|xml)|test|junit")
_SKIPPED = {".git", "node_modules", ".venv", "venv", ".tox", ".nox", "site-packages"}
FILES_MAX = 5_000
FILE_BYTES_MAX = 32 << 20
ALL_BYTES_MAX = 128 << 20


def asked_reports(scratch: Path) -> dict[str, bytes]:
    """Return the reports that tools were told to write into the run's own folder."""
    files = [scratch / name for name in ("js.json", "node.xml")]
    return {file.name: file.read_bytes() for file in files if file.is_file() and not file.is_symlink()}


def found_reports(folder: Path, tracked: Collection[str]) -> dict[str, bytes]:
    """Return JUnit reports that the run has left in the workspace, by `junit/` and their path there."""
    found: dict[str, bytes] = {}
    length = 0
    for top, names, files in os.walk(folder):
        names[:] = sorted(name for name in names if name not in _SKIPPED)
        fitting = _FOLDERS.fullmatch(Path(top).name) is not None
        for name in sorted(files):
            if not (name.endswith(".xml") and (fitting or _NAMES.fullmatch(name))):
                continue
            file = Path(top, name)
            path = str(file.relative_to(folder))
            facts = file.lstat()
            usable = file.is_file() and not file.is_symlink() and facts.st_size <= FILE_BYTES_MAX
            if path in tracked or not usable:
                continue
            length += facts.st_size
            if len(found) >= FILES_MAX or length > ALL_BYTES_MAX:
                return found
            content = file.read_bytes()
            if b"<testsuite" in content[:4096] or b"<testsuite" in content:
                found[f"junit/{path}"] = content
    return found
