"""The demonstration that a new user sees first: it ends as the README shows it, and leaves nothing behind."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.e2e
README = Path(__file__).parents[2] / "README.md"
COMMAND = Path(sys.executable).with_name("twelvefold")
#: What differs from one time to the next: ids, commits, folders, and how long things took.
VARIES = [
    (r"twelvefold-demo-\w+", "twelvefold-demo-X"),
    (r"\S*/twelvefold-demo-X", "/tmp/twelvefold-demo-X"),
    (r"\b[0-9a-f]{32}\b", "RUN"),
    (r"\b[0-9a-f]{12}\b", "COMMIT"),
    (r"patches/(\w+)-[0-9a-f]{6}/", r"patches/\1-REPO/"),
    (r"\d+\.\d s$", "TIME"),
]


def plain(text: str) -> list[str]:
    for pattern, word in VARIES:
        text = re.sub(pattern, word, text, flags=re.MULTILINE)
    return [line.rstrip() for line in text.splitlines()]


def test_the_demonstration_ends_as_the_readme_shows(tmp_path: Path) -> None:
    """Line by line, but for the patch and the trace, which the README leaves out; its folders are gone afterwards."""
    (tmp_path / "t").mkdir()
    environ = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "TMPDIR": str(tmp_path / "t")}
    environ["TWELVEFOLD_RUNTIME_DIR"] = str(tmp_path / "r")
    done = subprocess.run(
        [COMMAND, "demo"], cwd=tmp_path, env=environ, capture_output=True, text=True, timeout=240, check=False
    )
    assert done.returncode == 0, done.stderr
    (shown,) = re.findall(r"^```text\n(.*?)^```$", README.read_text(), re.MULTILINE | re.DOTALL)
    kept = re.sub(r"^(patch|trace) .*?(?=^$|\Z)|^patch$.*?(?=^$|\Z)", "", done.stdout, flags=re.MULTILINE | re.DOTALL)
    told = [line for line in plain(kept) if line]
    assert told == [line for line in plain(shown) if line not in ("", "…")]
    assert not list((tmp_path / "t").glob("twelvefold-demo-*"))
