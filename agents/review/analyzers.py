"""The analyzers that a review knows: when each has something to say, how it is called, and how its answer is read.

Pure. How they are found and run is `analysis`'s. Keeps: an answer that can't be read whole is a `ToolUnreadable`, never
an empty list; none is called in a way that reaches for the network or changes files.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Mapping, Sequence
from pathlib import PurePosixPath

import msgspec

from .finding import Confidence, Severity
from .kinds import is_fixture, is_test
from .tool_answers import (
    Raw,
    read_bandit,
    read_eslint,
    read_flake8,
    read_mypy,
    read_ruff,
    read_semgrep,
    read_shellcheck,
)

_ESLINT_CONFIG = re.compile(r"(?:^|/)(?:eslint\.config\.[cm]?[jt]s|\.eslintrc(?:\.(?:[cm]?js|json|ya?ml))?)$")
_SHEBANG = re.compile(rb"#!\s*(?:/usr)?/(?:local/)?bin/(?:env (?:-S )?)?(?:ba|da|k)?sh\b")
#: Names that Python 2 had, or that tools put into a module: undefined here, and yet no mistake.
_KNOWN_ELSEWHERE = re.compile(
    r"`(?:unicode|xrange|raw_input|basestring|long|unichr|reduce|file|cmp|reload|execfile|buffer|apply|intern|coerce"
    r"|WindowsError|_|__|N_|reveal_type|reveal_locals|get_ipython|display|exit|quit|__class__|profile|ExceptionGroup"
    r"|BaseExceptionGroup|PythonFinalizationError|EncodingWarning|aiter|anext)`"
)


class Side(msgspec.Struct, frozen=True, kw_only=True):
    """What an analyzer is to look at: the changed files of its kind, and the files that tell how it is set up."""

    files: tuple[str, ...]
    paths: frozenset[str]
    contents: Mapping[str, str]


class Analyzer(msgspec.Struct, frozen=True, kw_only=True):
    """One analyzer.

    `wanted` tells whether it has to look at a file; `command` gives its arguments (`{out}`, `{cache}` and `{python}`
    stand for places), or None where it isn't meant for this repository. `runs_code`: whether the repository's own code
    is executed by it, as its settings are a program or name plugins. `done`: exit codes of a run that came to its end.
    `kept_clean`: a project that has it say nothing keeps to it; `at_home`: the project's settings mostly need what is
    installed beside it, so that one from elsewhere, which refuses them, has nothing to say.
    """

    name: str
    wanted: Callable[[str, bytes], bool]
    command: Callable[[Side], list[str] | None]
    read: Callable[[bytes, str], list[Raw]]
    done: tuple[int, ...] = (0, 1)
    runs_code: Callable[[Side], bool] = lambda _: False
    kept_clean: bool = False
    at_home: bool = False


def _suffix(*suffixes: str) -> Callable[[str, bytes], bool]:
    return lambda path, _: PurePosixPath(path).suffix.lower() in suffixes


def _shipped_python(path: str, _: bytes) -> bool:
    # Every `assert` and password of a test would be a finding.
    return path.endswith(".py") and not (is_test(path) or is_fixture(path))


def tables(side: Side) -> Mapping[str, object]:
    """Return the `[tool.…]` tables of the repository's pyproject.toml."""
    try:
        found = tomllib.loads(side.contents.get("pyproject.toml", "")).get("tool", {})
    except tomllib.TOMLDecodeError:
        return {}
    return found if isinstance(found, dict) else {}


def _section(side: Side, *places: tuple[str, str]) -> bool:
    """Tell whether one of the INI files has the section."""
    return any(re.search(rf"^\[{re.escape(name)}", side.contents.get(file, ""), re.M) for file, name in places)


def _ruff(side: Side) -> list[str]:
    own = any(PurePosixPath(path).name in ("ruff.toml", ".ruff.toml") for path in side.paths)
    configured = own or "ruff" in tables(side)
    # Without a configuration of the project's, only what is wrong whatever the style; and none of a folder above.
    rules = [] if configured else ["--isolated", "--select", "E9,F63,F7,F82,F50,F811,F401,F841"]
    fixed = ["check", "--output-format", "json", "--no-cache", "--no-fix", "--force-exclude", "--quiet"]
    return ["ruff", *fixed, *rules, "--", *side.files]


def _flake8(side: Side) -> list[str] | None:
    if not _section(side, ("setup.cfg", "flake8"), ("tox.ini", "flake8"), (".flake8", "flake8")):
        return None
    return ["flake8", "--format", "%(path)s:%(row)d:%(col)d: %(code)s %(text)s", "--color", "never", *side.files]


def _mypy(side: Side) -> list[str] | None:
    ini = ("mypy.ini", "mypy"), (".mypy.ini", "mypy"), ("setup.cfg", "mypy]")
    table = tables(side).get("mypy")
    if table is None and not _section(side, *ini):
        return None
    texts = "\n".join(side.contents.get(name, "") for name in ("mypy.ini", ".mypy.ini", "setup.cfg"))
    named = isinstance(table, dict) and {"files", "packages", "modules"} & table.keys()
    whole = bool(named) or (table is None and re.search(r"^(?:files|packages|modules)\s*=", texts, re.M) is not None)
    fixed = ["--no-error-summary", "--no-pretty", "--no-color-output", "--show-error-codes", "--show-column-numbers"]
    targets = [] if whole else ["--", *side.files]
    return ["mypy", *fixed, "--hide-error-context", "--cache-dir", "{cache}", "{python}", *targets]


def _mypy_plugins(side: Side) -> bool:
    texts = (side.contents.get(name, "") for name in ("mypy.ini", ".mypy.ini", "setup.cfg", "pyproject.toml"))
    return any(re.search(r"^\s*plugins\s*=", text, re.M) for text in texts)


def _bandit(side: Side) -> list[str]:
    config = ["-c", "pyproject.toml"] if "bandit" in tables(side) else []
    ini = ["--ini", ".bandit"] if ".bandit" in side.paths else []
    return ["bandit", "-f", "json", "-q", *config, *ini, *side.files]


def _eslint(side: Side) -> list[str] | None:
    named = '"eslintConfig"' in side.contents.get("package.json", "")
    if not named and not any(_ESLINT_CONFIG.search(path) for path in side.paths):
        return None
    return ["eslint", "--format", "json", "--no-error-on-unmatched-pattern", "--", *side.files]


def _shellcheck(side: Side) -> list[str]:
    own = any(PurePosixPath(path).name in (".shellcheckrc", "shellcheckrc") for path in side.paths)
    return ["shellcheck", "--format", "json1", *([] if own else ["--norc"]), "--", *side.files]


def _shell_script(path: str, content: bytes) -> bool:
    return PurePosixPath(path).suffix in (".sh", ".bash", ".ksh") or _SHEBANG.match(content) is not None


def _semgrep(side: Side) -> list[str] | None:
    rules: list[str] = [path for path in (".semgrep.yml", ".semgrep.yaml") if path in side.paths]
    rules += [".semgrep"] if any(path.startswith(".semgrep/") for path in side.paths) else []
    if not rules:
        return None  # its own rule sets come over the network
    fixed = ["scan", "--json", "--quiet", "--metrics", "off", "--disable-version-check", "--no-git-ignore"]
    return ["semgrep", *fixed, *(word for rule in rules for word in ("--config", rule)), "--", *side.files]


ANALYZERS: tuple[Analyzer, ...] = (
    Analyzer(name="ruff", wanted=_suffix(".py", ".pyi"), command=_ruff, read=read_ruff),
    Analyzer(name="flake8", wanted=_suffix(".py"), command=_flake8, read=read_flake8, runs_code=lambda _: True),
    Analyzer(
        name="mypy",
        wanted=_suffix(".py", ".pyi"),
        command=_mypy,
        read=read_mypy,
        runs_code=_mypy_plugins,
        kept_clean=True,
        at_home=True,
    ),
    Analyzer(name="bandit", wanted=_shipped_python, command=_bandit, read=read_bandit),
    Analyzer(
        name="eslint",
        wanted=_suffix(".js", ".mjs", ".cjs", ".jsx", ".ts", ".mts", ".cts", ".tsx", ".vue", ".svelte"),
        command=_eslint,
        at_home=True,
        read=read_eslint,
        runs_code=lambda _: True,
    ),
    Analyzer(name="shellcheck", wanted=_shell_script, command=_shellcheck, read=read_shellcheck),
    Analyzer(name="semgrep", wanted=lambda *_: True, command=_semgrep, read=read_semgrep),
)
#: Files whose contents say how analyzers are set up.
CONFIG_FILES = ("pyproject.toml", "setup.cfg", "tox.ini", ".flake8", "mypy.ini", ".mypy.ini", "package.json")
_HARMS = {
    "ruff": "the linter's rule tells of a mistake, or of what the project doesn't want",
    "flake8": "the linter's rule tells of a mistake, or of what the project doesn't want",
    "mypy": "the types contradict each other: what is called or returned isn't what is expected",
    "bandit": "a pattern that has led to security holes",
    "eslint": "the project's own lint rules refuse it",
    "shellcheck": "the script does something else than it seems to, or fails with unusual names",
    "semgrep": "the project's own rules refuse it",
}


def harm_of(tool: str, rule: str) -> str:
    """Return what goes wrong if a tool's finding stays."""
    if rule in ("F821", "F822"):
        return "the program stops with a NameError as soon as it comes here"
    if rule in ("invalid-syntax", "syntax", "E999") or rule.startswith("E9"):
        return "nothing that loads the file works any more"
    return _HARMS[tool]


def judged(tool: str, raw: Raw, *, kept_clean: bool) -> tuple[Severity, Confidence]:
    """Say how bad and how sure a tool's finding is.

    `kept_clean`: the tool found nothing at all before the change, in the project's own environment and as the project
    has set it up, so that the project keeps to it.
    """
    rule = raw.rule
    if tool in ("ruff", "flake8"):
        if rule in ("invalid-syntax", "E999", "E902") or rule.startswith("F7"):
            return "error", "high" if tool == "ruff" else "medium"
        if rule in ("F821", "F822"):
            return "error", "medium" if _KNOWN_ELSEWHERE.search(raw.message.replace("'", "`")) else "high"
        if rule.startswith(("F63", "F50", "PLE")):
            return "error", "medium"
        return "warning", "medium"
    if tool == "mypy" and raw.severity == "error":
        # Of what is missing around the code, not wrong in it, another environment's mypy knows nothing.
        around = rule in ("import-not-found", "import-untyped", "import", "unused-ignore", "misc")
        return ("warning" if around else "error"), "high" if kept_clean and not around else "medium"
    if tool == "eslint" and rule == "fatal":
        return "error", "medium"
    if tool == "semgrep" and raw.severity == "error":
        return "error", "high"
    return raw.severity, "low" if raw.severity == "note" else "medium"


def configuration(paths: Sequence[str]) -> list[str]:
    """List those of the paths whose contents say how analyzers are set up."""
    return [path for path in paths if path in CONFIG_FILES]
