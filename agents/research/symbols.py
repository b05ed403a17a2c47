"""Symbols: where a text defines a name. Python by its own parser, other languages by how a definition's line begins.

Pure. Owns what counts as a definition. Keeps: a file that cannot be parsed still has the symbols that its lines show.
"""

from __future__ import annotations

import ast
import re
import warnings
from pathlib import PurePosixPath

import msgspec

_MODIFIERS = (
    r"(?:(?:export|default|pub(?:\([^)]*\))?|public|private|protected|internal|static|final|abstract|async|unsafe|extern"
    r"|virtual|override|inline|const|constexpr|sealed|partial|open|data|case|declare|local|suspend|readonly|mutating"
    r"|create|or|replace|unique|temporary|if|not|exists)\s+)*"
)
_KEYWORDS = (
    r"function\*?|func|fn|fun|def|defp|defmodule|defmacro|sub|class|interface|struct|enum|union|trait|impl|module|mod"
    r"|namespace|type|typedef|record|object|protocol|extension|macro_rules!|table|view|procedure|trigger|index|message"
    r"|service|rpc|contract|mixin|package"
)
_KEYWORD = re.compile(
    rf"^\s*{_MODIFIERS}(?:{_KEYWORDS})\s+(?:if\s+not\s+exists\s+|\([^)]*\)\s*)?(?P<name>[A-Za-z_$][\w$]*(?:(?:::|\.)\w+)*)",
    re.I,
)
_SCRIPT = re.compile(
    r"^\s*(?:export\s+)?(?:default\s+)?(?:const|let|var)\s+(?P<name>[A-Za-z_$][\w$]*)\s*(?::[^=]+)?="
    r"|^\s*(?:module\.)?exports\.(?P<name2>\w+)\s*="
    r"|^\s{2,}(?:static\s+|async\s+|get\s+|set\s+|\*\s*)*(?P<name3>[A-Za-z_$#][\w$]*)\s*\([^;{}]*\)\s*(?::[^={]+)?\{\s*$"
    r"|^(?P<name4>[A-Z]\w*(?:\.prototype)?\.\w+)\s*=\s*(?:async\s+)?function"
)
_C = re.compile(
    r"^(?!\s|return|else|if|for|while|switch|#)[A-Za-z_][\w\s*&:<>,~]*?[\s*&](?P<name>[A-Za-z_~][\w:~]*)\s*\([^;]*\)?[^;]*$"
    r"|^\s*#\s*define\s+(?P<name2>[A-Za-z_]\w*)"
)
_METHOD = re.compile(
    r"^\s+(?:(?:public|private|protected|internal|static|final|abstract|synchronized|override|virtual|async)\s+)+"
    r"[\w<>\[\],.?\s]*?\b(?P<name>[A-Za-z_]\w*)\s*\("
)
_GO = re.compile(r"^(?:var|const)\s+(?P<name>[A-Za-z_]\w*)|^\t(?P<name2>[A-Z]\w*)\s.*=")
_RUST = re.compile(r"^\s*(?:pub(?:\([^)]*\))?\s+)?(?:const|static)\s+(?:mut\s+)?(?P<name>[A-Z_]\w*)\s*:")
_SHELL = re.compile(r"^\s*(?P<name>[A-Za-z_][\w-]*)\s*\(\)\s*\{?|^(?P<name2>[A-Z_][A-Z0-9_]*)=")
_MAKE = re.compile(r"^(?P<name>[A-Za-z0-9_.\-/]+)\s*:(?!=)")
_SECTION = re.compile(r"^\s*\[+\s*(?P<name>[\w.\-\" :/]+?)\s*\]+\s*$|^(?P<name2>[A-Za-z_][\w-]*)\s*[:=](?:\s|$)")
_NOT_NAMES = frozenset(
    [
        "if",
        "for",
        "while",
        "switch",
        "return",
        "else",
        "catch",
        "function",
        "constructor",
        "new",
        "typeof",
        "in",
        "of",
        "do",
        "try",
    ]
)

_SCRIPTS = frozenset([".js", ".jsx", ".mjs", ".cjs", ".ts", ".tsx", ".vue", ".svelte"])
_C_LIKE = frozenset([".c", ".h", ".cc", ".cpp", ".cxx", ".hpp", ".hh", ".m", ".mm", ".cu", ".pyx"])
_MEMBERS = frozenset([".java", ".cs", ".kt", ".scala", ".groovy", ".dart", ".php", ".swift"])
_SHELLS = frozenset([".sh", ".bash", ".zsh", ".ksh"])
_TABLES = frozenset([".toml", ".ini", ".cfg", ".conf", ".yaml", ".yml", ".properties", ".editorconfig"])
_PROSE = frozenset(
    [
        ".md",
        ".rst",
        ".txt",
        ".adoc",
        ".markdown",
        ".mdx",
        ".csv",
        ".json",
        ".lock",
        ".html",
        ".xml",
        ".svg",
        ".css",
        ".scss",
        ".less",
        ".po",
        ".tex",
    ]
)


class Symbol(msgspec.Struct, frozen=True):
    """A definition: its name (`Class.method` for a member), and its lines from 1, both ends included."""

    name: str
    start: int
    end: int

    @property
    def own(self) -> str:
        """The name without what it stands in."""
        return re.split(r"\.|::", self.name)[-1]


def suffix_of(path: str) -> str:
    """Return a file name's suffix in small letters, or the name itself where it has none (`makefile`)."""
    name = PurePosixPath(path).name.lower()
    return PurePosixPath(name).suffix or name


def symbols_of(text: str, suffix: str) -> list[Symbol]:
    """Return what a text of this kind defines, in the order of lines."""
    if suffix in (".py", ".pyi", ".pyw"):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of invalid escapes in somebody else's code
                return _of_python(ast.parse(text))
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            pass  # of another version, or a template: its lines still tell
    if suffix in _PROSE:
        return []
    return _by_lines(text.split("\n"), _patterns(suffix))


def _patterns(suffix: str) -> list[re.Pattern[str]]:
    if suffix in _TABLES:
        return [_SECTION]
    if suffix in ("makefile", "gnumakefile", ".mk"):
        return [_MAKE]
    more = {".go": _GO, ".rs": _RUST}.get(suffix)
    groups = ((_SCRIPTS, _SCRIPT), (_C_LIKE, _C), (_MEMBERS, _METHOD), (_SHELLS, _SHELL))
    found = [pattern for suffixes, pattern in groups if suffix in suffixes]
    return [_KEYWORD, *found, *([more] if more else [])]


def _by_lines(lines: list[str], patterns: list[re.Pattern[str]]) -> list[Symbol]:
    starts: list[tuple[str, int]] = []
    for number, line in enumerate(lines, 1):
        if len(line) > 400:
            continue
        for pattern in patterns:
            match = pattern.match(line)
            name = next((group for group in match.groups() if group), "") if match else ""
            if name and name.lower() not in _NOT_NAMES:
                starts.append((name.strip(' "'), number))
                break
    after = [start for _, start in starts[1:]] + [len(lines) + 1]
    return [Symbol(name, start, max(start, end - 1)) for (name, start), end in zip(starts, after, strict=False)]


def _of_python(tree: ast.Module) -> list[Symbol]:
    found: list[Symbol] = []

    def visit(body: list[ast.stmt], within: str) -> None:
        for node in body:
            if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                start = min([node.lineno, *(one.lineno for one in node.decorator_list)])
                found.append(Symbol(within + node.name, start, node.end_lineno or node.lineno))
                if isinstance(node, ast.ClassDef):
                    visit(node.body, f"{within}{node.name}.")
            elif isinstance(node, ast.Assign | ast.AnnAssign):
                targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                names = [target.id for target in targets if isinstance(target, ast.Name)]
                found.extend(Symbol(within + name, node.lineno, node.end_lineno or node.lineno) for name in names)
            elif isinstance(node, ast.If | ast.Try):
                visit(node.body, within)
                visit(node.orelse, within)
                for handler in getattr(node, "handlers", []):
                    visit(handler.body, within)

    visit(tree.body, "")
    return sorted(found, key=lambda one: (one.start, -one.end))
