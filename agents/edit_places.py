"""Where a text stands in a file, exactly: as whole lines, or as a part of a line.

Pure. Keeps: a text is found only where it stands as a unit. A line that goes on, a longer word or number, or `x = 1`
within `self.x = 1` is another text, which an edit must not touch.
"""

from __future__ import annotations

from pathlib import PurePosixPath

#: Files in which a part of a line is as good as a line: sentences, links and commands stand anywhere in them.
_PROSE = {".md", ".markdown", ".mdx", ".rst", ".txt", ".adoc", ".asciidoc", ".org", ".tex", ".html", ".htm"}
_PROSE_NAMES = {"README", "LICENSE", "LICENCE", "CHANGELOG", "CHANGES", "AUTHORS", "CONTRIBUTING", "NOTICE", "NEWS"}
#: What may enclose a part of a line of code that is a unit of its own.
_ENCLOSED = {"(": ")", "[": "]", "{": "}", "<": ">", '"': '"', "'": "'", "`": "`"}


def is_prose(path: str) -> bool:
    """Tell whether a file is text for people, by its name."""
    name = PurePosixPath(path)
    if name.suffix.lower() == ".txt" and name.stem.lower().startswith(("requirements", "constraints", "cmakelists")):
        return False
    return name.suffix.lower() in _PROSE or name.name in _PROSE_NAMES


def occurrences(text: str, wanted: str, lines: bool, prose: bool = False) -> list[tuple[int, int]]:
    """Return every span at which a text stands, overlapping ones too.

    Lines count where they stand as whole lines. Only where they do nowhere, they count with another indentation before
    them, within quotes or brackets, or, in `prose`, behind other words of a line. A text that starts or ends with a
    letter, digit or underscore is not found inside of a longer word or number.
    """
    if lines:
        wanted = wanted.removesuffix("\n")
    if not wanted.strip():
        return []
    found = anywhere(text, wanted)
    if lines:
        whole = [(s, e) for s, e in found if (not s or text[s - 1] == "\n") and (e == len(text) or text[e] == "\n")]
        if whole:
            return whole
        found = [span for span in found if _is_unit(text, *span, prose)]
    return [(start, end) for start, end in found if _word_ends(text, start) and _word_ends(text, end)]


def anywhere(text: str, wanted: str) -> list[tuple[int, int]]:
    """Return every span at which a text stands, whatever is around it."""
    found = []
    at = text.find(wanted)
    while at >= 0:
        found.append((at, at + len(wanted)))
        at = text.find(wanted, at + 1)
    return found


def _is_unit(text: str, start: int, end: int, prose: bool) -> bool:
    """Tell whether a part of a line is all of it but the indentation, is enclosed, or is a part of a sentence."""
    before = text[text.rfind("\n", 0, start) + 1 : start]
    line_end = text.find("\n", end)
    after = text[end : line_end if line_end >= 0 else len(text)]
    if not before.strip():
        return not after.strip()  # a line that goes on is another line
    if after and _ENCLOSED.get(before[-1]) == after[0]:
        return True
    return prose and not (before[-1] == "-" or after[:1] == "-")


def _word_ends(text: str, at: int) -> bool:
    """Tell whether a word or number may start or end at a position: there isn't one on both sides of it."""
    if at in (0, len(text)):
        return True
    before, after = text[at - 1], text[at]
    if _is_word(before) and _is_word(after):
        return False
    # The point of 1.0 in 1.0.1: neither `1.0` nor `0.1` is a number of its own there.
    number_goes_on = before.isdigit() and after == "." and text[at + 1 : at + 2].isdigit()
    number_began = before == "." and after.isdigit() and text[at - 2 : at - 1].isdigit() and at > 1
    return not (number_goes_on or number_began)


def _is_word(character: str) -> bool:
    return character == "_" or character.isalnum()
