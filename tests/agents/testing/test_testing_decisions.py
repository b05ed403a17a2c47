"""Which command tests a repository, where its modules start, and what may reach the tests: decided from files alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from twelvefold.agents.node_modules import lend_node_modules
from twelvefold.agents.source_roots import module_names, source_roots
from twelvefold.agents.test_environment import clean_variables
from twelvefold.agents.test_runner import find_test_commands, given_command

CASES = "import unittest\nclass T(unittest.TestCase):\n    def test_it(self): pass\n"
FUNCTION = "def test_it(): pass\n"


def found(files: dict[str, str], changed: list[str] | None = None) -> list[str]:
    return [command.text() for command in find_test_commands(list(files), files, changed or [])]


@pytest.mark.parametrize(
    ("files", "first"),
    [
        ({"pytest.ini": "[pytest]\n"}, "python -m pytest"),
        ({"pyproject.toml": "[tool.pytest.ini_options]\n"}, "python -m pytest"),
        ({"tox.ini": "[tox]\n[pytest]\n"}, "python -m pytest"),
        ({"setup.cfg": "[tool:pytest]\n"}, "python -m pytest"),
        ({"tests/conftest.py": ""}, "python -m pytest"),
        ({"tests/test_a.py": FUNCTION}, "python -m pytest"),
        ({"tests/test_a.py": "class TestA:\n    def test_it(self): pass\n"}, "python -m pytest"),
        ({"tests/test_a.py": CASES}, "python -m unittest discover -s tests"),
        ({"tests/test_a.py": CASES, "tests/__init__.py": ""}, "python -m unittest"),
        ({"test_a.py": CASES}, "python -m unittest"),
        ({"tests.py": f"import pytest\n{FUNCTION}"}, "python -m pytest tests.py"),
        ({"tests.py": FUNCTION, "test_b.py": FUNCTION}, "python -m pytest"),
        ({"tox.ini": "[tox]\n", "tests/test_a.py": ""}, "tox --skip-missing-interpreters true"),
        ({"noxfile.py": "def lint(session): ...\ndef tests(session): ...\n"}, "nox -s tests"),
        ({"package.json": '{"scripts": {"test": "jest"}}'}, "npm test"),
        ({"go.mod": "module x\n", "a_test.go": ""}, "go test ./..."),
        ({"Cargo.toml": "[package]\n", "src/lib.rs": "#[test]\nfn a() {}\n"}, "cargo test --no-fail-fast"),
        ({"Cargo.toml": "[workspace]\n", "a/src/lib.rs": "#[tokio::test]\n"}, "cargo test --no-fail-fast --workspace"),
        ({"Makefile": "all:\n\ntest: all\n\t./check\n"}, "make test"),
    ],
)
def test_found(files: dict[str, str], first: str) -> None:
    """Each runner is found from the file that names it."""
    assert found(files)[0] == first


@pytest.mark.parametrize(
    "files",
    [
        {"README.md": "pytest npm test"},
        {"tox.ini": "[tox]\n[testenv]\ncommands = python -m unittest\n", "a.py": ""},
        {"package.json": '{"scripts": {"test": "echo \\"Error: no test specified\\" && exit 1"}}'},
        {"package.json": "not JSON"},
        {"go.mod": "module x\n", "main.go": ""},
        {"Cargo.toml": "[package]\n", "src/main.rs": "fn main() {}\n"},
        {"Makefile": "test:=1\ncheck:\n\ttrue\n"},
        {"pyproject.toml": "[tool.pytest.ini_options\n"},
    ],
)
def test_nothing_is_invented(files: dict[str, str]) -> None:
    """Where nothing says that there are tests, no command is found."""
    assert found(files) == []


def test_changed_language_goes_first() -> None:
    """In a repository of two languages the tests of the changed files' language come first."""
    files = {"pytest.ini": "", "package.json": '{"scripts": {"test": "vitest run"}}'}
    assert found(files, ["web/app.ts"]) == ["npm test", "python -m pytest"]
    assert found(files, ["app.py", "web/app.ts"]) == ["python -m pytest", "npm test"]
    assert found(files, ["README.md"]) == ["python -m pytest", "npm test"]


@pytest.mark.parametrize(
    ("text", "kind", "shell"),
    [
        ("pytest -q", "pytest", False),
        ("python3.12 -m pytest tests", "pytest", False),
        ("/x/venv/bin/python -m unittest -v", "unittest", False),
        ("pytest -k 'a and (b or c)'", "pytest", False),
        ("pytest tests/test_*.py", "pytest", True),
        ("npm test", "npm", False),
        ("npm run test", "npm", False),
        ("cargo test", "cargo", False),
        ("cargo build", "command", False),
        ("make test", "make", False),
        ("./run-tests.sh --all", "command", False),
        ("cd sub && pytest", "command", True),
        ("pytest | tee log", "command", True),
        ("echo $(date)", "command", True),
    ],
)
def test_given(text: str, kind: str, shell: bool) -> None:
    """A given command is recognised where it's one plain call; a shell runs only what needs one."""
    command = given_command(text)
    assert (command.kind, bool(command.shell)) == (kind, shell)


def test_given_assignments() -> None:
    """Assignments before a command become variables, and are shown with it."""
    command = given_command("A=1 PYTHONPATH='x y' pytest")
    assert command.env == {"A": "1", "PYTHONPATH": "x y"}
    assert command.text() == "A=1 PYTHONPATH='x y' pytest"
    with pytest.raises(ValueError, match="empty"):
        given_command("A=1")


@pytest.mark.parametrize(
    ("script", "inner"),
    [
        ("jest --ci", "jest"),
        ("NODE_ENV=test npx vitest run", "vitest"),
        ("node --test test/", "node"),
        ("mocha", "mocha"),
        ("eslint . && jest", ""),
        ("node run.js", ""),
    ],
)
def test_npm_tool(script: str, inner: str) -> None:
    """The tool behind an npm script is known only where arguments may follow the script."""
    (command,) = find_test_commands(["package.json"], {"package.json": f'{{"scripts": {{"test": "{script}"}}}}'})
    assert command.inner == inner


@pytest.mark.parametrize(
    ("paths", "contents", "roots"),
    [
        (["calc.py", "test_calc.py"], {}, [""]),
        (["calc/__init__.py", "tests/test_calc.py"], {}, [""]),
        (["src/calc/__init__.py", "tests/test_calc.py"], {}, ["src"]),
        (["src/calc.py", "tool.py"], {}, ["src", ""]),
        (["lib/calc/__init__.py"], {"pyproject.toml": "[tool.setuptools.package-dir]\n'' = 'lib'\n"}, ["lib"]),
        (["lib/calc/__init__.py"], {"pyproject.toml": "[tool.setuptools.packages.find]\nwhere = ['lib']\n"}, ["lib"]),
        (["lib/calc/__init__.py"], {"setup.cfg": "[options]\npackage_dir =\n    = lib\n"}, ["lib"]),
        (["lib/calc/__init__.py"], {"setup.py": "setup(package_dir={'': 'lib'})"}, ["lib"]),
        (["lib/c.py"], {"pyproject.toml": "[tool.pytest.ini_options]\npythonpath = ['lib', '..']\n"}, ["lib"]),
        (["lib/c.py"], {"pytest.ini": "[pytest]\npythonpath = lib\n"}, ["lib"]),
        (["py/c/__init__.py"], {"pyproject.toml": "[tool.poetry]\npackages = [{include='c', from='py'}]\n"}, ["py"]),
        (["py/c/a.py"], {"pyproject.toml": "[tool.hatch.build.targets.wheel]\npackages = ['py/c']\n"}, ["py"]),
        (["tests/test_a.py", "docs/conf.py", "setup.py"], {}, []),
        (["a.py"], {"pyproject.toml": "[tool]\npytest = 3\nsetuptools = 'x'\n", "setup.cfg": "no section"}, [""]),
    ],
)
def test_source_roots(paths: list[str], contents: dict[str, str], roots: list[str]) -> None:
    """Source roots come from configuration and layout, and stay inside the tree."""
    assert source_roots(paths, contents) == roots


def test_roots_of_a_monorepo() -> None:
    """A changed module in a package that no configuration names brings the folder above its package."""
    paths = ["packages/a/src/a/__init__.py", "packages/a/src/a/sub/__init__.py", "packages/a/src/a/sub/m.py"]
    roots = source_roots(paths, {}, ["packages/a/src/a/sub/m.py"])
    assert roots == ["packages/a/src"]
    assert module_names("packages/a/src/a/sub/m.py", roots) == ["a.sub.m"]


@pytest.mark.parametrize(
    ("path", "names"),
    [
        ("src/calc/__init__.py", ["calc"]),
        ("src/calc/a.py", ["calc.a"]),
        ("top.py", ["top"]),
        ("tests/test_a.py", []),
        ("conftest.py", []),
        ("src/calc/data.json", []),
        ("docs/not-a-name.py", []),
    ],
)
def test_module_names(path: str, names: list[str]) -> None:
    """A changed file has one name from its root; tests and what isn't a module have none."""
    assert module_names(path, ["src", ""]) == names


def test_variables() -> None:
    """What leads to another environment or configuration is dropped, what tests may need is kept."""
    caller = {"PATH": "p", "HOME": "h", "LANG": "C", "DATABASE_URL": "d", "CARGO_HOME": "c", "GIT_DIR": "x"}
    dropped = ["PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "PYTEST_ADDOPTS", "NODE_OPTIONS", "NODE_PATH", "MAKEFLAGS"]
    kept = clean_variables(caller | dict.fromkeys(dropped, "x"))
    assert sorted(kept) == ["CARGO_HOME", "DATABASE_URL", "HOME", "LANG", "PATH"]


def test_node_modules(tmp_path: Path) -> None:
    """Packages are lent one by one, caches stay behind, links into the checkout are turned to the workspace."""
    repo, workspace = tmp_path / "repo", tmp_path / "workspace"
    for name in ["dep", "@scope/dep", ".cache", ".vite", ".bin"]:
        (repo / "node_modules" / name).mkdir(parents=True)
    for top in (repo, workspace):
        (top / "packages/own").mkdir(parents=True)
    (repo / "node_modules/@scope/own").symlink_to("../../packages/own")
    (repo / "node_modules/own").symlink_to(repo / "packages/own")
    assert lend_node_modules(repo, workspace) == ["node_modules"]
    lent = workspace / "node_modules"
    assert not lent.is_symlink()
    assert sorted(entry.name for entry in lent.iterdir()) == [".bin", "@scope", "dep", "own"]
    resolved: dict[str, Any] = {name: (lent / name).resolve() for name in ("dep", "own", "@scope/dep", "@scope/own")}
    assert resolved["dep"] == repo / "node_modules/dep"
    assert resolved["@scope/dep"] == repo / "node_modules/@scope/dep"
    assert resolved["own"] == resolved["@scope/own"] == workspace / "packages/own"
