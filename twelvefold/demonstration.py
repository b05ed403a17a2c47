"""The material of `twelvefold demo`: two small sister repositories with a seeded bug each, and an issue for each.

Needs Python and git only: the repositories' tests are unittest's. One issue's edit is right; the other's breaks a test,
so that a truthful failure is to be seen as well.
"""

from __future__ import annotations

import subprocess
import textwrap
from pathlib import Path

import msgspec


class Example(msgspec.Struct, frozen=True):
    """One repository of the demonstration, with the issue that is to be worked on in it."""

    name: str
    files: dict[str, str]
    issue: str
    expected: str


CITE = Example(
    name="cite",
    expected="succeeded",
    files={
        "cite.py": '''
            """Citations."""


            def authors(names: list[str]) -> str:
                """Join names as a bibliography does."""
                if len(names) > 3:
                    return names[0] + " et. al."
                return ", ".join(names)
            ''',
        "tests/test_cite.py": """
            import unittest

            from cite import authors


            class Authors(unittest.TestCase):
                def test_few_names_are_all_given(self):
                    self.assertEqual(authors(["Hopper", "Liskov"]), "Hopper, Liskov")

                def test_many_names_are_cut(self):
                    self.assertTrue(authors(["Lamport", "Gray", "Codd", "Date"]).startswith("Lamport et"))
            """,
        "tests/__init__.py": "",
        "README.md": """
            # cite

            Joins names: `Lamport et. al.`
            """,
    },
    issue="""
        # "et al." has one full stop

        `et` is a whole word, only `al.` is abbreviated.

        ### `cite.py`
        Current:
        ```python
                return names[0] + " et. al."
        ```
        Should be:
        ```python
                return names[0] + " et al."
        ```

        ### `README.md`
        Replace `Lamport et. al.` with `Lamport et al.`
        """,
)

PAPER = Example(
    name="paper",
    expected="failed",
    files={
        "paper.py": '''
            """Pages."""


            def pages(words: int, per_page: int = 300) -> int:
                """Count the pages that so many words fill, the last one perhaps not to its end."""
                return -(-words // per_page)
            ''',
        "tests/test_paper.py": """
            import unittest

            from paper import pages


            class Pages(unittest.TestCase):
                def test_a_started_page_counts(self):
                    self.assertEqual(pages(301), 2)

                def test_full_pages(self):
                    self.assertEqual(pages(600), 2)
            """,
        "tests/__init__.py": "",
    },
    issue="""
        # Simplify the division

        The double minus is hard to read.

        ### `paper.py`
        Current:
        ```python
            return -(-words // per_page)
        ```
        Should be:
        ```python
            return words // per_page
        ```
        """,
)

EXAMPLES = (CITE, PAPER)


def lay_out(folder: Path) -> list[tuple[Example, Path, Path]]:
    """Write the repositories and issues below a folder; return each example with its repository and issue file."""
    made = []
    for example in EXAMPLES:
        repository = folder / example.name
        for name, text in example.files.items():
            file = repository / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(_unindented(text))
        issue = folder / f"{example.name}.md"
        issue.write_text(_unindented(example.issue))
        _git(repository, "init", "--quiet", "--initial-branch=main")
        _git(repository, "add", "--all")
        _git(repository, "-c", "commit.gpgSign=false", "commit", "--quiet", "--no-verify", "-m", "Begin")
        made.append((example, repository, issue))
    return made


def _unindented(text: str) -> str:
    return textwrap.dedent(text).lstrip("\n")


def _git(repository: Path, *command: str) -> None:
    """Run git in a repository of ours, with an author of its own, as a fresh machine knows none."""
    identity = ("-c", "user.name=Twelvefold demo", "-c", "user.email=demo@localhost")
    subprocess.run(["git", "-C", str(repository), *identity, *command], check=True, stdin=subprocess.DEVNULL)
