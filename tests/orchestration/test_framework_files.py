"""Noticing that the framework's own files have changed."""

from __future__ import annotations

import os
from pathlib import Path

from twelvefold.orchestration.framework_files import INTERVAL_S, PACKAGE, FrameworkFiles


def test_each_change_is_told_once(tmp_path: Path) -> None:
    """A file that was written, came or went is named at the next look, and only then."""
    (tmp_path / "bus").mkdir()
    (tmp_path / "bus" / "wire.py").write_text("A = 1\n")
    files = FrameworkFiles(0.0, tmp_path)
    looks = iter(n * INTERVAL_S for n in range(1, 20))
    assert files.changed(next(looks)) is None
    os.utime(tmp_path / "bus" / "wire.py", ns=(1, 1))
    assert files.changed(next(looks)) == "bus/wire.py"
    assert files.changed(next(looks)) is None
    (tmp_path / "new.py").write_text("")
    assert files.changed(next(looks)) == "new.py"
    (tmp_path / "new.py").unlink()
    assert files.changed(next(looks)) == "new.py"


def test_looks_are_some_seconds_apart(tmp_path: Path) -> None:
    """Starting many processes at once costs one look, and the change is told at the next one."""
    files = FrameworkFiles(0.0, tmp_path)
    (tmp_path / "new.py").write_text("")
    assert files.changed(INTERVAL_S / 2) is None
    assert files.changed(INTERVAL_S) == "new.py"


def test_all_packages_are_looked_at() -> None:
    """The real package's sources are among them, those of the linked packages too."""
    known = FrameworkFiles(0.0)._known
    assert {"jobs.py", "cli/main.py", "bus/wire.py", "agents/base.py"} <= set(known)
    assert all((PACKAGE / name).exists() for name in known)
