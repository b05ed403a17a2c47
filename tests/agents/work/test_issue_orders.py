"""Orders beyond an old text and a new one: files moved and deleted, lines put somewhere, versions and settings."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from twelvefold.agents.edits import Applied, apply_edits, named_paths, spread
from twelvefold.agents.issue import parse_issue

CORE = "import os\nimport re\n\nLIMIT = 10\n\n\ndef load(path):\n    data = open(path)\n    return data.read()\n"
PYPROJECT = """\
[project]
name = "demo"
version = "1.2.3"  # keep in step
requires-python = ">=3.8"
dependencies = [
    "jinja2>=3.0",
    "requests[socks]>=2.30,<3 ; python_version < '3.12'",
]

[tool.black]
line-length = 88
target-version = ["py38"]

[tool.other]
version = "1.2.3"
"""
SETUP_CFG = "[metadata]\nname = demo\nversion = 1.2.3\n\n[options]\ninstall_requires =\n    jinja2 >= 3.0\n    attrs\n"
PACKAGE = (
    '{\n  "name": "demo",\n  "version": "1.2.3",\n'
    '  "dependencies": {"lodash": "^4.17.20", "left-pad": "1.2.3", "@types/node": "^18.0.0"}\n}\n'
)
REQUIREMENTS = "# pinned\njinja2==3.0.1  # old\nrequests>=2.30\nclick\n"
FILES = {
    "src/core.py": CORE,
    "src/util.py": "from core import load\n",
    "src/__init__.py": '"""Demo."""\n\n__version__ = "1.2.3"\nTIMEOUT = 30\n',
    "docs/guide.md": "# Guide\n\nSee old.png and setup.py.\n\n## End\n",
    "docs/old.png.txt": "x\n",
    "setup.py": "from setuptools import setup\n\nsetup(version='1.2.3', install_requires=['jinja2>=3.0'])\n",
    "pyproject.toml": PYPROJECT,
    "setup.cfg": SETUP_CFG,
    "package.json": PACKAGE,
    "requirements.txt": REQUIREMENTS,
    ".gitignore": "*.pyc\n",
    "notes.txt": "one\ntwo\nthree",
    "run.sh": "#!/bin/sh\necho 1\n",
    "config.json": '{"debug": false, "retries": 3}\n',
    "tox.ini": "[tox]\nenvlist = py38\n\n[testenv]\ndeps =\n    pytest==7.0\n",
}


def code(*lines: str, info: str = "") -> str:
    return f"```{info}\n" + "".join(f"{line}\n" for line in lines) + "```\n"


def outcome(text: str) -> dict[str, str | None] | str:
    """The changed files of an issue (None: gone), or a word for why it changes nothing."""
    issue = parse_issue(f"# Title\n\n{text}")
    edits, problems = issue.edits(FILES)
    if problems:
        return "incomplete"
    if not edits:
        return "none"
    edits, unclear = spread(edits, lambda text: {path: it.encode() for path, it in FILES.items() if text in it})
    if unclear:
        return unclear[0].reason
    made = apply_edits(edits, {path: FILES[path].encode() for path in named_paths(edits) if path in FILES})
    if isinstance(made, Applied):
        return {path: None if content is None else content.decode() for path, content in made.contents.items()}
    return made[0].reason if isinstance(made, list) else "already"


MOVED = {"src/util.py": None, "src/tools.py": FILES["src/util.py"]}
GONE: dict[str, str | None] = {"src/util.py": None}
GIT_MOVE = (
    "diff --git a/src/util.py b/src/tools.py\nsimilarity index 100%\nrename from src/util.py\nrename to src/tools.py"
)
MOVES: dict[str, tuple[str, dict[str, str | None]]] = {
    "rename": ("Rename `src/util.py` to `src/tools.py`.", MOVED),
    "in its folder": ("Rename `src/util.py` to `tools.py`.", MOVED),
    "plain words": ("Please rename src/util.py to src/tools.py.", MOVED),
    "the file": ("Then rename the file `src/util.py` to `src/tools.py`, as it is no util.", MOVED),
    "arrow": ("Rename: `src/util.py` -> `src/tools.py`", MOVED),
    "passive": ("`src/util.py` should be renamed to `src/tools.py`.", MOVED),
    "heading": ("## 1. Rename `src/util.py` to `src/tools.py`\n\nIt is no util.", MOVED),
    "list": ("Please rename the following files:\n\n- `src/util.py` -> `src/tools.py`\n", MOVED),
    "folder": ("Move `src/util.py` to `lib/`.", {"src/util.py": None, "lib/util.py": FILES["src/util.py"]}),
    "existing folder": ("Move `src/util.py` into `docs`.", {"src/util.py": None, "docs/util.py": FILES["src/util.py"]}),
    "to the folder": (
        "Move src/util.py to the folder `lib`.",
        {"src/util.py": None, "lib/util.py": FILES["src/util.py"]},
    ),
    "git diff": (code(GIT_MOVE, info="diff"), MOVED),
    "git diff without a language": (code(GIT_MOVE), MOVED),
    "git diff without a fence": (f"{GIT_MOVE}\n", MOVED),
    "said twice": (f"Rename `src/util.py` to `src/tools.py`:\n\n{code(GIT_MOVE, info='diff')}", MOVED),
    "git diff with hunks": (
        code(
            GIT_MOVE.replace("100%", "80%"),
            "--- a/src/util.py",
            "+++ b/src/tools.py",
            "@@ -1 +1 @@",
            "-from core import load",
            "+from .core import load",
            info="diff",
        ),
        {"src/util.py": None, "src/tools.py": "from .core import load\n"},
    ),
    "with an edit by the old name": (
        "Rename `src/util.py` to `src/tools.py`.\n\nIn `src/util.py`, replace `from core` with `from .core`.",
        {"src/util.py": None, "src/tools.py": "from .core import load\n"},
    ),
    "with an edit by the new name": (
        "Rename `src/util.py` to `src/tools.py`.\n\nIn `src/tools.py`, replace `from core` with `from .core`.",
        {"src/util.py": None, "src/tools.py": "from .core import load\n"},
    ),
    "two": (
        "Rename `src/util.py` to `src/tools.py` and move `notes.txt` to `docs/`.",
        {**MOVED, "notes.txt": None, "docs/notes.txt": FILES["notes.txt"]},
    ),
    "chain": (
        "Rename `src/util.py` to `src/core.py`. Rename `src/core.py` to `src/main.py`.",
        {"src/util.py": None, "src/core.py": FILES["src/util.py"], "src/main.py": CORE},
    ),
    "whole folder": (
        "Rename the folder `docs` to `manual`.",
        {
            "docs/guide.md": None,
            "docs/old.png.txt": None,
            "manual/guide.md": FILES["docs/guide.md"],
            "manual/old.png.txt": "x\n",
        },
    ),
    "apply_patch": (
        code(
            "*** Begin Patch",
            "*** Update File: src/util.py",
            "*** Move to: src/tools.py",
            "*** End Patch",
            info="patch",
        ),
        MOVED,
    ),
    "delete": ("Delete the file `src/util.py`.", GONE),
    "remove": ("Please remove `src/util.py`, it is not used.", GONE),
    "delete plain": ("Delete src/util.py.", GONE),
    "delete passive": ("The file `src/util.py` should be removed.", GONE),
    "delete heading": ("### `src/util.py` (delete)\n\nNobody uses it.", GONE),
    "delete several": ("Delete `src/util.py` and `notes.txt`.", {**GONE, "notes.txt": None}),
    "delete listed": ("Delete these files:\n\n- `src/util.py`\n- notes.txt\n", {**GONE, "notes.txt": None}),
    "delete as a heading over a list": ("## Files to delete\n\n- `src/util.py`\n", GONE),
    "delete said of a list": ("The following files should be deleted:\n\n- `src/util.py`\n", GONE),
    "open task": ("- [ ] Delete `src/util.py`\n- [x] Delete `notes.txt`\n", GONE),
    "before a test": ("1. Delete `src/util.py`.\n2. Run the tests and see that they pass.\n", GONE),
    "delete by apply_patch": (
        code("*** Begin Patch", "*** Delete File: src/util.py", "*** End Patch", info="patch"),
        GONE,
    ),
    "make by apply_patch": (
        code("*** Begin Patch", "*** Add File: new.py", "+x = 1", "+y = 2", "*** End Patch", info="patch"),
        {"new.py": "x = 1\ny = 2\n"},
    ),
    "a word of a file": (
        "In `docs/guide.md`, rename `old.png` to `new.png`.",
        {"docs/guide.md": FILES["docs/guide.md"].replace("old.png", "new.png")},
    ),
    "a word behind": (
        "Rename `old.png` to `new.png` in `docs/guide.md`.",
        {"docs/guide.md": FILES["docs/guide.md"].replace("old.png", "new.png")},
    ),
    "a name and then its file": (
        "Rename `load` to `read` in `src/util.py`, then rename `src/util.py` to `src/tools.py`.",
        {"src/util.py": None, "src/tools.py": "from core import read\n"},
    ),
    "behind what a block shows": (
        f"It prints:\n{code('x')}\nRename `src/util.py` to `src/tools.py`.",
        MOVED,
    ),
    "a name": ("Rename `load` to `read` in `src/core.py`.", {"src/core.py": CORE.replace("load", "read")}),
    "a name in two files, counted": (
        "Rename `load` to `read` in `src/core.py` (1 occurrence) and `src/util.py` (1 occurrence).",
        {"src/core.py": CORE.replace("load", "read"), "src/util.py": "from core import read\n"},
    ),
    "a name everywhere in the file": (
        "### `src/core.py`\n\nRename `data` to `text` everywhere in the file.",
        {"src/core.py": CORE.replace("data", "text")},
    ),
    "a name in a list of files": (
        "Rename `data` to `text` in:\n\n- `src/core.py` (2 occurrences)\n",
        {"src/core.py": CORE.replace("data", "text")},
    ),
    "a name in the whole repository, counted": (
        "Rename `load` to `read` everywhere in the repository (2 occurrences in 2 files).",
        {"src/core.py": CORE.replace("load", "read"), "src/util.py": "from core import read\n"},
    ),
    "a name across the project": (
        "Rename the function `load` to `read` across the whole project; it occurs in 2 places.",
        {"src/core.py": CORE.replace("load", "read"), "src/util.py": "from core import read\n"},
    ),
    "a name, counted": (
        "Rename `data` to `file` in `src/core.py` (2 occurrences).",
        {"src/core.py": CORE.replace("data", "file")},
    ),
}


@pytest.mark.parametrize(("text", "expected"), MOVES.values(), ids=MOVES.keys())
def test_moves_and_deletions(text: str, expected: dict[str, str | None]) -> None:
    """Files are moved and deleted as said, whoever says it how; nothing else is changed."""
    assert outcome(text) == expected


SYS = {"src/core.py": CORE.replace("import os\n", "import os\nimport sys\n")}
FLUSH = {"src/core.py": CORE.replace("    data = open(path)\n", "    data = open(path)\n    print(data)\n")}
HEAD = {"src/core.py": f"import sys\n{CORE}"}
END = {"src/core.py": f"{CORE}\n\ndef dump():\n    pass\n"}
DUMP = code("", "", "def dump():", "    pass", info="python")
INSERTS: dict[str, tuple[str, dict[str, str | None]]] = {
    "labels": (f"### `src/core.py`\nAfter:\n{code('import os')}\nInsert:\n{code('import sys')}", SYS),
    "labels inline": ("### `src/core.py`\n- After: `import os`\n- Insert: `import sys`\n", SYS),
    "labels the other way": (f"### `src/core.py`\nAdd:\n{code('import sys')}\nafter:\n{code('import os')}", SYS),
    "before": (f"### `src/core.py`\nBefore:\n{code('import re')}\nadd:\n{code('import sys')}", SYS),
    "insert before": (
        f"In `src/core.py`, insert before:\n{code('import re')}\nthe following:\n{code('import sys')}",
        SYS,
    ),
    "after this line": (f"### `src/core.py`\nAfter this line:\n{code('import os')}\nadd\n{code('import sys')}", SYS),
    "headings": (f"### `src/core.py`\n#### After\n{code('import os')}\n#### Insert\n{code('import sys')}", SYS),
    "new code": (
        f"### `src/core.py`\n**Insert after:**\n{code('import os')}\n**New code:**\n{code('import sys')}",
        SYS,
    ),
    "colon and code": ("In `src/core.py`, add this line after `import os`: `import sys`", SYS),
    "colon at the end": (
        "Append the following line to the end of `.gitignore`: `*.log`",
        {".gitignore": "*.pyc\n*.log\n"},
    ),
    "end, turned": ("At the end of `.gitignore` add: `*.log`", {".gitignore": "*.pyc\n*.log\n"}),
    "order over a block": (f"Add the following after `import os` in `src/core.py`:\n{code('import sys')}", SYS),
    "order behind": (f"In `src/core.py`, after the line `import os`, add:\n\n{code('import sys')}", SYS),
    "directly below": (f"### `src/core.py`\nInsert this line directly below `import os`:\n{code('import sys')}", SYS),
    "line number": (f"### `src/core.py`\nAdd after line 1:\n{code('import sys')}", SYS),
    "line number of": (f"Insert the following before line 2 of `src/core.py`:\n{code('import sys')}", SYS),
    "line number with its text": (f"### `src/core.py`\nAdd after line 1 (`import os`):\n{code('import sys')}", SYS),
    "sentence": ("Add `import sys` after `import os` in `src/core.py`.", SYS),
    "sentence, order turned": ("In `src/core.py`, after `import os` add `import sys`.", SYS),
    "sentence before": ("### src/core.py\nPlease insert the line `import sys` before `import re`.", SYS),
    "indented": ("In `src/core.py`, add `print(data)` after `data = open(path)`.", FLUSH),
    "decorator": (
        "Add `@cache` above `def load(path):` in `src/core.py`.",
        {"src/core.py": CORE.replace("def load", "@cache\ndef load")},
    ),
    "exact block": (
        f"### `src/core.py`\nAfter:\n{code('    data = open(path)')}\nAdd:\n{code('    print(data)')}",
        FLUSH,
    ),
    "end of the file": (f"Append to `src/core.py`:\n{DUMP}", END),
    "at the end": (f"Add the following at the end of `src/core.py`:\n{DUMP}", END),
    "to the end of the file": (f"### `src/core.py`\nAdd this function to the end of the file:\n{DUMP}", END),
    "at its end, turned": (f"At the end of `src/core.py`, add:\n{DUMP}", END),
    "append a line": ("Append `*.log` to `.gitignore`.", {".gitignore": "*.pyc\n*.log\n"}),
    "add to a list": ("Add `*.log` to `.gitignore`.", {".gitignore": "*.pyc\n*.log\n"}),
    "without a last line end": (f"Append to `notes.txt`:\n{code('four')}", {"notes.txt": "one\ntwo\nthree\nfour"}),
    "top": (f"Add to the top of `src/core.py`:\n{code('import sys')}", HEAD),
    "prepend": ("### `src/core.py`\nAdd `import sys` at the top of the file.", HEAD),
}


UNLIMITED = CORE.replace("LIMIT = 10\n", "")
REMOVALS: dict[str, tuple[str, dict[str, str | None]]] = {
    "a line": ("Remove the line `LIMIT = 10` from `src/core.py`.", {"src/core.py": UNLIMITED}),
    "the file in front": ("In `src/core.py`, please delete the unused line `LIMIT = 10`.", {"src/core.py": UNLIMITED}),
    "the file in a heading": (
        "### `src/core.py`\n\n- drop the obsolete statement `LIMIT = 10`",
        {"src/core.py": UNLIMITED},
    ),
    "an import": ("`src/core.py`: remove the import `import re`", {"src/core.py": CORE.replace("import re\n", "")}),
    "an indented line": (
        "Delete the line `data = open(path)` in `src/core.py`",
        {"src/core.py": CORE.replace("    data = open(path)\n", "")},
    ),
}


@pytest.mark.parametrize(("text", "expected"), REMOVALS.values(), ids=REMOVALS.keys())
def test_lines_that_go(text: str, expected: dict[str, str | None]) -> None:
    """What is called a line goes with its line end."""
    assert outcome(text) == expected


@pytest.mark.parametrize(("text", "expected"), INSERTS.values(), ids=INSERTS.keys())
def test_lines_that_are_put_somewhere(text: str, expected: dict[str, str | None]) -> None:
    """Lines go after, before, or to an end, with the indentation of their neighbour where they came without."""
    assert outcome(text) == expected


BUMPED = {"pyproject.toml": PYPROJECT.replace('version = "1.2.3"  #', 'version = "1.2.4"  #')}
JINJA = {"pyproject.toml": PYPROJECT.replace("jinja2>=3.0", "jinja2>=3.1")}
SETTINGS: dict[str, tuple[str, dict[str, str | None]]] = {
    "version": ("Bump version from 1.2.3 to 1.2.4 in pyproject.toml", BUMPED),
    "version in code": ("Bump the version from `1.2.3` to `1.2.4` in `pyproject.toml`.", BUMPED),
    "version without the old": ("Please bump the project version to 1.2.4 in `pyproject.toml`.", BUMPED),
    "version, file in the middle": ("Change the version in `pyproject.toml` from `1.2.3` to `1.2.4`.", BUMPED),
    "version under a heading": ("### `pyproject.toml`\n\nUpdate the version number to `1.2.4`.", BUMPED),
    "dotted": ("Set `project.version` to `1.2.4` in `pyproject.toml`.", BUMPED),
    "equals": ("Set version = 1.2.4 in pyproject.toml.", BUMPED),
    "arrow": ("Bump version 1.2.3 -> 1.2.4 in pyproject.toml", BUMPED),
    "a tool's": (
        "Set `tool.other.version` to `2` in `pyproject.toml`.",
        {"pyproject.toml": PYPROJECT.replace('[tool.other]\nversion = "1.2.3"', '[tool.other]\nversion = "2"')},
    ),
    "two files": (
        "Bump the version from 1.2.3 to 1.2.4 in `pyproject.toml` and `package.json`.",
        {**BUMPED, "package.json": PACKAGE.replace('"version": "1.2.3"', '"version": "1.2.4"')},
    ),
    "json": (
        "Bump version to 1.2.4 in package.json.",
        {"package.json": PACKAGE.replace('"version": "1.2.3"', '"version": "1.2.4"')},
    ),
    "ini": ("Bump version to 1.2.4 in setup.cfg.", {"setup.cfg": SETUP_CFG.replace("1.2.3", "1.2.4")}),
    "python": (
        "Bump the version from 1.2.3 to 1.2.4 in `src/__init__.py`.",
        {"src/__init__.py": FILES["src/__init__.py"].replace("1.2.3", "1.2.4")},
    ),
    "setup.py": (
        "Bump the version to 1.2.4 in `setup.py`.",
        {"setup.py": FILES["setup.py"].replace("1.2.3", "1.2.4")},
    ),
    "constant": (
        "Change `TIMEOUT` to `60` in `src/__init__.py`.",
        {"src/__init__.py": FILES["src/__init__.py"].replace("30", "60")},
    ),
    "requirement": ("Upgrade jinja2 to >=3.1 in pyproject.toml", JINJA),
    "requirement without a condition": ("Upgrade `jinja2` to `3.1` in `pyproject.toml`.", JINJA),
    "requirement from": ("Bump Jinja2 from 3.0 to 3.1 in pyproject.toml.", JINJA),
    "requirement in setup.cfg": (
        "Upgrade jinja2 to >=3.1 in setup.cfg",
        {"setup.cfg": SETUP_CFG.replace("jinja2 >= 3.0", "jinja2 >=3.1")},
    ),
    "requirement, all conditions": (
        "Upgrade requests to >=2.31,<4 in pyproject.toml",
        {"pyproject.toml": PYPROJECT.replace(">=2.30,<3 ;", ">=2.31,<4 ;")},
    ),
    "pin": (
        "Upgrade jinja2 from 3.0.1 to 3.1.4 in `requirements.txt`.",
        {"requirements.txt": REQUIREMENTS.replace("3.0.1", "3.1.4")},
    ),
    "npm": (
        "Update lodash to 4.17.21 in package.json.",
        {"package.json": PACKAGE.replace("^4.17.20", "^4.17.21")},
    ),
    "npm, scoped": (
        "Upgrade @types/node to ^20.0.0 in package.json.",
        {"package.json": PACKAGE.replace("^18", "^20")},
    ),
    "tox": ("Upgrade pytest to 8.0 in tox.ini.", {"tox.ini": FILES["tox.ini"].replace("7.0", "8.0")}),
    "python version": (
        "Raise `requires-python` to `>=3.9` in `pyproject.toml`.",
        {"pyproject.toml": PYPROJECT.replace(">=3.8", ">=3.9")},
    ),
    "number": (
        "Set `line-length` to `100` in `pyproject.toml`.",
        {"pyproject.toml": PYPROJECT.replace("88", "100")},
    ),
    "boolean": (
        "Set `debug` to `true` in `config.json`.",
        {"config.json": FILES["config.json"].replace("false", "true")},
    ),
    "a text that is no setting's": (
        "Change the limit in `src/core.py` from `10` to `20`.",
        {"src/core.py": CORE.replace("10", "20")},
    ),
}


@pytest.mark.parametrize(("text", "expected"), SETTINGS.values(), ids=SETTINGS.keys())
def test_versions_and_settings(text: str, expected: dict[str, str | None]) -> None:
    """One value becomes another; comments, layout and everything that merely looks like it stay."""
    assert outcome(text) == expected


PAIR = f"### `src/util.py`\nCurrent:\n{code('from core import load')}\nShould be:\n{code('from .core import load')}\n"
REFUSED: dict[str, tuple[str, str]] = {
    # moves
    "a target that is there": ("Rename `src/util.py` to `src/core.py`.", "file_exists"),
    "a file that is not there": ("Rename `src/nope.py` to `src/yes.py`.", "file_missing"),
    "two places for one file": ("Rename `src/util.py` to `a.py`. Rename `src/util.py` to `b.py`.", "edits_overlap"),
    "two files for one place": ("Rename `src/util.py` to `lib/x.py`. Move `notes.txt` to `lib/x.py`.", "edits_overlap"),
    "out of the repository": ("Move `src/util.py` to `../../evil.py`.", "unsafe_path"),
    "to an absolute path": ("Move `src/util.py` to `/etc/evil.conf`.", "unsafe_path"),
    "into .git": ("Move `run.sh` to `.git/hooks/pre-commit.sh`.", "unsafe_path"),
    "from .git": ("Move `.git/config.ini` to `x.ini`.", "unsafe_path"),
    "delete .git": ("Delete `.git/config.ini`.", "unsafe_path"),
    "delete out of it": ("Delete the file `../other/x.py`.", "unsafe_path"),
    "delete absolute": ("Delete `/etc/hosts.conf`.", "unsafe_path"),
    "delete what is not there": ("Delete `src/nope.py`.", "file_missing"),
    "delete and edit": (f"Delete `src/util.py`.\n\n{PAIR}", "edits_overlap"),
    "delete and move": ("Delete `src/util.py`. Rename `src/util.py` to `src/x.py`.", "edits_overlap"),
    "move to itself": ("Move `src/util.py` to `src/util.py`.", "edits_overlap"),
    "delete a folder": ("Delete the folder `docs`.", "incomplete"),
    "move a folder onto another": ("Rename the folder `docs` to `src`.", "incomplete"),
    "one of two moves": ("Rename `src/util.py` to `a.py` and `notes.txt`.", "incomplete"),
    "imports to be found": ("Rename `src/util.py` to `src/tools.py` and update the imports.", "incomplete"),
    "imports in a sentence of their own": ("Rename `src/util.py` to `src/tools.py`. Update all imports.", "incomplete"),
    "imports further down": ("Delete `src/util.py`.\n\n- Fix every caller of it.\n", "incomplete"),
    "file or word": ("### `docs/guide.md`\n\nRename `setup.py` to `install.py`.", "incomplete"),
    "delete a file or its mention": ("### `docs/guide.md`\n\nRemove `setup.py`.", "incomplete"),
    "a question": ("Should we rename `src/util.py` to `src/tools.py`?", "none"),
    "a question as an order": ("Rename `src/util.py` to `src/tools.py`?", "none"),
    "forbidden": ("Do not rename `src/util.py` to `src/tools.py`, and never delete `src/core.py`.", "none"),
    "a condition": ("If nobody minds, rename `src/util.py` to `src/tools.py`.", "incomplete"),
    "a condition behind": ("Delete `src/util.py` if it is unused.", "incomplete"),
    "perhaps": ("Perhaps later, delete `src/util.py`.", "incomplete"),
    "to reproduce": ("To reproduce: delete `src/util.py` and run the tests.", "incomplete"),
    "steps": ("Steps to see it:\n\n1. Delete `src/util.py`.\n2. Start it.\n", "incomplete"),
    "past": ("We renamed `src/util.py` to `src/tools.py` in March.", "none"),
    "in a quotation": ("> Delete `src/util.py`.", "none"),
    "struck out": ("~~Delete `src/util.py`.~~", "none"),
    "in a comment": ("<!-- Delete `src/util.py`. -->\n\nx", "none"),
    "alternatives": ("## Alternatives\n\nDelete `src/util.py`.", "none"),
    "in a shell": (code("git rm src/util.py", "rm -rf /", info="console"), "none"),
    "from a text": ("Remove `setup.py` from the list of the docs.", "none"),
    "a count that is wrong in one file": (
        "Rename `load` to `read` in `src/core.py` (1 occurrence) and `src/util.py` (2 occurrences).",
        "old_text_ambiguous",
    ),
    "more files than said": (
        "Rename `load` to `read` across the project (2 occurrences in 1 file).",
        "old_text_ambiguous",
    ),
    "more places than said": ("Rename `load` to `read` in all files (1 occurrence).", "old_text_ambiguous"),
    "everywhere, not counted": ("Rename `load` to `read` throughout the code base.", "incomplete"),
    "everywhere and nowhere": ("Rename `nope` to `yes` everywhere in the project (2 occurrences).", "old_text_missing"),
    "a name without a count": ("Rename `data` to `text` in `src/core.py`.", "old_text_ambiguous"),
    "names of no files": ("Rename `loader` to `reader`.", "incomplete"),
    "mode": (code("diff --git a/run.sh b/run.sh", "old mode 100644", "new mode 100755", info="diff"), "incomplete"),
    "copy": (code("diff --git a/a b/b", "copy from notes.txt", "copy to b.txt", info="diff"), "incomplete"),
    "half of a rename": (code("diff --git a/a b/b", "rename from notes.txt", info="diff"), "incomplete"),
    "bad hunk of a rename": (
        code(GIT_MOVE, "--- a/src/util.py", "+++ b/src/tools.py", "@@ -1 +1 @@", "-nope", "+yes", info="diff"),
        "old_text_missing",
    ),
    "told by somebody": ("The dialog says: delete `src/util.py`.", "incomplete"),
    "told by a program": ("The command prints: Delete `src/util.py`.", "incomplete"),
    "what users want": ("Users want to: rename `src/util.py` to `src/x.py`.", "incomplete"),
    "what it does now": (
        "What it does now:\n\n- Delete `src/util.py`.\n- Rename `notes.txt` to `n.txt`.\n",
        "incomplete",
    ),
    "expected behaviour": ("## Expected behaviour\n\nRename `src/util.py` to `src/x.py`.", "incomplete"),
    "an example": ("## Example\n\nDelete `src/util.py`.", "incomplete"),
    "what was tried": ("## What I tried\n\nDelete `src/util.py`.", "incomplete"),
    "steps without a name": ("1. Delete `src/util.py`\n2. Run the tests, they fail\n", "incomplete"),
    "a sentence that goes on": ("Delete `src/util.py` works badly.", "none"),
    "what happens on Windows": ("Rename `src/util.py` to `src/x.py` fails on Windows.", "incomplete"),
    "and everything else": ("Delete `src/util.py`, `notes.txt`, and everything that uses them.", "incomplete"),
    "a text from a file": ("Remove `import os` from `src/core.py`.", "incomplete"),
    "a class": ("Move the class `App` from `src/core.py` to `src/app.py`.", "none"),
    "a criterion": ("## Acceptance criteria\n\n- [ ] Delete `src/util.py`", "incomplete"),
    "a task that is done": ("- [x] Delete `src/util.py`", "none"),
    "a list of nothing": ("Files to delete:\n\nNone.", "incomplete"),
    "an upgrade told otherwise": ("Upgrade click (now 7) to 8.1 in requirements.txt.", "incomplete"),
    "patterns": ("Delete `*.py`.", "none"),
    # inserts
    "a line that stands twice": ("Add `x` after `import` in `src/core.py`.", "old_text_missing"),
    "an ambiguous line": (f"### `tox.ini`\nAfter:\n{code('')}\nInsert:\n{code('x')}", "incomplete"),
    "a part of a line": ("Add `, encoding='utf-8'` after `open(path` in `src/core.py`.", "old_text_missing"),
    "no such line": ("Add `import sys` after `import json` in `src/core.py`.", "old_text_missing"),
    "a line beyond the end": (f"### `src/core.py`\nAdd after line 99:\n{code('x = 1')}", "place_unclear"),
    "line zero": (f"### `src/core.py`\nAdd before line 0:\n{code('x = 1')}", "place_unclear"),
    "another line than its text": (
        f"### `src/core.py`\nAdd after line 9 (`nothing`):\n{code('x')}",
        "old_text_missing",
    ),
    "behind an opening line": ("Add `print(1)` after `def load(path):` in `src/core.py`.", "place_unclear"),
    "python that breaks": (f"### `src/core.py`\nAdd after line 7:\n{code('x = 1')}", "syntax_broken"),
    "behind a function": (f"### `src/core.py`\nAfter the function `load`, add:\n{code('x = 1')}", "incomplete"),
    "at the end of a function": (
        f"At the end of the function `load` in `src/core.py`, add:\n{code('x')}",
        "incomplete",
    ),
    "at the end of a name": (f"### `src/core.py`\nAppend to `names`:\n{code('x')}", "incomplete"),
    "over a shebang": ("### `run.sh`\nAdd `set -e` at the top of the file.", "place_unclear"),
    "over a docstring": ("### `src/__init__.py`\nAdd `import os` at the top of the file.", "place_unclear"),
    "a vague place": ("Add `import sys` to the imports of `src/core.py`.", "incomplete"),
    "no place": (f"Add to `src/core.py`:\n{code('x = 1')}", "incomplete"),
    "no place in a sentence": ("Add `pytest-cov` to `requirements.txt`.", "incomplete"),
    "no file": (f"After:\n{code('import os')}\nInsert:\n{code('import sys')}", "incomplete"),
    "two files": (f"In `src/core.py`, add the following to the end of `src/util.py`:\n{code('x')}", "incomplete"),
    "labels of a pair": (f"### `src/core.py`\nBefore:\n{code('import os')}\nAfter:\n{code('import sys')}", "pair"),
    "nothing to insert": (f"### `src/core.py`\nAppend to the end of the file:\n{code('')}", "incomplete"),
    "two at one place": (
        "In `src/core.py`, after `import os` add `import sys`. In `src/core.py`, after `import os` add `import json`.",
        "edits_overlap",
    ),
    "an insertion and a half": (f"{PAIR}\n\nAdd `x` somewhere after `y`.", "incomplete"),
    "already inserted": ("Add `import re` after `import os` in `src/core.py`.", "already"),
    "already appended": ("Append `*.pyc` to `.gitignore`.", "already"),
    "already on top": ("### `src/core.py`\nAdd `import os` at the top of the file.", "already"),
    # settings
    "another old version": ("Bump version from 1.0.0 to 1.2.4 in pyproject.toml", "setting_differs"),
    "no such setting": ("Set `colour` to `2` in `config.json`.", "setting_missing"),
    "no such requirement": ("Upgrade flask to 3.0 in requirements.txt.", "setting_missing"),
    "a requirement without a version": ("Upgrade click to 8.1 in requirements.txt.", "setting_differs"),
    "one of several conditions": ("Upgrade requests to 2.31 in pyproject.toml.", "setting_differs"),
    "a condition as a version": ("Bump the version to >=2 in pyproject.toml.", "setting_differs"),
    "another type": ("Set `retries` to `true` in `config.json`.", "setting_differs"),
    "a number for a word": ("Set `line-length` to `1.5` in `pyproject.toml`.", "setting_differs"),
    "a name that is a tool's": ("Upgrade black to 24.1 in pyproject.toml.", "setting_missing"),
    "one of two files": ("Set `version` to `9.9` in `setup.py`, `requirements.txt`.", "setting_missing"),
    "no file at all": ("Bump the version from 1.2.3 to 1.2.4.", "incomplete"),
    "a file that is no settings file": ("Bump the version to 2.0 in `docs/guide.md`.", "incomplete"),
    "a version and more": ("Bump version to 1.2.4 in pyproject.toml and update the changelog.", "incomplete"),
    "the same version": ("Bump version to 1.2.3 in setup.cfg.", "already"),
    "not to be bumped": ("Don't bump the version to 1.2.4 in pyproject.toml.", "none"),
    "out of the tree": ("Bump the version to 2.0 in `../pyproject.toml`.", "unsafe_path"),
    "not there": ("Bump the version to 2.0 in `lib/pyproject.toml`.", "file_missing"),
    "two new versions": (
        "Bump version to 1.2.4 in pyproject.toml. Bump version to 1.3.0 in pyproject.toml.",
        "edits_overlap",
    ),
    "a shell in the version": ("Bump version to `$(touch /tmp/x)` in `pyproject.toml`.", "none"),
    "quotes in the version": ('Set `version` to `1"\\nevil = "2` in `pyproject.toml`.', "none"),
}


@pytest.mark.parametrize(("text", "word"), REFUSED.values(), ids=REFUSED.keys())
def test_doubt_changes_nothing(text: str, word: str) -> None:
    """What is no order, or leaves open what would be done, changes no byte, and has its word."""
    found = outcome(text)
    if word == "pair":
        assert found == {"src/core.py": CORE.replace("import os", "import sys")}
    else:
        assert found == word


def test_the_examples_of_the_guide_are_read() -> None:
    """Each sentence that the guide gives as an example is one that this reads as an order of one or more edits."""
    guide = (Path(__file__).parents[3] / "docs" / "issues.md").read_text()
    rows = guide[guide.index("| in a sentence |") : guide.index("| the file |")]
    examples = [found.strip() for found in re.findall(r"``(.+?)``", rows)]
    examples += [
        "Bump the version from 1.2.3 to 1.2.4 in pyproject.toml",
        "Upgrade jinja2 to >=3.1 in requirements.txt",
    ]
    assert all(example in guide for example in examples)
    files = ["src/a.py", "src/b.py", "src/x.py", "x.toml", "a.py", "docs/x.md", ".gitignore", "pyproject.toml"]
    for example in examples:
        block = "\n```\nx = 1\n```\n" if example.endswith(":") or example.startswith("Append to") else ""
        found, problems = parse_issue(f"# T\n\n{example}{block}").edits(files)
        assert found, example
        assert not problems, (example, problems)


def test_a_sentence_that_announces_stated_edits_is_none_of_its_own() -> None:
    """A vague sentence over edits of the same file keeps nothing from being made; one about another file does."""
    said = "Add `.` to the import of `src/util.py`.\n\n"
    assert outcome(f"{said}{PAIR}") == {"src/util.py": "from .core import load\n"}
    assert outcome(f"Add `.` before `load` everywhere.\n\n{PAIR}") == {"src/util.py": "from .core import load\n"}
    assert outcome(f"Add `flask` to `requirements.txt`.\n\n{PAIR}") == "incomplete"
    assert outcome(f"{PAIR}\n\n{said}") == "incomplete"


def test_a_doubtful_order_keeps_all_others_from_being_made() -> None:
    """Pairs beside an order that can't be carried out are not made either: no issue is half done."""
    for order in (
        "Rename `src/nope.py` to `x.py`.",
        "Upgrade flask to 3.0 in requirements.txt.",
        "Delete `docs/x.md`.",
    ):
        assert isinstance(outcome(f"{PAIR}\n\n## More\n\n{order}"), str)


def test_an_endless_paragraph_is_no_order() -> None:
    """What no person writes as a paragraph is read as none, and keeps nothing else from being read."""
    endless = "Rename `src/util.py` to `src/x.py`, and then " * 400
    assert outcome(endless) == "none"
    assert outcome(f"{endless}\n\nDelete `src/util.py`.") == GONE
    assert parse_issue(f"# {endless}").title.startswith("Rename src/util.py")
