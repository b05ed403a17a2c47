"""Which command runs a project's tests, decided from the repository's own files.

Pure: paths and contents come in, commands with their reasons come out, best first; whether a runner is installed is
found out elsewhere (`test_environment`). Keeps: no command is invented; where nothing says that there are tests,
there is none.
"""

from __future__ import annotations

import json
import re
import shlex
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any, ClassVar, Literal

import msgspec

Kind = Literal["pytest", "unittest", "tox", "nox", "npm", "go", "cargo", "maven", "make", "command"]

#: Files whose contents the decision looks at, beside test files.
CONFIG_FILES = (
    "pyproject.toml",
    "pytest.ini",
    ".pytest.ini",
    "tox.ini",
    "setup.cfg",
    "setup.py",
    "noxfile.py",
    "package.json",
    "go.mod",
    "Cargo.toml",
    "pom.xml",
    "Makefile",
    "makefile",
    "GNUmakefile",
)
_TEST_FILE = re.compile(r"(?:test_[^/]*|[^/]*_test|tests?)\.py")
_ASSIGNMENT = re.compile(r"[A-Za-z_][A-Za-z0-9_]*=")
_EXPANDED = re.compile(r"[$`*?\[~{#\\]")
_OPERATOR = re.compile(r"[|&;<>()$`\n]")


class TestCommand(msgspec.Struct, frozen=True, kw_only=True):
    """How to run a project's tests: `argv`, or `shell` where only a shell understands it, and why.

    `env` holds assignments that stood before the command. An argv that starts with `{python}` runs in the project's
    own interpreter. `inner` is the tool behind an npm script: jest, vitest, mocha or node. `shown` is the command as
    it was before its program was looked up.
    """

    __test__: ClassVar[bool] = False  # not a test class, whatever pytest thinks of its name
    kind: Kind
    reason: str
    argv: tuple[str, ...] = ()
    shell: str = ""
    env: dict[str, str] = {}
    inner: str = ""
    shown: str = ""

    def text(self) -> str:
        """Return the command as a person would type it."""
        if self.shown:
            return self.shown
        words = ["python" if word == "{python}" else word for word in self.argv]
        return " ".join([*(f"{k}={shlex.quote(v)}" for k, v in self.env.items()), self.shell or shlex.join(words)])


def is_test_file(path: str) -> bool:
    """Tell whether a path looks like a Python test module, by pytest's and unittest's usual names."""
    return _TEST_FILE.fullmatch(PurePosixPath(path).name) is not None


def is_wanted(path: str) -> bool:
    """Tell whether the decision looks into a file."""
    return path in CONFIG_FILES or is_test_file(path) or path.endswith(".rs")


def find_test_commands(
    paths: Sequence[str], contents: Mapping[str, str], changed: Sequence[str] = ()
) -> list[TestCommand]:
    """List the commands that the repository's files ask for, best first; empty where there are no tests.

    `paths` are all files of the tree, `contents` the texts of those for which `is_wanted`. A command in the language
    of the changed files comes before others.
    """
    found = [
        *_python(paths, contents),
        *_npm(contents),
        *([_go()] if "go.mod" in paths and any(path.endswith("_test.go") for path in paths) else []),
        *_cargo(paths, contents),
        *_maven(paths),
        *_make(contents),
    ]
    suffixes = {PurePosixPath(path).suffix for path in changed}
    languages = {"npm": {".js", ".mjs", ".cjs", ".ts", ".tsx", ".jsx", ".vue"}, "go": {".go"}, "cargo": {".rs"}}
    languages["maven"] = {".java", ".kt", ".scala", ".groovy"}
    python = {".py", ".pyi", ".pyx"}
    # Stable: only a change that has nothing to do with the first command's language moves another one ahead.
    return sorted(found, key=lambda command: not (suffixes & languages.get(command.kind, python)) if suffixes else 0)


def given_command(text: str) -> TestCommand:
    """Read a command that a person gave; runners are recognised, so that their results can be read in detail.

    Raises ValueError for an empty text or an unclosed quote.
    """
    words = shlex.split(text)
    env: dict[str, str] = {}
    while words and _ASSIGNMENT.match(words[0]):
        name, _, value = words.pop(0).partition("=")
        env[name] = value
    if not words:
        raise ValueError("the test command is empty")
    operators = shlex.shlex(text, posix=True, punctuation_chars=True)
    operators.whitespace_split = True
    several = any(set(word) <= set("();<>|&") for word in operators) or re.search(r"\n|`|\$\(", text)
    kind = "command" if several else _kind(words)
    if several or _EXPANDED.search(text):
        return TestCommand(kind=kind, shell=text.strip(), reason="given")
    return TestCommand(kind=kind, argv=tuple(words), env=env, reason="given")


def _kind(words: Sequence[str]) -> Kind:
    program = PurePosixPath(words[0]).name
    rest = list(words[1:])
    if re.fullmatch(r"python[0-9.]*|py", program) and "-m" in rest[:-1]:
        program = rest[rest.index("-m") + 1]
    if program in ("pytest", "py.test"):
        return "pytest"
    if program in ("unittest", "tox", "nox", "make"):
        return program  # type: ignore[return-value]
    if program == "npm" and (rest[:1] in (["test"], ["t"]) or rest[:2] == ["run", "test"]):
        return "npm"
    if program in ("mvn", "mvnw", "mvnd") and {"test", "verify", "package", "install"} & set(rest):
        return "maven"
    if program in ("go", "cargo") and rest[:1] in (["test"], ["t"]):
        return program  # type: ignore[return-value]
    return "command"


def toml(text: str) -> dict[str, Any]:
    """Parse TOML; a file that isn't TOML says nothing, as each tool will complain of it by itself."""
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return {}


def _python(paths: Sequence[str], contents: Mapping[str, str]) -> list[TestCommand]:
    project = toml(contents.get("pyproject.toml", ""))
    tools = project.get("tool", {})
    tests = [path for path in paths if is_test_file(path)]
    texts = {path: contents.get(path, "") for path in tests}
    found: list[TestCommand] = []
    pytest = _pytest_reason(paths, contents, tools, texts)
    if pytest:
        argv = ("{python}", "-m", "pytest", *_named_otherwise(contents, tools, tests))
        found.append(TestCommand(kind="pytest", argv=argv, reason=pytest))
    cases = [path for path, text in texts.items() if "unittest" in text and "TestCase" in text]
    if cases:
        # TestCase classes run under both; unittest needs nothing installed, so it stands in where pytest isn't there.
        argv = ("{python}", "-m", "unittest", *_discovery(paths, cases))
        found.append(TestCommand(kind="unittest", argv=argv, reason=f"{cases[0]} has unittest cases"))
    # Source distributions often leave out the tests that their tox.ini speaks of.
    tested = any("test" in part.lower() for path in paths for part in PurePosixPath(path).parts)
    if tested and ("tox.ini" in paths or "tox" in tools or "[tox:tox]" in contents.get("setup.cfg", "")):
        where = "tox.ini" if "tox.ini" in paths else "pyproject.toml" if "tox" in tools else "setup.cfg"
        argv = ("tox", "--skip-missing-interpreters", "true")
        found.append(TestCommand(kind="tox", argv=argv, reason=f"{where} configures tox"))
    if "noxfile.py" in paths:
        session = re.search(r"^def (tests?\w*|\w+_tests?)\(", contents.get("noxfile.py", ""), re.MULTILINE)
        argv = ("nox", "-s", session[1]) if session else ("nox",)
        found.append(TestCommand(kind="nox", argv=argv, reason="noxfile.py has sessions"))
    return found


def _pytest_reason(
    paths: Sequence[str], contents: Mapping[str, str], tools: Mapping[str, Any], tests: Mapping[str, str]
) -> str:
    for name in ("pytest.ini", ".pytest.ini"):
        if name in paths:
            return f"{name} configures pytest"
    if "pytest" in tools:
        return "pyproject.toml configures pytest"
    if re.search(r"^\[pytest\]", contents.get("tox.ini", ""), re.MULTILINE):
        return "tox.ini configures pytest"
    if "[tool:pytest]" in contents.get("setup.cfg", ""):
        return "setup.cfg configures pytest"
    for path in paths:
        if PurePosixPath(path).name == "conftest.py":
            return f"{path} is pytest's"
    for path, text in tests.items():
        if re.search(r"^\s*(?:import|from) pytest\b", text, re.MULTILINE):
            return f"{path} imports pytest"
    for path, text in tests.items():
        methods = "TestCase" not in text and re.search(r"^\s+(?:async )?def test_\w*\(", text, re.MULTILINE)
        if methods or re.search(r"^(?:async )?def test_\w*\(", text, re.MULTILINE):
            return f"{path} has test functions"
    return ""


def _named_otherwise(contents: Mapping[str, str], tools: Mapping[str, Any], tests: Sequence[str]) -> tuple[str, ...]:
    """Return the test files to name to pytest, as it looks for none that are called `tests.py`; nothing otherwise."""
    settings = "".join(contents.get(name, "") for name in ("pytest.ini", ".pytest.ini", "tox.ini", "setup.cfg"))
    if "python_files" in settings or "testpaths" in settings or "pytest" in tools:
        return ()
    usual = any(PurePosixPath(path).name not in ("test.py", "tests.py") for path in tests)
    return () if usual else tuple(tests)


def _discovery(paths: Sequence[str], cases: Sequence[str]) -> tuple[str, ...]:
    """Say where unittest must start: folders without `__init__.py` aren't looked into from the top."""
    folder = str(PurePosixPath(cases[0]).parent)
    if folder == "." or f"{folder}/__init__.py" in paths:
        return ()
    return ("discover", "-s", folder)


def npm_script(contents: Mapping[str, str]) -> str:
    """Return package.json's test script, empty where there is none but npm's own placeholder."""
    try:
        script = json.loads(contents.get("package.json", "{}"))["scripts"]["test"]
    except (ValueError, KeyError, TypeError):
        return ""
    return script if isinstance(script, str) and "no test specified" not in script else ""


def npm_tool(script: str) -> str:
    """Name the tool that a test script is one plain call of, so that arguments may follow it; else an empty text."""
    if not script or _OPERATOR.search(script):
        return ""
    words = [word for word in script.split() if not _ASSIGNMENT.match(word) and word not in ("npx", "cross-env")]
    program = PurePosixPath(words[0]).name if words else ""
    if program == "node" and any(word.startswith("--test") for word in words):
        return "node"
    return program if program in ("jest", "vitest", "mocha") else ""


def _npm(contents: Mapping[str, str]) -> list[TestCommand]:
    script = npm_script(contents)
    if not script:
        return []
    return [TestCommand(kind="npm", argv=("npm", "test"), inner=npm_tool(script), reason=f"package.json: {script}")]


def _go() -> TestCommand:
    return TestCommand(kind="go", argv=("go", "test", "./..."), reason="go.mod, and files named _test.go")


def _cargo(paths: Sequence[str], contents: Mapping[str, str]) -> list[TestCommand]:
    rust = [path for path in paths if path.endswith(".rs")]
    tested = any(
        re.search(r"#\[(?:\w+::)*test\b|^\s*//[/!] *```", contents.get(path, ""), re.MULTILINE) for path in rust
    )
    if "Cargo.toml" not in paths or not tested:
        return []
    several = ("--workspace",) if "workspace" in toml(contents.get("Cargo.toml", "")) else ()
    return [
        TestCommand(
            kind="cargo",
            argv=("cargo", "test", "--no-fail-fast", *several),
            reason="Cargo.toml, and tests in .rs files",
        )
    ]


def _maven(paths: Sequence[str]) -> list[TestCommand]:
    if "pom.xml" not in paths or not any("src/test/" in path for path in paths):
        return []
    # All modules of the project are tested, also behind one whose tests fail.
    options = ("-B", "-fae", "test")
    found = [TestCommand(kind="maven", argv=("mvn", *options), reason="pom.xml and tests in src/test")]
    if "mvnw" in paths:
        found.append(TestCommand(kind="maven", argv=("sh", "./mvnw", *options), reason="pom.xml and its wrapper mvnw"))
    return found


def _make(contents: Mapping[str, str]) -> list[TestCommand]:
    for name in ("GNUmakefile", "makefile", "Makefile"):
        if re.search(r"^test\s*:(?!=)", contents.get(name, ""), re.MULTILINE):
            return [TestCommand(kind="make", argv=("make", "test"), reason=f"{name} has a target `test`")]
    return []
