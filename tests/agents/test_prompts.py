"""Prompts: files with declared variables, strict in what they take, the project's before the packaged ones."""

from __future__ import annotations

import hashlib
import string
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import twelvefold as tf
from twelvefold.agents.models.errors import PromptInvalid, PromptMissing, PromptVariables
from twelvefold.agents.prompt import PACKAGED, prompt_hashes, read_prompt

GREETING = (
    "---\nvariables:\n  name: who\n  place: where\n---\n\n# Hello {{ name }}\n\nWelcome to {{place}}, {{ name }}.\n"
)


def prompt(text: str) -> tf.Prompt:
    """Read a prompt's text."""
    return read_prompt("greeting", text.encode(), "greeting.md")


def test_variables_are_put_in() -> None:
    """Each use of a variable becomes its text; the front matter isn't part of it."""
    found = prompt(GREETING)
    assert found.variables == {"name": "who", "place": "where"}
    assert found.render(name="Ada", place="Rome") == "# Hello Ada\n\nWelcome to Rome, Ada.\n"
    assert found.hash == hashlib.sha256(GREETING.encode()).hexdigest()


def test_missing_and_unknown_variables_are_errors() -> None:
    """Neither too little nor too much is taken, and the error names both."""
    with pytest.raises(PromptVariables) as caught:
        prompt(GREETING).render(name="Ada", colour="red")
    assert (caught.value.missing, caught.value.unknown) == (("place",), ("colour",))


@given(st.text(), st.text(alphabet=string.ascii_letters + "{}$\\ \n"))
def test_what_a_variable_holds_is_never_read_again(name: str, place: str) -> None:
    """Whatever stands in a variable, braces included, comes out as it is."""
    said = prompt(GREETING).render(name=name, place=place + "{{ name }}{{ other }}\\{{")
    assert said == f"# Hello {name}\n\nWelcome to {place}{{{{ name }}}}{{{{ other }}}}\\{{{{, {name}.\n"


def test_braces_may_be_meant() -> None:
    r"""`\{{` stands for braces; a dollar, a percent and single braces mean nothing."""
    found = prompt("---\nvariables: [x]\n---\nWrite \\{{ y }} or ${x} %s {x} {{ x }}.")
    assert found.render(x=1) == "Write {{ y }} or ${x} %s {x} 1.\n"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("---\nvariables: [a]\n", 1),
        ("---\nvariables: [a\n---\n", 2),
        ("---\n- a\n---\n", 2),
        ("---\nvariables: 5\n---\n", 2),
        ("---\nvariables: [A-b]\n---\n", 2),
        ("---\nvariables: [a]\n---\ntext\n{{ b }}", 5),
        ("---\nvariables: [a]\n---\n{{ a", 4),
        ("{{ a }}", 1),
        ("---\nvariables: [a]\n---\n{{ a.b }}", 4),
    ],
)
def test_wrong_files_are_told_by_line(text: str, line: int) -> None:
    """A front matter without end, one that isn't YAML, and braces that are no declared variable's."""
    with pytest.raises(PromptInvalid) as caught:
        prompt(text)
    assert caught.value.line == line
    assert "greeting.md" in caught.value.message()


def test_bytes_that_are_no_text_are_told() -> None:
    """A file in another encoding names the line."""
    with pytest.raises(PromptInvalid) as caught:
        read_prompt("greeting", b"one\ntwo \xff\n", "greeting.md")
    assert caught.value.line == 2


def test_the_projects_prompt_comes_first(tmp_path: Path) -> None:
    """A file of the same name in one of the folders stands in the packaged one's place, and has its own hash."""
    packaged = tf.load_prompt("repair")
    assert tf.load_prompt("repair", [tmp_path, tmp_path / "none"]) == packaged
    (tmp_path / "repair.md").write_text("---\nvariables: [problem]\n---\nTry again: {{ problem }}")
    own = tf.load_prompt("repair", [tmp_path])
    assert own.render(problem="no") == "Try again: no\n"
    assert own.hash != packaged.hash


def test_all_hashes_are_known_beforehand(tmp_path: Path) -> None:
    """What a run records of prompts when it is asked for is what they will have when they are used."""
    (tmp_path / "repair.md").write_text("---\nvariables: [problem]\n---\n{{ problem }}")
    (tmp_path / "README.md").write_text("No prompt.")
    hashes = prompt_hashes([tmp_path, tmp_path / "none"])
    assert hashes["repair"] == tf.load_prompt("repair", [tmp_path]).hash
    assert hashes["fixer"] == tf.load_prompt("fixer").hash
    assert "README" not in hashes


@pytest.mark.parametrize("name", ["none", "../repair", "a/b", "", "Repair", ".hidden"])
def test_a_missing_prompt_is_told(tmp_path: Path, name: str) -> None:
    """A name that there is none of, or that leads elsewhere, is no prompt."""
    (tmp_path / "sub").mkdir()
    (tmp_path / "repair.md").write_text("x")
    with pytest.raises(PromptMissing):
        tf.load_prompt(name, [tmp_path / "sub"])


def test_packaged_prompts_are_sound() -> None:
    """Each packaged prompt can be read, uses every variable that it declares, and says what each is for."""
    files = sorted(PACKAGED.glob("*.md"))
    assert {"fixer", "fixer_task", "repair", "no_action", "schema_in_words", "tools_in_words"} <= {
        one.stem for one in files
    }
    for file in files:
        found = tf.load_prompt(file.stem)
        said = found.render(**{name: f"<{name}>" for name in found.variables})
        assert all(f"<{name}>" in said for name in found.variables), file
        assert all(found.variables.values()), file


def test_prompts_travel_in_the_wheel(tmp_path: Path) -> None:
    """What is installed has the prompts beside the code."""
    root = Path(tf.__file__).resolve().parents[1]
    program = (
        "import sys, zipfile\nfrom hatchling.builders.wheel import WheelBuilder\n"
        "path = next(iter(WheelBuilder(sys.argv[1]).build(directory=sys.argv[2], versions=['standard'])))\n"
        "print('\\n'.join(zipfile.ZipFile(path).namelist()))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(root), str(tmp_path)],
        capture_output=True,
        text=True,
        check=True,
        timeout=240,
    )
    names = done.stdout.splitlines()
    assert {f"twelvefold/agents/prompts/{file.name}" for file in PACKAGED.glob("*.md")} <= set(names)
