"""Own checks of what a change does to the tests: deleted, skipped, or asserting less than before.

Pure. Keeps: a test that only moved or got another name is not taken for a deleted one; and a change that touches
nothing but tests, or takes code away too, may have its reasons, so that it isn't refused for this alone.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from difflib import SequenceMatcher

import msgspec

from .change import Change, ChangedFile
from .finding import Confidence, Finding
from .kinds import is_code, is_fixture, is_test
from .other_tests import OtherTests, other_tests
from .python_tests import PythonTest, python_tests
from .rules import Rules

#: How alike two test bodies are that are one test under two names.
_ALIKE = 0.6
#: How many bodies are compared for one review; where there are more, nothing is sure any more.
_COMPARED_MAX = 5_000


class _Tally(msgspec.Struct, kw_only=True):
    """What all test files of a change had and have, to tell moved tests from deleted ones."""

    old: dict[str, list[tuple[ChangedFile, PythonTest]]] = {}
    new: dict[str, list[tuple[ChangedFile, PythonTest]]] = {}
    code_changed: bool = False
    code_removed: bool = False
    compared: int = 0

    @property
    def sure(self) -> Confidence:
        """How sure it is that less testing has no good reason: code changed that these tests are for, and none went."""
        fewer = sum(map(len, self.new.values())) < sum(map(len, self.old.values()))
        whole = self.compared < _COMPARED_MAX
        return "high" if self.code_changed and not self.code_removed and fewer and whole else "medium"


def check_tests(change: Change, rules: Rules) -> Iterator[Finding]:
    """Compare the tests before and after the change."""
    tally = _tally(change)
    files = [file for file in change.files if is_test(file.path) or is_test(file.old_path)]
    for file in files:
        if is_fixture(file.path):
            continue
        if file.old_tree is not None or file.new_tree is not None:
            yield from _deleted(file, tally, change, rules)
            yield from _python(file, tally, rules)
        else:
            yield from _other(file, change, tally, rules)


def _tally(change: Change) -> _Tally:
    tally = _Tally(old={}, new={})
    for file in change.files:
        if is_test(file.path) or is_test(file.old_path):
            for tree, kept in ((file.old_tree, tally.old), (file.new_tree, tally.new)):
                for test in python_tests(tree).values() if tree is not None else ():
                    kept.setdefault(_short(test.name), []).append((file, test))
        elif is_code(file.path):
            tally.code_changed = True
            tally.code_removed = tally.code_removed or _loses_definitions(file)
    return tally


def _short(name: str) -> str:
    return name.rpartition(".")[2]


def _loses_definitions(file: ChangedFile) -> bool:
    """Tell whether a code file loses a function or class, whose tests go with it."""
    if file.status == "deleted":
        return True
    if file.old_tree is None or file.new_tree is None:
        return len(file.removed) > len(file.added) + 5 and file.suffix not in (".py", ".pyi")

    def names(tree: ast.Module) -> set[str]:
        kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
        return {node.name for node in ast.walk(tree) if isinstance(node, kinds)}

    return bool(names(file.old_tree) - names(file.new_tree))


def _deleted(file: ChangedFile, tally: _Tally, change: Change, rules: Rules) -> Iterator[Finding]:
    before = python_tests(file.old_tree) if file.old_tree is not None else {}
    after = python_tests(file.new_tree) if file.new_tree is not None else {}
    if file.status != "deleted" and file.new_tree is None:
        return  # it can't be parsed any more, which is told elsewhere
    gone = [test for name, test in before.items() if name not in after]
    lost = [test for test in gone if not _lives_on(test, tally)]
    for test in lost:
        confidence: Confidence = tally.sure
        if rules.names(_short(test.name), file.path, file.name):
            confidence = "low"
        line = test.line if file.status == "deleted" else file.place_of_old(test.line)
        yield Finding(
            file=file.path, line=line, rule="deleted-test", severity="error", confidence=confidence,
            side="old" if file.status == "deleted" else "new", message=f"the test {test.name} was deleted",
            harm="what it made sure of may break without anybody noticing",
        )  # fmt: skip


def _lives_on(test: PythonTest, tally: _Tally) -> bool:
    """Tell whether a test stands elsewhere now, or here under another name, perhaps as a part of another."""
    if len(tally.new.get(_short(test.name), ())) >= len(tally.old.get(_short(test.name), ())):
        return True
    old_names = {one.name for pairs in tally.old.values() for _, one in pairs}
    fresh = [one for pairs in tally.new.values() for _, one in pairs if one.name not in old_names]
    kept = {text for pairs in tally.new.values() for _, one in pairs for _, text in one.asserts}
    if test.asserts and all(text in kept for _, text in test.asserts):
        return True
    for one in fresh:
        tally.compared += 1
        if tally.compared < _COMPARED_MAX and _alike(test.body, one.body):
            return True
    return False


def _alike(one: str, other: str) -> bool:
    matcher = SequenceMatcher(None, one[:4000], other[:4000], autojunk=False)
    return matcher.real_quick_ratio() > _ALIKE and matcher.quick_ratio() > _ALIKE and matcher.ratio() > _ALIKE


def _python(file: ChangedFile, tally: _Tally, rules: Rules) -> Iterator[Finding]:
    before = python_tests(file.old_tree) if file.old_tree is not None else {}
    after = python_tests(file.new_tree) if file.new_tree is not None else {}
    for name, test in after.items():
        old = before.get(name)
        yield from _skipped(file, test, old, tally, rules)
        yield from _always(file, test, old)
        if old is not None and old.body != test.body and test.skip is None:
            yield from _weakened(file, test, old, tally, rules)


def _skipped(
    file: ChangedFile, test: PythonTest, old: PythonTest | None, tally: _Tally, rules: Rules
) -> Iterator[Finding]:
    for mark, had, what in (
        (test.skip, old is not None and old.skip is not None, "is skipped"),
        (test.expected_to_fail, old is not None and old.expected_to_fail is not None, "may fail"),
    ):
        if mark is None or had or not (file.brings(mark[0]) or file.brings(test.line)):
            continue
        ran = old is not None
        confidence: Confidence = "high" if ran and tally.code_changed else "medium"
        if rules.names(_short(test.name), mark[1]):
            confidence = "low"
        yield Finding(
            file=file.path, line=mark[0], rule="skipped-test", severity="error" if ran else "warning",
            confidence=confidence, message=f"the test {test.name} {what} from now on, by `{mark[1]}`",
            harm="it passes whatever the code does, and looks like a test that does its work",
        )  # fmt: skip


def _always(file: ChangedFile, test: PythonTest, old: PythonTest | None) -> Iterator[Finding]:
    for line in test.always:
        if file.brings(line):
            replaced = old is not None and len(old.always) < len(test.always) and len(old.asserts) >= len(test.asserts)
            yield Finding(
                file=file.path, line=line, rule="weakened-assertion", severity="error" if replaced else "warning",
                confidence="high" if replaced else "medium", message=f"an assertion of {test.name} can't fail",
                harm="the test passes whatever the code does",
            )  # fmt: skip


def _weakened(file: ChangedFile, test: PythonTest, old: PythonTest, tally: _Tally, rules: Rules) -> Iterator[Finding]:
    lost = [text for _, text in old.asserts if text not in {one for _, one in test.asserts}]
    fewer = len(old.asserts) - len(test.asserts)
    looser = _looser(old, test)
    # Assertions move into helpers: a test that calls something new may assert there.
    elsewhere = bool(test.calls - old.calls)
    if fewer > 0 and lost:
        none_left = not test.asserts and not elsewhere
        line = next((file.place_of_old(line) for line, text in old.asserts if text in lost), test.line)
        confidence: Confidence = "high" if none_left and tally.code_changed else "low" if elsewhere else "medium"
        left = "none is left" if not test.asserts else f"{len(test.asserts)} are left of {len(old.asserts)}"
        yield Finding(
            file=file.path, line=line, rule="weakened-assertion", severity="error" if none_left else "warning",
            confidence="low" if rules.names(_short(test.name)) else confidence,
            message=f"assertions of {test.name} were taken away: {left}",
            harm="the test passes where it failed before",
        )  # fmt: skip
    elif looser is not None:
        yield Finding(
            file=file.path, line=looser[0], rule="weakened-assertion", severity="warning", confidence="medium",
            message=f"an assertion of {test.name} demands less than before: `{looser[1][:100]}`",
            harm="the test passes where it failed before",
        )  # fmt: skip
    elif lost and not tally.code_changed and not rules.names(_short(test.name)):
        line = next((line for line, text in test.asserts if file.brings(line)), test.line)
        yield Finding(
            file=file.path, line=line, rule="changed-expectation", severity="warning", confidence="medium",
            message=f"what {test.name} asserts was altered, and no code was: `{lost[0][:100]}` is gone",
            harm="the test may pass by expecting what the code does wrong",
        )  # fmt: skip


def _looser(old: PythonTest, test: PythonTest) -> tuple[int, str] | None:
    """Find an assertion that demands less than the one it stands for: an equality that became a truth, say."""
    had = {text for _, text in old.asserts}
    lost = [text for _, text in old.asserts if text not in {one for _, one in test.asserts}]
    fresh = [(line, text) for line, text in test.asserts if text not in had and line not in test.always]
    strict = [text for text in lost if " == " in text or text.startswith(("self.assertEqual(", "pytest.approx"))]
    for line, text in fresh:
        loose = (
            " is not None" in text
            or " != " in text
            or text.startswith(("self.assertTrue(", "self.assertIsNotNone(", "isinstance("))
            or (not any(op in text for op in (" == ", " is ", " in ", "<", ">", "(")))
        )
        if loose and strict and " == " not in text:
            return line, text
    return None


def _other(file: ChangedFile, change: Change, tally: _Tally, rules: Rules) -> Iterator[Finding]:
    before = other_tests(file.suffix, file.old_file.text) if file.old_file is not None else None
    after = other_tests(file.suffix, file.new_file.text) if file.new_file is not None else None
    if before is None and after is None:
        return
    before, after = before or OtherTests({}, {}, {}), after or OtherTests({}, {}, {})
    elsewhere = "\n".join(one.new_file.text for one in change.files if one.new_file is not None and one is not file)
    for name, line in before.names.items():
        if name in after.names or name in elsewhere or rules.names(name):
            continue
        if len(after.names) >= len(before.names):
            continue  # as many under other names
        yield Finding(
            file=file.path, line=line if file.status == "deleted" else file.place_of_old(line), rule="deleted-test",
            severity="error", confidence=tally_confidence(tally), message=f"the test “{name}” was deleted",
            side="old" if file.status == "deleted" else "new",
            harm="what it made sure of may break without anybody noticing",
        )  # fmt: skip
    for line, text in after.skips.items():
        if file.brings(line) and text not in before.skips.values():
            yield Finding(
                file=file.path, line=line, rule="skipped-test", severity="error" if before.names else "warning",
                confidence="medium", message=f"tests are skipped from now on: `{text[:100]}`",
                harm="they pass whatever the code does, and look like tests that do their work",
            )  # fmt: skip
    same = set(before.names) <= set(after.names)
    if before.asserts and same and len(after.asserts) < len(before.asserts) and file.status != "deleted":
        gone = next((n for n, text in before.asserts.items() if text not in after.asserts.values()), None)
        if gone is not None:
            yield Finding(
                file=file.path, line=file.place_of_old(gone), rule="weakened-assertion", severity="warning",
                confidence="medium", message=f"{len(before.asserts) - len(after.asserts)} assertions were taken away",
                harm="tests pass where they failed before",
            )  # fmt: skip


def tally_confidence(tally: _Tally) -> Confidence:
    """Return how sure a finding is that rests on a file's text alone."""
    return "medium" if tally.code_changed else "low"
