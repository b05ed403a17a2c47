"""The tests in files of other languages, found by their usual forms: names, assertions, and what skips them.

Pure. Approximate by nature: what follows from it is never sure enough to refuse a change alone.
"""

from __future__ import annotations

import re

import msgspec


class _Form(msgspec.Struct, frozen=True):
    """How tests look in one language: where one is named, what asserts, what skips."""

    suffixes: tuple[str, ...]
    named: str
    asserting: str
    skipping: str


_ATTRIBUTES = r"\s*(?:#\[[^\]]*\]\s*)*"
_ANNOTATIONS = r"(?:\([^)]*\))?\s*(?:@\w+(?:\([^)]*\))?\s*)*(?:public |private |fun |void |final )*"
_FORMS = (
    _Form(
        (".js", ".mjs", ".cjs", ".jsx", ".ts", ".tsx", ".vue"),
        r"^\s*(?:it|test|specify)(?:\.(?:skip|todo|only|each\([^)]*\)))?\(\s*(['\"`])(?P<name>.+?)\1",
        r"\bexpect\(|\bassert\b|\.should\b|\bt\.(?:is|equal|deepEqual|ok|truthy)\b",
        r"^\s*(?:(?:it|test|describe|specify)\.skip\(|x(?:it|describe|test)\()",
    ),
    _Form(
        (".go",),
        r"^func (?P<name>Test\w+)\(",
        r"\bt\.(?:Error|Errorf|Fatal|Fatalf|Fail|FailNow)\(|\b(?:assert|require)\.\w+\(",
        r"^\s+t\.Skip(?:f|Now)?\(",
    ),
    _Form(
        (".rs",),
        rf"#\[(?:\w+::)?test\]{_ATTRIBUTES}(?:async )?fn (?P<name>\w+)",
        r"\bassert\w*!\(|\bpanic!\(",
        r"^\s*#\[ignore",
    ),
    _Form(
        (".java", ".kt", ".scala"),
        rf"@(?:Parameterized)?Test\b{_ANNOTATIONS}(?P<name>\w+|`[^`]+`)\s*\(",
        r"\bassert\w*\(|\bverify\(|\bfail\(|\bexpect\(",
        r"^\s*@(?:Ignore|Disabled)\b",
    ),
    _Form(
        (".rb",),
        r"^\s*(?:it|specify) (['\"])(?P<name>.+?)\1|^\s*def (?P<other>test_\w+)",
        r"\bexpect\b|\bassert\w*\b|\.should\b",
        r"^\s*(?:xit|xdescribe|skip|pending)\b",
    ),
    _Form(
        (".php",),
        r"function (?P<name>test\w+)\(",
        r"->assert\w+\(|::assert\w+\(|->expect",
        r"markTestSkipped\(",
    ),
    _Form(
        (".cs",),
        r"\[(?:Fact|Test|Theory|TestMethod)[^\]]*\]\s*(?:\[[^\]]*\]\s*)*public \w+(?:<\w+>)? (?P<name>\w+)\(",
        r"\bAssert\.|\.Should\(",
        r"Skip\s*=|\[Ignore",
    ),
)


class OtherTests(msgspec.Struct, frozen=True):
    """What a file's text shows of its tests: names with their lines, lines that assert, lines that skip."""

    names: dict[str, int]
    asserts: dict[int, str]
    skips: dict[int, str]


def other_tests(suffix: str, text: str) -> OtherTests | None:
    """Read a file by its ending; None where its language isn't known."""
    for form in _FORMS:
        if suffix not in form.suffixes:
            continue
        names = {}
        for match in re.finditer(form.named, text, re.MULTILINE):
            groups = match.groupdict()
            name = groups.get("name") or groups.get("other") or ""
            names[name] = text.count("\n", 0, match.end()) + 1
        lines = text.split("\n")
        asserts = {n: line.strip() for n, line in enumerate(lines, 1) if re.search(form.asserting, line)}
        skips = {n: line.strip() for n, line in enumerate(lines, 1) if re.search(form.skipping, line)}
        return OtherTests(names, asserts, skips)
    return None
