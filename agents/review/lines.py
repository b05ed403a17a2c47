"""Own checks of the lines that a change brings: conflict markers, debug leftovers, hidden characters, silenced checks.

Pure. Keeps: what stands in tests, fixtures and documentation may be there on purpose, and is never held against a
change alone.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from .change import Change, ChangedFile
from .finding import Confidence, Finding
from .kinds import is_fixture, is_test, is_text
from .rules import Rules

_OURS, _BETWEEN, _THEIRS = re.compile(r"<{7}(?: |$)"), re.compile(r"={7}$"), re.compile(r">{7}(?: |$)")
#: Characters that make code read differently from what it does (Unicode TR36, "Trojan Source").
_HIDDEN = re.compile("[\u202a-\u202e\u2066-\u2069]")
_SCRIPTS = (".js", ".mjs", ".cjs", ".jsx", ".ts", ".tsx", ".vue", ".svelte")
_DEBUGGERS = {"pdb", "ipdb", "pudb", "wdb", "rpdb", "remote_pdb", "web_pdb", "bpdb"}
_LEFT_BEHIND: tuple[tuple[tuple[str, ...], str, str, Confidence], ...] = (
    ((*_SCRIPTS,), r"^\s*debugger\s*;?\s*(?://.*)?$", "a `debugger` statement", "high"),
    ((*_SCRIPTS,), r"^\s*console\.(?:log|debug|trace|dir)\(", "console output", "low"),
    ((*_SCRIPTS,), r"\b(?:describe|it|test|context)\.only\(|^\s*(?:fdescribe|fit)\(", "a focused test", "medium"),
    ((".rb",), r"^\s*(?:binding\.(?:pry|irb)|byebug|debugger)\s*$", "a debugger call", "high"),
    ((".php",), r"^\s*(?:var_dump|print_r|dd|dump)\(", "debug output", "medium"),
    ((".rs",), r"^\s*(?:let .*= *)?dbg!\(", "a `dbg!` call", "medium"),
    ((".go",), r"^\s*(?:spew\.Dump|pp\.Println)\(", "debug output", "medium"),
    ((".ex", ".exs"), r"\bIEx\.pry\b", "a debugger call", "high"),
    ((".java", ".kt"), r"^\s*System\.(?:out|err)\.print|\.printStackTrace\(\)", "console output", "low"),
)
_MERGE_NOT = re.compile(r"\b(?:DO[ _-]?NOT[ _-]?(?:MERGE|COMMIT|SUBMIT)|NO[-_]?COMMIT|DONT_?MERGE)\b")
_SILENCED = re.compile(
    r"#\s*(?:noqa|type:\s*ignore|pylint:\s*disable|nosec)\b|(?://|/\*)\s*(?:eslint-disable|@ts-ignore|@ts-nocheck|tslint:"
    r"disable)|#\[allow\(|//\s*nolint\b|@SuppressWarnings\("
)


def check_lines(change: Change, rules: Rules) -> Iterator[Finding]:
    """Look at every line that the change brings."""
    for file in change.files:
        if file.new_file is None:
            continue
        yield from _conflicts(file)
        yield from _hidden(file)
        if not is_text(file.path):
            yield from _leftovers(file)
            yield from _python_leftovers(file)
            yield from _remarks(file)


def _conflicts(file: ChangedFile) -> Iterator[Finding]:
    added = file.added_lines
    ours = [number for number, line in added if _OURS.match(line)]
    theirs = [number for number, line in added if _THEIRS.match(line)]
    if not ours and not theirs:
        return
    between = any(_BETWEEN.match(line) for _, line in added)
    confidence: Confidence = "high" if ours and theirs and between else "medium"
    if is_fixture(file.path) or is_test(file.path) or is_text(file.path):
        confidence = "medium"
    if file.new_tree is not None:
        confidence = "low"  # it stands in a string
    for number in [*ours, *theirs]:
        yield Finding(
            file=file.path, line=number, rule="conflict-marker", severity="error", confidence=confidence,
            message="a merge conflict's marker was left in the file",
            harm="the file holds both sides of a conflict that nobody has resolved, and mostly no longer runs",
        )  # fmt: skip


def _hidden(file: ChangedFile) -> Iterator[Finding]:
    known = set(_HIDDEN.findall("\n".join(file.old_lines)))
    for number, line in file.added_lines:
        found = _HIDDEN.search(line)
        if found is None:
            continue
        mild = known or is_text(file.path) or is_test(file.path) or is_fixture(file.path) or file.suffix == ".json"
        yield Finding(
            file=file.path, line=number, rule="hidden-character", severity="error",
            confidence="medium" if mild else "high",
            message=f"the invisible character U+{ord(found[0]):04X} changes the order in which the line is shown",
            harm="people see other code than the one that runs",
        )  # fmt: skip


def _leftovers(file: ChangedFile) -> Iterator[Finding]:
    for suffixes, pattern, what, confidence in _LEFT_BEHIND:
        if file.suffix not in suffixes:
            continue
        found = re.compile(pattern)
        usual = any(found.search(line) for line in file.old_lines)
        for number, line in file.added_lines:
            if not found.search(line):
                continue
            sure: Confidence = confidence if not (usual or is_fixture(file.path)) else "low"
            if confidence == "low" and (usual or is_test(file.path) or _prints_by_trade(file)):
                continue
            yield Finding(
                file=file.path, line=number, rule="debug-leftover",
                severity="error" if confidence == "high" else "warning" if confidence == "medium" else "note",
                confidence=sure, message=f"{what} was left in",
                harm="it stops the program, or tells users what only its author wanted to know",
            )  # fmt: skip


def _prints_by_trade(file: ChangedFile) -> bool:
    """Tell whether a file is of a kind whose job is to print: a script, a command line, a build step."""
    words = set(re.split(r"[/._-]", file.path.lower()))
    usual = {
        "cli",
        "main",
        "script",
        "scripts",
        "bin",
        "tools",
        "console",
        "setup",
        "build",
        "log",
        "logger",
        "logging",
    }
    usual |= {"command", "commands", "report", "reporter", "print", "printer", "debug", "bench", "benchmark", "config"}
    return bool(words & usual) or (file.new_lines[:1] or [""])[0].startswith("#!")


def _python_leftovers(file: ChangedFile) -> Iterator[Finding]:
    tree, old = file.new_tree, file.old_tree
    if tree is None:
        return
    stopped_before = old is not None and any(True for _ in _stops(old))
    debugs = stopped_before or is_fixture(file.path) or bool(re.search(r"debug|pdb|trace", file.path.lower()))
    for line, what in _stops(tree):
        if line in file.added:
            yield Finding(
                file=file.path, line=line, rule="debug-leftover", severity="error",
                confidence="low" if debugs else "high", message=f"{what} was left in",
                harm="the program stops there and waits for somebody at a terminal; a service hangs",
            )  # fmt: skip
    printed_before = old is not None and any(True for _ in _prints(old))
    if printed_before or is_test(file.path) or _prints_by_trade(file) or file.status == "added":
        return
    for line in _prints(tree):
        if line in file.added:
            yield Finding(
                file=file.path, line=line, rule="debug-leftover", severity="note", confidence="medium",
                message="a `print` was added to a module that printed nothing",
                harm="what was meant for its author goes to every user's output",
            )  # fmt: skip


def _stops(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Find calls that stop in a debugger, as statements of their own."""
    for node in ast.walk(tree):
        if not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)):
            continue
        called = node.value.func
        if isinstance(called, ast.Name) and called.id == "breakpoint":
            yield node.lineno, "`breakpoint()`"
        elif isinstance(called, ast.Attribute) and called.attr in ("set_trace", "post_mortem"):
            owner = called.value
            if isinstance(owner, ast.Name) and owner.id in _DEBUGGERS:
                yield node.lineno, f"`{owner.id}.{called.attr}()`"


def _prints(tree: ast.AST) -> Iterator[int]:
    """Find plain `print` calls to standard output, outside of `if __name__ == "__main__"`."""
    guarded = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "__name__" in ast.dump(node.test)
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"):
            continue
        if id(node) not in guarded and not any(word.arg == "file" for word in node.keywords):
            yield node.lineno


def _remarks(file: ChangedFile) -> Iterator[Finding]:
    silenced: list[tuple[int, str]] = []
    for number, line in file.added_lines:
        if len(line) > 2000 or is_test(file.path):
            continue
        if found := _MERGE_NOT.search(line):
            yield Finding(
                file=file.path, line=number, rule="not-to-be-merged", severity="warning", confidence="medium",
                message=f"its author wrote `{found[0]}` here",
                harm="something that was meant to stay with its author ships",
            )  # fmt: skip
        if found := _SILENCED.search(line):
            silenced.append((number, found[0].strip()))
    if silenced:
        number, how = silenced[0]
        more = f", and on {len(silenced) - 1} more lines of the file" if len(silenced) > 1 else ""
        yield Finding(
            file=file.path, line=number, rule="silenced-check", severity="note", confidence="medium",
            message=f"a check is silenced here (`{how}`){more}",
            harm="what the check would have said of this line stays unsaid",
        )  # fmt: skip
