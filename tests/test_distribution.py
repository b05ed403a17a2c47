"""What is installed: one top-level name, so that distributions with names like our packages' can stand beside us."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
OWN = ("agents", "bus", "eventstore", "orchestration", "projections")


def test_a_wheel_holds_everything_below_one_name(tmp_path: Path) -> None:
    """The wheel's only top-level package is twelvefold; the linked packages are real files in it, and it is typed."""
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0] for name in names if ".dist-info/" not in name} == {"twelvefold"}
    assert {f"twelvefold/{package}/__init__.py" for package in OWN} <= set(names)
    assert "twelvefold/py.typed" in names
    sources = {path.relative_to(ROOT).as_posix() for package in OWN for path in (ROOT / package).rglob("*.py")}
    assert {f"twelvefold/{source}" for source in sources} <= set(names)


def test_an_editable_install_adds_one_name_to_the_path(tmp_path: Path) -> None:
    """Another distribution's `agents` is found where ours is installed; ours answers to `twelvefold.agents` only."""
    (tmp_path / "agents").mkdir()
    (tmp_path / "agents" / "__init__.py").write_text("OTHER = True\n")
    program = (
        "import importlib.util, sys\n"
        f"assert [name for name in {OWN} if importlib.util.find_spec(name)] == [], 'ours are on the path'\n"
        "sys.path.append(sys.argv[1])\n"
        "import agents, twelvefold.agents\n"
        "assert agents.OTHER and twelvefold.agents.__name__ == 'twelvefold.agents'\n"
    )
    subprocess.run([sys.executable, "-P", "-c", program, str(tmp_path)], cwd=tmp_path, check=True)
