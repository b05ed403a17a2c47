"""Whether a file still parses, where there is a parser for it.

Owns which parser belongs to which file. Pure but for importing PyYAML where that is installed. Keeps: a file that no
parser here knows, or that is too large or too deep for it, is never called broken.
"""

from __future__ import annotations

import ast
import configparser
import json
import re
import tomllib
import warnings
from collections.abc import Callable
from pathlib import PurePosixPath
from xml.parsers import expat

#: Larger files are not parsed.
SIZE_MAX = 4 << 20
#: JSON in which these tools, at least, take comments and trailing commas.
_JSON_WITH_COMMENTS = re.compile(r"(?:tsconfig|jsconfig|devcontainer|\.eslintrc|\.babelrc|\.swcrc)[\w.-]*(?:\.json)?")
#: Templates hold what is replaced before anything parses them.
_TEMPLATE = re.compile(r"\{\{|\{%|<%")


def check_syntax(path: str, content: bytes) -> str | None:
    """Return what is wrong with a file's syntax and where, or None; `path` says by its name what the file is."""
    parser = _parser(path)
    if parser is None or len(content) > SIZE_MAX or _TEMPLATE.search(path):
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about escapes in somebody's string literals
            return parser(content)
    except (RecursionError, MemoryError):
        return None  # too deep for this parser says nothing about the file


def broken_by(path: str, before: bytes | None, after: bytes) -> str | None:
    """Return why a file may not become `after`: it would no longer parse, or is new (`before` is None) and does not."""
    problem = check_syntax(path, after)
    if problem is None or (before is not None and check_syntax(path, before) is not None):
        return None
    kind = "would not be" if before is None else "would no longer be"
    return f"{path} {kind} {language(path)}: {problem}"


def language(path: str) -> str:
    """Return the name of the language that a file is parsed as, empty for none."""
    name = PurePosixPath(path)
    return _LANGUAGES.get(name.suffix.lower(), ("", None))[0]


def _parser(path: str) -> Callable[[bytes], str | None] | None:
    name = PurePosixPath(path)
    if _JSON_WITH_COMMENTS.fullmatch(name.name) or (name.suffix == ".json" and ".vscode" in name.parts):
        return None
    return _LANGUAGES.get(name.suffix.lower(), ("", None))[1]


def _python(content: bytes) -> str | None:
    try:
        ast.parse(content)
    except SyntaxError as error:
        return f"{error.msg} in line {error.lineno}"
    except ValueError as error:  # a NUL, an unknown encoding
        return str(error)
    return None


def _json(content: bytes) -> str | None:
    try:
        json.loads(content)
    except json.JSONDecodeError as error:
        return f"{error.msg} in line {error.lineno}, column {error.colno}"
    except ValueError as error:  # not Unicode
        return str(error)
    return None


def _toml(content: bytes) -> str | None:
    try:
        tomllib.loads(content.decode())
    except ValueError as error:  # covers wrong TOML and wrong UTF-8
        return str(error)
    return None


def _ini(content: bytes) -> str | None:
    try:
        configparser.RawConfigParser(allow_no_value=True).read_string(content.decode())
    except (configparser.Error, ValueError) as error:
        return " ".join(str(error).split())
    return None


def _xml(content: bytes) -> str | None:
    parser = expat.ParserCreate()

    def refuse(*_: object) -> None:
        raise RecursionError  # entities may grow without end: not for this parser to tell

    parser.EntityDeclHandler = refuse
    try:
        parser.Parse(content, True)
    except expat.ExpatError as error:
        return f"{expat.ErrorString(error.code)} in line {error.lineno}"
    return None


def _yaml(content: bytes) -> str | None:
    try:
        import yaml  # type: ignore[import-untyped,unused-ignore]
    except ImportError:
        return None
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        for _ in yaml.parse(content, Loader=loader):
            pass
    except (yaml.YAMLError, ValueError) as error:
        return " ".join(str(error).split())[:300]
    return None


_LANGUAGES: dict[str, tuple[str, Callable[[bytes], str | None] | None]] = {
    **dict.fromkeys((".py", ".pyi", ".pyw"), ("Python", _python)),
    **dict.fromkeys((".json", ".ipynb", ".webmanifest"), ("JSON", _json)),
    ".toml": ("TOML", _toml),
    **dict.fromkeys((".xml", ".svg", ".xsd", ".xsl", ".xslt", ".csproj", ".plist"), ("XML", _xml)),
    **dict.fromkeys((".yml", ".yaml"), ("YAML", _yaml)),
    **dict.fromkeys((".ini", ".cfg"), ("an INI file", _ini)),
}
