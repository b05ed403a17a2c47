"""The systemd unit, judged by what systemd makes of it."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from twelvefold.orchestration.systemd import unit, unit_name


def test_percent_dollar_and_blanks_survive() -> None:
    """What systemd would expand is doubled, and words with blanks are quoted."""
    text = unit(
        project="50% off",
        command=["/usr/bin/twelvefold", "up", "-f", "/srv/a b/Proc$file", "-c", "all=1"],
        folder="/srv/50% off",
        home='/srv/with "quotes"',
        runtime_dir=None,
        stop_s=5,
    )
    assert "Description=Twelvefold: 50%% off\n" in text
    assert "WorkingDirectory=/srv/50%% off\n" in text
    assert 'ExecStart=/usr/bin/twelvefold up -f "/srv/a b/Proc$$file" -c all=1\n' in text
    assert 'Environment="TWELVEFOLD_HOME=/srv/with \\"quotes\\""\n' in text


@pytest.mark.parametrize(
    ("project", "name"),
    [("shop", "twelvefold-shop.service"), ("my shop", "twelvefold-my-shop.service"), ("…", "twelvefold-home.service")],
)
def test_unit_names_are_safe(project: str, name: str) -> None:
    """A project's folder name becomes a file name that systemd takes."""
    assert unit_name(project) == name


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd on this machine")
def test_systemd_takes_the_unit(tmp_path: Path) -> None:
    """systemd's own check (in its system mode, which needs no session) finds nothing to complain about."""
    text = unit(
        project="my % shop",
        command=["/bin/sh", "up", "-f", str(tmp_path / "Proc $file")],
        folder=str(tmp_path),
        home=str(tmp_path / "home"),
        runtime_dir=str(tmp_path / "run"),
        stop_s=2.5,
    )
    path = tmp_path / unit_name("shop")
    path.write_text(text)
    done = subprocess.run(["systemd-analyze", "verify", str(path)], capture_output=True, text=True, check=False)
    assert (done.returncode, [line for line in done.stderr.splitlines() if path.name in line]) == (0, [])
