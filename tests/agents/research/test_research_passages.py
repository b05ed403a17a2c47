"""How files are cut, what they define, and what a question asks for."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as some

from twelvefold.agents.research.passages import LINES_MAX, passages_of
from twelvefold.agents.research.symbols import symbols_of
from twelvefold.agents.research.words import read_question, stem, words_of

LINE = some.sampled_from(
    ["", "# Title", "Title", "=====", "-----", "def f():", "    return 1", "class A:", "    x = 1",
     "@deco", "func g() {", "}",
     "```", "text of some kind", "const a = () => {", "[section]", "\tkey = 1", "\u2028", "# comment"]
)  # fmt: skip


@given(some.lists(LINE, max_size=150), some.sampled_from(["a.py", "a.md", "a.rst", "a.js", "a.toml", "README", "x"]))
def test_passages_cover_a_file_once(lines: list[str], path: str) -> None:
    """Every line is in exactly one passage, none is too long, whatever the file holds."""
    text = "\n".join(lines)
    count = len(text.split("\n")) - (1 if text.endswith("\n") or not text else 0)
    covered = [number for one in passages_of(text, path) for number in range(one.start, one.end + 1)]
    assert covered == list(range(1, count + 1))
    assert all(one.end - one.start < LINES_MAX for one in passages_of(text, path))


@given(some.text(max_size=300), some.sampled_from([".py", ".js", ".go", ".c", ".rs", ".yaml", "makefile", ".zzz"]))
def test_any_text_has_symbols_or_none(text: str, suffix: str) -> None:
    """No text breaks the search for definitions, and what is found lies in the text."""
    lines = len(text.split("\n"))
    assert all(1 <= one.start <= one.end <= lines for one in symbols_of(text, suffix))


@pytest.mark.parametrize(
    ("suffix", "text", "names"),
    [
        (".py", "X = 1\n\nclass A:\n    def m(self):\n        pass\n\nasync def f(): ...\n", ["X", "A", "A.m", "f"]),
        (".py", "def broken(:\n    pass\nclass Still:\n", ["broken", "Still"]),
        (".js", "export default class Cart {\n  total(a, b) {\n    if (a) {\n", ["Cart", "total"]),
        (
            ".ts",
            "export interface Shape {}\nexport const area = (s: Shape) => 1\ntype Id = string\n",
            ["Shape", "area", "Id"],
        ),
        (".go", "func (c *Cart) Total() int {\n\treturn 1\n}\ntype Cart struct {\n}\n", ["Total", "Cart"]),
        (
            ".rs",
            "pub async fn run() {}\npub struct Job;\nimpl Job {\n    fn go(&self) {}\n",
            ["run", "Job", "Job", "go"],
        ),
        (".java", "public class A {\n    public static int sum(int a) {\n        return a;\n", ["A", "sum"]),
        (".c", "static int add(int a, int b)\n{\n    return foo(a);\n}\n#define MAX 3\n", ["add", "MAX"]),
        (".rb", "module Shop\n  class Cart\n    def total\n", ["Shop", "Cart", "total"]),
        (".sh", "deploy() {\n  echo\n}\n", ["deploy"]),
        (".sql", "CREATE TABLE IF NOT EXISTS users (\n  id int\n);\n", ["users"]),
        ("makefile", "test: build\n\tpytest\n", ["test"]),
        (".toml", "[tool.ruff]\nline-length = 1\n", ["tool.ruff"]),
    ],
)
def test_definitions_are_found_in_many_languages(suffix: str, text: str, names: list[str]) -> None:
    """What a line defines is found by the line itself, in Python by its parser."""
    assert [one.name for one in symbols_of(text, suffix)][: len(names)] == names


def test_prose_is_cut_at_its_headings() -> None:
    """A passage knows the headings that it is below, in Markdown and in reStructuredText; a comment in code is none."""
    markdown = "# A\n\none\n\n## B\n\ntwo\n\n```sh\n# no heading\n```\n\n## C\n\nthree\n"
    assert [one.names for one in passages_of(markdown, "x.md")] == [("A",), ("A", "B"), ("A", "C")]
    rst = "A\n===\n\none\n\nB\n---\n\ntwo\n\nC\n---\n\nthree\n"
    assert [one.names for one in passages_of(rst, "x.rst")] == [("A",), ("A", "B"), ("A", "C")]


def test_forms_of_a_word_are_one() -> None:
    """What is asked in one form is found in another."""
    for group in (
        "parse parser parsing parsed parses",
        "retry retries",
        "cache cached caching",
        "delete deletion deleted",
    ):
        assert len({stem(word) for word in group.split()}) == 1, group
    assert words_of("RetryPolicy.max_delay HTTPServer2") == [
        "retrypolicy", "retry", "policy", "max", "delay", "httpserver2", "http", "server", "2",
    ]  # fmt: skip


def test_a_question_is_read() -> None:
    """Words without meaning are left out; identifiers, phrases and what it is after are noted."""
    found = read_question('How does `Outbox.retry_delay` handle "too many" attempts?')
    assert [term.word for term in found.terms if term.weight == 1] == ["outbox", "retry", "delay", "attempts"]
    assert found.identifiers == ("Outbox.retry_delay",)
    assert found.phrases == ("too many",)
    assert read_question("Who changed the limit?").history
    assert read_question("of the and").terms == ()
