"""What the recorder wrote in the processes of one test run, read back.

Pure but for `read_record`. The writers are in `recorder/`. Keeps: a line that isn't whole (its process was killed while
it wrote) is left out, never guessed.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path

import msgspec

SOURCE = Path(__file__).with_name("recorder")
FILES = ("sitecustomize.py", "twelvefold_recorder.py", "recorder.cjs", "recorder.mjs")
RECORD_BYTES_MAX = 256 << 20


class Fact(msgspec.Struct, frozen=True):
    """One line of a record; `k` is process, load, runner, test, broken, end or trouble."""

    k: str
    id: str = ""
    outcome: str = ""
    file: str = ""
    name: str = ""
    node: bool | str = False
    python: str = ""
    prefix: str = ""
    runner: str = ""
    exit: int = 0
    pid: int = 0
    error: str = ""


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """The facts of one run. `loads` maps each file loaded to the module names of interest it was loaded as;
    `unended`: a pytest began and never came to its end.
    """

    loads: dict[str, set[str]] = {}
    node_loads: set[str] = set()
    runners: set[str] = set()
    prefixes: set[str] = set()
    pythons: list[str] = []
    nodes: set[str] = set()
    tests: dict[str, str] = {}
    broken: list[str] = []
    trouble: list[str] = []
    unended: bool = False


_ORDER = ("passed", "xpassed", "xfailed", "skipped", "failed", "error")


def worse(one: str | None, other: str) -> str:
    """Return the worse of two outcomes of a test that ran more than once."""
    return other if one is None or _ORDER.index(other) > _ORDER.index(one) else one


def lay_recorder(scratch: Path, roots: Iterable[Path], names: Mapping[str, str]) -> Path:
    """Put the recorder into `scratch/recorder`, set to note files below `roots` and modules by name (name -> file).

    Returns the file into which it will write.
    """
    folder, out = scratch / "recorder", scratch / "record.jsonl"
    folder.mkdir()
    for name in FILES:
        shutil.copyfile(SOURCE / name, folder / name)
    prefixes = sorted({f"{path}/" for root in roots for path in (root, root.resolve())})
    config = {"out": str(out), "roots": prefixes, "names": dict(names)}
    (folder / "record.json").write_bytes(msgspec.json.encode(config))
    return out


def read_record(out: Path) -> Record:
    """Read what was recorded; an absent file is an empty record."""
    if not out.exists():
        return Record()
    with out.open("rb") as file:
        return parse_record(file.read(RECORD_BYTES_MAX))


def parse_record(data: bytes) -> Record:
    """Read recorded lines. A test that ran in several environments has the environment's name before its own."""
    facts: list[Fact] = []
    for line in data.split(b"\n")[:-1]:
        try:
            facts.append(msgspec.json.decode(line, type=Fact))
        except msgspec.DecodeError:
            continue  # cut short by the end of its process
    began = {fact.pid for fact in facts if fact.k == "runner" and fact.runner == "pytest"}
    record = Record(unended=bool(began - {fact.pid for fact in facts if fact.k == "end"}))
    tested = {fact.prefix for fact in facts if fact.k == "test"}
    for fact in facts:
        label = f"{Path(fact.prefix).name}: {fact.id}" if len(tested) > 1 else fact.id
        if fact.k == "process":
            record.prefixes.update(filter(None, [fact.prefix]))
            if fact.python and fact.python not in record.pythons:
                record.pythons.append(fact.python)
            record.nodes.update(filter(None, [str(fact.node or "")]))
        elif fact.k == "load":
            record.loads.setdefault(fact.file, set()).update(filter(None, [fact.name]))
            if fact.node:
                record.node_loads.add(fact.file)
        elif fact.k == "runner":
            record.runners.add(fact.runner)
        elif fact.k == "test" and fact.outcome in _ORDER:
            record.tests[label] = worse(record.tests.get(label), fact.outcome)
        elif fact.k == "broken" and label not in record.broken:
            record.broken.append(label)
        elif fact.k == "trouble":
            record.trouble.append(f"{fact.file}: {fact.error}")
    return record
