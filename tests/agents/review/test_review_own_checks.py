"""Seeded mistakes are found on their lines, and sound changes are approved, with nothing installed."""

from __future__ import annotations

import os
import random
import string
from typing import Any

import pytest

from tests.agents.review.conftest import Files, Reviewed, findings

CODE = "def add(a, b):\n    return a + b\n\n\ndef double(a):\n    return 2 * a\n"
TESTS = (
    "from calc import add, double\n\n\ndef test_add():\n    assert add(1, 2) == 3\n    assert add(0, 0) == 0\n\n\n"
    "def test_double():\n    assert double(4) == 8\n"
)
BASE: dict[str, str | bytes | None] = {"calc.py": CODE, "tests/test_calc.py": TESTS}
FIXED = CODE.replace("a + b", "b + a")
ONE_TEST = TESTS.split("\n\ndef test_double")[0] + "\n"


def marked(mark: str) -> str:
    """The tests, the first with a mark."""
    return "import pytest\n" + TESTS.replace("def test_add", f"@pytest.mark.{mark}\ndef test_add")


def token(kind: str, length: int, alphabet: str = string.ascii_letters + string.digits) -> str:
    """Make something of the shape of a secret, so that none stands in this file."""
    return kind + "".join(random.Random(kind).choices(alphabet, k=length))


KEY_TEXT = "-----BEGIN RSA " + "PRIVATE KEY-----\n" + token("MIIE", 60) + "\n" + token("q", 64) + "\n"
BAD: dict[str, tuple[Files, str, str, int]] = {
    "an AWS key": (
        {"calc.py": f"KEY = '{token('AKIA', 16, string.ascii_uppercase + '234567')}'\n{CODE}"},
        "secret",
        "calc.py",
        1,
    ),
    "a GitHub token": (
        {"deploy.sh": f"#!/bin/sh\ncurl -H 'Authorization: {token('ghp_', 36)}'\n"},
        "secret",
        "deploy.sh",
        2,
    ),
    "a Stripe key": ({"settings.yml": f"stripe: {token('sk_live_', 24)}\n"}, "secret", "settings.yml", 1),
    "a private key": ({"server.key": KEY_TEXT}, "private-key", "server.key", 1),
    "a conflict": (
        {"calc.py": f"<<<<<<< HEAD\nx = 1\n=======\nx = 2\n>>>>>>> other\n{CODE}"},
        "conflict-marker",
        "calc.py",
        1,
    ),
    "a conflict in text": (
        {"app.js": "a()\n<<<<<<< ours\nb()\n=======\nc()\n>>>>>>> theirs\n"},
        "conflict-marker",
        "app.js",
        2,
    ),
    "a breakpoint": (
        {"calc.py": CODE.replace("    return a + b", "    breakpoint()\n    return a + b")},
        "debug-leftover",
        "calc.py",
        2,
    ),
    "pdb": (
        {"calc.py": CODE.replace("    return a", "    import pdb; pdb.set_trace()\n    return a", 1)},
        "debug-leftover",
        "calc.py",
        2,
    ),
    "debugger": ({"app.ts": "function f() {\n  debugger;\n}\n"}, "debug-leftover", "app.ts", 2),
    "no syntax": ({"calc.py": CODE.replace("def double(a):", "def double(a:")}, "syntax-error", "calc.py", 5),
    "broken JSON": ({"package.json": '{"name": "x",}\n'}, "syntax-error", "package.json", 1),
    "a deleted test": (
        {"calc.py": FIXED, "tests/test_calc.py": ONE_TEST},
        "deleted-test",
        "tests/test_calc.py",
        7,
    ),
    "a deleted test file": ({"calc.py": FIXED, "tests/test_calc.py": None}, "deleted-test", "tests/test_calc.py", 4),
    "a skipped test": (
        {"calc.py": FIXED, "tests/test_calc.py": marked("skip")},
        "skipped-test",
        "tests/test_calc.py",
        5,
    ),
    "a test that may fail": (
        {"calc.py": FIXED, "tests/test_calc.py": marked("xfail")},
        "skipped-test",
        "tests/test_calc.py",
        5,
    ),
    "an assertion of nothing": (
        {"calc.py": FIXED, "tests/test_calc.py": TESTS.replace("assert double(4) == 8", "assert True")},
        "weakened-assertion",
        "tests/test_calc.py",
        10,
    ),
    "no assertion left": (
        {"calc.py": FIXED, "tests/test_calc.py": TESTS.replace("assert double(4) == 8", "double(4)")},
        "weakened-assertion",
        "tests/test_calc.py",
        10,
    ),
    "hidden characters": ({"calc.py": CODE + "# \u202e reversed\n"}, "hidden-character", "calc.py", 7),
}


@pytest.mark.parametrize("name", BAD)
def test_a_seeded_mistake_asks_for_changes(reviewed: Reviewed, name: str) -> None:
    """Each is found at its line, with its rule, sure enough to refuse the change, and says what harm it does."""
    after, rule, file, line = BAD[name]
    before = {**BASE, **({"package.json": '{"name": "x"}\n'} if "package.json" in after else {})}
    outcome = reviewed.review(before, after)
    assert (outcome.outcome, outcome.reason) == ("failed", "changes_requested")
    assert outcome.value["verdict"] == "changes_requested"
    blocking = [one for one in findings(outcome) if (one["severity"], one["confidence"]) == ("error", "high")]
    assert (rule, file, line) in [(one["rule"], one["file"], one["line"]) for one in blocking]
    assert all(one["harm"] and one["message"] for one in findings(outcome))
    assert "review" in {one.kind for one in outcome.evidence}


def test_a_secret_is_never_repeated(reviewed: Reviewed) -> None:
    """Neither the finding nor any event holds the secret that was found."""
    secret = token("ghp_", 36)
    outcome = reviewed.review({"a.py": "x = 1\n"}, {"a.py": f"x = 1\nTOKEN = '{secret}'\n"})
    assert outcome.value["verdict"] == "changes_requested"
    assert all(secret not in event.payload for event in reviewed.trial.events())


REMARKED: dict[str, tuple[Files, str]] = {
    "a password": ({"calc.py": CODE + 'password = "gT7#kk2PqLx9Zr4v"\n'}, "possible-secret"),
    "a print": ({"calc.py": CODE.replace("    return 2", "    print(a)\n    return 2")}, "debug-leftover"),
    "no test for new code": (
        {"calc.py": CODE + "\n\ndef half(a):\n    if a:\n        return a / 2\n    return 0\n"},
        "missing-tests",
    ),
    "a large file": ({"dump.txt": "line of text\n" * 100_000}, "large-file"),
    "a binary file": ({"model.dat": b"\0\1\2" * 500}, "binary-file"),
    "a compiled program": ({"helper.exe": b"MZ\0\0" * 500}, "binary-file"),
    "what tools leave": ({"__pycache__/calc.cpython-311.pyc": b"\0\0\0"}, "left-behind"),
    "a lock file alone": ({"package-lock.json": '{"lockfileVersion": 3, "packages": {}}\n'}, "lock-file"),
    "a silenced check": ({"calc.py": CODE.replace("2 * a", "2 * a  # type: ignore")}, "silenced-check"),
    "another expectation of the same code": (
        {"tests/test_calc.py": TESTS.replace("== 8", "== 12")},
        "changed-expectation",
    ),
    "DO NOT MERGE": ({"calc.py": CODE + "# DO NOT MERGE\n"}, "not-to-be-merged"),
}


@pytest.mark.parametrize("name", REMARKED)
def test_what_may_be_meant_is_told_and_refuses_nothing(reviewed: Reviewed, name: str) -> None:
    """Such a finding stands in the review, and the change is approved all the same."""
    after, rule = REMARKED[name]
    outcome = reviewed.review({**BASE, "package-lock.json": "{}\n"}, after)
    assert rule in [one["rule"] for one in findings(outcome)]
    assert (outcome.outcome, outcome.value["verdict"]) == ("succeeded", "approved")


SOUND: dict[str, tuple[Files, Files]] = {
    "a fix with its test": (
        BASE,
        {"calc.py": FIXED, "tests/test_calc.py": TESTS + "\n\ndef test_more():\n    assert add(2, 1) == 3\n"},
    ),
    "a test that got another name": (
        BASE,
        {"calc.py": FIXED, "tests/test_calc.py": TESTS.replace("test_double", "test_twice")},
    ),
    "a test that moved": (
        BASE,
        {
            "calc.py": FIXED,
            "tests/test_calc.py": ONE_TEST,
            "tests/test_twice.py": "from calc import double\n\n\ndef test_double():\n    assert double(4) == 8\n",
        },
    ),
    "a test that goes with its code": (
        BASE,
        {"calc.py": CODE.split("\n\ndef double")[0] + "\n", "tests/test_calc.py": ONE_TEST},
    ),
    "another expectation": (
        BASE,
        {"calc.py": CODE.replace("2 * a", "3 * a"), "tests/test_calc.py": TESTS.replace("== 8", "== 12")},
    ),
    "a published example of a key": (
        {"README.md": "# x\n"},
        {"README.md": "# x\n\nexport AWS_ACCESS_KEY_ID=AKIAIOSFODNN7EXAMPLE\n"},
    ),
    "placeholders": (
        {"a.py": "x = 1\n"},
        {"a.py": 'x = 1\npassword = "your-password-here"\nAPI_KEY = environ["API_KEY"]\ntoken = "xxxxxxxx"\n'},
    ),
    "a heading of a text": ({"doc.rst": "x\n"}, {"doc.rst": "Title\n=======\n\nSome text.\n"}),
    "a marker in a string": (
        {"a.py": "x = 1\n"},
        {"a.py": 'x = """\n<<<<<<< SEARCH\na\n=======\nb\n>>>>>>> REPLACE\n"""\n'},
    ),
    "a moved secret line": (
        {"a.py": f"x = 1\nKEY = '{token('ghp_', 36)}'\n"},
        {"a.py": f"if True:\n    KEY = '{token('ghp_', 36)}'\n"},
    ),
    "a newer Python": ({"a.py": "x = 1\n"}, {"a.py": "type Pair[T] = tuple[T, T]\n"}),
    "hashes": (
        {"a.json": "{}\n"},
        {"a.json": '{"sha256": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"}\n'},
    ),
    "a fixture that is broken on purpose": ({"a.py": "x = 1\n"}, {"tests/fixtures/broken.py": "def (:\n"}),
    "a condition on a skip": (
        BASE,
        {"calc.py": FIXED, "tests/test_calc.py": marked("skipif(os.name == 'nt', reason='no')")},
    ),
    "assertions in a helper": (
        BASE,
        {"calc.py": FIXED, "tests/test_calc.py": TESTS.replace("    assert double(4) == 8", "    holds(double, 4, 8)")},
    ),
    "nothing but tests": (BASE, {"tests/test_calc.py": ONE_TEST}),
}


@pytest.mark.parametrize("name", SOUND)
def test_a_sound_change_is_approved(reviewed: Reviewed, name: str) -> None:
    """Nothing in it is held against it."""
    outcome = reviewed.review(*SOUND[name])
    assert (outcome.outcome, outcome.value["verdict"]) == ("succeeded", "approved"), findings(outcome)


def test_what_was_there_before_is_not_the_changes(reviewed: Reviewed) -> None:
    """Only what the change brings is told: an old secret, breakpoint or silenced check in the same file is not."""
    old = f"import pdb\nKEY = '{token('ghp_', 36)}'\npdb.set_trace()\nx = 1  # noqa\n"
    outcome = reviewed.review({"a.py": old}, {"a.py": old + "y = 2\n"})
    assert outcome.value["verdict"] == "approved"
    assert findings(outcome) == []


@pytest.mark.parametrize(("strict", "verdict"), [(False, "approved"), (True, "changes_requested")])
def test_files_outside_the_scope_are_told(reviewed: Reviewed, strict: bool, verdict: str) -> None:
    """A file that the issue doesn't name is a finding; where the scope is exact, a reason to refuse."""
    after: dict[str, Any] = {"calc.py": FIXED, "setup.cfg": "[metadata]\n", "docs/new/x.md": "x\n"}
    outcome = reviewed.review(BASE, after, scope_files=["calc.py", "docs/"], scope_strict=strict)
    assert outcome.value["verdict"] == verdict
    assert [one["file"] for one in findings(outcome) if one["rule"] == "out-of-scope"] == ["setup.cfg"]


def test_what_the_issue_asks_for_is_not_held_against_it(reviewed: Reviewed) -> None:
    """An issue that names the test to delete has it deleted."""
    after: dict[str, Any] = {"calc.py": FIXED, "tests/test_calc.py": ONE_TEST}
    issue = {"name": "12.md", "text": "# Remove test_double\n\nIt tests nothing."}
    assert reviewed.review(BASE, after, issue=issue).value["verdict"] == "approved"


@pytest.mark.parametrize(
    ("target", "rule"), [("/etc/passwd", "link-outside"), ("../../x", "link-outside"), ("nowhere", "link-broken")]
)
def test_links_are_followed_by_nobody(reviewed: Reviewed, target: str, rule: str) -> None:
    """A link out of the repository is refused, a broken one told."""
    base = reviewed.commit(BASE)
    os.symlink(target, reviewed.repo / "link")  # noqa: PTH211 - its target is a text
    commit = reviewed.commit({})
    outcome = reviewed.task(base=base, commit=commit)
    assert [one["rule"] for one in findings(outcome)] == [rule]
    assert outcome.value["verdict"] == ("changes_requested" if rule == "link-outside" else "approved")


def test_a_lost_mode_is_told(reviewed: Reviewed) -> None:
    """A program that is no longer executable, and a text that became one."""
    base = reviewed.commit({"run.sh": "#!/bin/sh\n", "notes.txt": "x\n"})
    reviewed.git("update-index", "--chmod=+x", "run.sh")
    (reviewed.repo / "run.sh").chmod(0o755)
    base = reviewed.commit({})
    (reviewed.repo / "run.sh").chmod(0o644)
    (reviewed.repo / "notes.txt").chmod(0o755)
    outcome = reviewed.task(base=base, commit=reviewed.commit({}))
    assert {one["file"] for one in findings(outcome) if one["rule"] == "file-mode"} == {"run.sh", "notes.txt"}


def test_unusual_names_are_reviewed_too(reviewed: Reviewed) -> None:
    """Names with spaces, quotes, newlines and bytes that aren't UTF-8 are told as they can be."""
    names = ["a b.py", 'q"uote.py', "new\nline.py", os.fsdecode(b"latin\xe9.py"), "-dash.py"]
    outcome = reviewed.review({"x": "x\n"}, dict.fromkeys(names, "breakpoint()\n"))
    assert len([one for one in findings(outcome) if one["rule"] == "debug-leftover"]) == len(names)


HOSTILE: dict[str, bytes] = {
    "one long word": b"a" * 19_000 + b"\n" + b"secret_" * 2_700 + b"\n",
    "minified": b"var a=1;" * 200_000,
    "a deep nest": b"(" * 5_000 + b")" * 5_000,
    "a long sum": b"def test_a():\n    assert " + b"+".join([b"1"] * 6_000) + b"\n",
    "no text": bytes(range(256)) * 100,
    "half a character": b"x = '\xc3'\n",
    "carriage returns": b"x = 1\ry = 2\r",
    "no end": b"x = 1",
}


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("file", ["a.py", "tests/test_a.py", "a.json", "a.js", "a.yml"])
def test_no_content_breaks_a_review(reviewed: Reviewed, name: str, file: str) -> None:
    """Whatever a file holds, there is a verdict."""
    outcome = reviewed.review({file: "x = 1\n"}, {file: HOSTILE[name]})
    assert outcome.value["verdict"] in ("approved", "changes_requested"), outcome


def test_text_in_another_encoding_is_read(reviewed: Reviewed) -> None:
    """What git takes for binary and is text is looked at line by line."""
    secret = token("AKIA", 16, string.ascii_uppercase + "234567")
    outcome = reviewed.review({"a.py": "x = 1\n"}, {"setup.ps1": f"$a = 1\n$key = '{secret}'\n".encode("utf-16")})
    assert [(one["rule"], one["line"]) for one in findings(outcome)] == [("secret", 2)]


def test_a_file_that_became_a_link_and_a_submodule(reviewed: Reviewed) -> None:
    """Changes of kind are told for what they are, and the files beside them still at their own lines."""
    base = reviewed.commit({"a.txt": "x\n", "b.py": "x = 1\n"})
    (reviewed.repo / "a.txt").unlink()
    (reviewed.repo / "a.txt").symlink_to("/etc/hosts")
    (reviewed.repo / "b.py").write_text("x = 1\nbreakpoint()\n")
    reviewed.git("update-index", "--add", "--cacheinfo", f"160000,{base},module")
    reviewed.git("add", "a.txt", "b.py")
    reviewed.git("commit", "-q", "-m", "Kinds")
    outcome = reviewed.task(base=base, commit=reviewed.git("rev-parse", "HEAD"))
    found = {(one["file"], one["line"], one["rule"]) for one in findings(outcome)}
    assert found == {("a.txt", 1, "link-outside"), ("b.py", 2, "debug-leftover"), ("module", 1, "submodule")}


def test_the_same_state_twice_is_nothing_to_review(reviewed: Reviewed) -> None:
    """An empty change is neither approved nor refused."""
    outcome = reviewed.review(BASE, {})
    assert (outcome.outcome, outcome.reason) == ("nothing_to_do", "no_changes")
