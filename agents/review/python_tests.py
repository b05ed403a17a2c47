"""The tests in a Python file, as far as a review compares them: what each asserts, calls and skips.

Pure.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

import msgspec

_ASSERTS = re.compile(
    r"^_?(?:assert|check|verify|expect|ensure|require|should|compare|fail|raises|warns|deprecated_call)"
)
_WEAK_CALLS = {"assertTrue", "assertFalse", "assertIsNotNone", "assertIsNone"}
_FunctionDef = (ast.FunctionDef, ast.AsyncFunctionDef)


class PythonTest(msgspec.Struct, frozen=True, kw_only=True):
    """One test function. `asserts` are its assertions as source text, by line; `always` those that can't fail.

    `skip` names what keeps it from running whatever happens, `expected_to_fail` what lets it fail.
    """

    name: str
    line: int
    end_line: int
    asserts: tuple[tuple[int, str], ...]
    always: tuple[int, ...]
    calls: frozenset[str]
    body: str
    skip: tuple[int, str] | None = None
    expected_to_fail: tuple[int, str] | None = None


def python_tests(tree: ast.Module) -> dict[str, PythonTest]:
    """Return the test functions of a module by their names, `Class.test_name` for methods."""
    found = {}
    for scope, node, skip in _functions(tree.body, "", None):
        test = _read(scope + node.name, node)
        if skip is not None and test.skip is None:
            test = msgspec.structs.replace(test, skip=skip)
        found[test.name] = test
    return found


def _functions(
    body: list[ast.stmt], scope: str, skip: tuple[int, str] | None
) -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef, tuple[int, str] | None]]:
    for node in body:
        if isinstance(node, _FunctionDef) and node.name.startswith("test"):
            yield scope, node, skip
        elif isinstance(node, ast.ClassDef):
            own = next((mark for mark in map(_skips, node.decorator_list) if mark), None) or skip
            yield from _functions(node.body, f"{scope}{node.name}.", own)
        elif isinstance(node, ast.If | ast.Try):
            yield from _functions(node.body, scope, skip)


def _read(name: str, node: ast.FunctionDef | ast.AsyncFunctionDef) -> PythonTest:
    asserts: list[tuple[int, str]] = []
    always: list[int] = []
    calls: set[str] = set()
    for inner in ast.walk(node):
        if isinstance(inner, ast.Assert):
            asserts.append((inner.lineno, _source(inner.test)))
            if _constant_true(inner.test):
                always.append(inner.lineno)
        elif isinstance(inner, ast.Call):
            called = _name(inner.func)
            last = called.rpartition(".")[2]
            calls.add(last)
            if _ASSERTS.match(last):
                asserts.append((inner.lineno, _source(inner)))
                weak = last in _WEAK_CALLS and inner.args and _constant(inner.args[0], last)
                equal = last in ("assertEqual", "assertIs") and len(inner.args) > 1 and _same(inner.args)
                if weak or equal:
                    always.append(inner.lineno)
    skip = next((mark for mark in map(_skips, node.decorator_list) if mark), None) or _skips_inside(node)
    fails = next((mark for mark in map(_fails, node.decorator_list) if mark), None)
    return PythonTest(
        name=name,
        line=node.lineno,
        end_line=node.end_lineno or node.lineno,
        asserts=tuple(sorted(asserts)),
        always=tuple(always),
        calls=frozenset(calls),
        body="\n".join(_source(one) for one in node.body),
        skip=skip,
        expected_to_fail=fails,
    )


def _source(node: ast.AST) -> str:
    """Return the text of a piece of code, the same for the same code however it is laid out."""
    try:
        return ast.unparse(node)
    except RecursionError:  # a sum of thousands, say
        return f"(code of line {getattr(node, 'lineno', 0)})"


def _name(node: ast.expr) -> str:
    if isinstance(node, ast.Attribute):
        return f"{_name(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""


def _constant_true(test: ast.expr) -> bool:
    if isinstance(test, ast.Constant):
        return bool(test.value)
    if isinstance(test, ast.BoolOp) and isinstance(test.op, ast.Or):
        return any(_constant_true(one) for one in test.values)
    if isinstance(test, ast.Compare) and len(test.ops) == 1 and isinstance(test.ops[0], ast.Eq | ast.Is):
        return _same([test.left, test.comparators[0]])
    return isinstance(test, ast.Tuple) and bool(test.elts)


def _constant(first: ast.expr, called: str) -> bool:
    if not isinstance(first, ast.Constant):
        return False
    return {"assertTrue": bool(first.value), "assertFalse": not first.value}.get(
        called, (first.value is None) == (called == "assertIsNone")
    )


def _same(pair: list[ast.expr]) -> bool:
    """Tell whether two expressions are one and the same and call nothing: comparing them proves nothing."""
    pure = not any(isinstance(node, ast.Call | ast.Await | ast.Yield) for one in pair[:2] for node in ast.walk(one))
    # `x == x` is a test of `__eq__` where x is a name; of constants it is none.
    constant = all(isinstance(one, ast.Constant) for one in pair[:2])
    return pure and constant and ast.dump(pair[0]) == ast.dump(pair[1])


def _skips(mark: ast.expr) -> tuple[int, str] | None:
    """Return where and by what a decorator keeps a test from running, without a condition."""
    target = mark.func if isinstance(mark, ast.Call) else mark
    name = _name(target)
    if name.rpartition(".")[2] == "skip" and name in ("pytest.mark.skip", "mark.skip", "unittest.skip", "skip"):
        return mark.lineno, name
    if name.endswith(("skipif", "skipIf")):
        condition = mark.args[0] if isinstance(mark, ast.Call) and mark.args else None
        if isinstance(condition, ast.Constant) and condition.value:
            return mark.lineno, name
    return None


def _fails(mark: ast.expr) -> tuple[int, str] | None:
    target = mark.func if isinstance(mark, ast.Call) else mark
    name = _name(target)
    if name in ("unittest.expectedFailure", "expectedFailure"):
        return mark.lineno, name
    if name in ("pytest.mark.xfail", "mark.xfail"):
        conditional = isinstance(mark, ast.Call) and (
            mark.args or any(word.arg in ("condition", "raises") for word in mark.keywords)
        )
        return None if conditional else (mark.lineno, name)
    return None


def _skips_inside(node: ast.FunctionDef | ast.AsyncFunctionDef) -> tuple[int, str] | None:
    """Find a skip or a return before anything else happens in the test."""
    body = node.body[1:] if node.body and _is_text(node.body[0]) else node.body
    first = body[0] if body else None
    if isinstance(first, ast.Expr) and isinstance(first.value, ast.Call):
        name = _name(first.value.func)
        if name in ("pytest.skip", "self.skipTest", "pytest.xfail"):
            return first.lineno, name
    if isinstance(first, ast.Return) and len(body) > 1:
        return first.lineno, "return"
    if isinstance(first, ast.Raise) and first.exc is not None and "SkipTest" in ast.dump(first.exc):
        return first.lineno, "SkipTest"
    return None


def _is_text(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
