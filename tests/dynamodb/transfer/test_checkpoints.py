"""A damaged checkpoint is refused with the reason, and a resumed import or export has the same counts."""

from __future__ import annotations

import errno
import itertools
import json
import re
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from cruddur_cli.aws_client.client import Endpoint
from cruddur_cli.commands.ddb import transfer
from cruddur_cli.dynamodb import tables
from cruddur_cli.dynamodb.client import DynamoDB
from cruddur_cli.dynamodb.transfer import Format, checkpoints, exporter, input_files
from cruddur_cli.dynamodb.transfer.importer import Counts, ImportCheckpoint, Importer
from cruddur_cli.errors import Protected, Refused
from tests import faults
from tests.dynamodb.rows import everything, message_row, write

COUNTS = {"new": 5, "replaced": 0, "unchanged": 0, "duplicates": 0}
SEGMENT = {"after": None, "items": 0, "bytes": 0, "done": False, "tail": None}
ROWS = [message_row(f"{number:04}", f"text {number}") for number in range(500)]


class Killed(BaseException):
    """The process was killed, and does nothing more."""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """500 items, the first key once more at the end."""
    path = tmp_path / "a.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in [*ROWS, {**ROWS[0], "message": {"S": "last"}}]))
    return path


def run(dynamodb: DynamoDB, path: Path, *, keep_all: bool = True, before: Any = lambda *_: None) -> Counts:
    """Import as the command does; ``before`` may end the import when a place is saved."""
    source = input_files.find(str(path), None)
    about = {"what": "import", **checkpoints.identity(dynamodb, tables.describe(dynamodb)), "files": source.identity()}
    kept = ImportCheckpoint(checkpoints.beside(path), about, every=1 if keep_all else 1000)
    after, counts, keys = kept.load(source)

    def keep(place: Any, found: Counts) -> None:
        before(place)
        kept.keep(place, found)

    done = Importer(dynamodb, counts=counts, keys=keys).run(input_files.items(source, after=after), keep=keep)
    kept.remove()
    return done


def test_a_table_of_the_same_name_in_another_store_is_another_table(dynamodb: DynamoDB) -> None:
    table = tables.describe(dynamodb)
    stores = [Endpoint("dynamodb", url, region) for url in ("http://a", "http://b", None) for region in ("r", "s")]
    found = [checkpoints.identity(replace(dynamodb, at=at), table)["store"] for at in stores]
    assert found == ["http://a", "http://a", "http://b", "http://b", "AWS r", "AWS s"]


def test_a_table_that_was_created_later_is_another_table(dynamodb: DynamoDB) -> None:
    table = tables.describe(dynamodb)
    assert table.created_at is not None
    later = replace(table, created_at=table.created_at + timedelta(seconds=1))
    assert checkpoints.identity(dynamodb, table) != checkpoints.identity(dynamodb, later)


@pytest.mark.parametrize("line", [100, 200, 300, 501])
@pytest.mark.parametrize("there", [0, 250])
def test_a_resumed_import_has_the_same_counts_as_an_uninterrupted_one(
    dynamodb: DynamoDB, file: Path, line: int, there: int
) -> None:
    write(dynamodb, ROWS[:there])

    def end(place: Any) -> None:
        if place.line >= line:
            raise Killed

    with pytest.raises(Killed):
        run(dynamodb, file, before=end)
    found = run(dynamodb, file)
    first = {"new": 500, "replaced": 0} if not there else {"new": 250, "replaced": 1}
    assert found == Counts(**first, unchanged=249 if there else 0, duplicates=1)
    assert len(everything(dynamodb)) == 500
    assert [entry.name for entry in file.parent.iterdir() if "checkpoint" in entry.name] == []


def test_a_resumed_import_counts_duplicate_keys_of_one_portion(dynamodb: DynamoDB, file: Path) -> None:
    file.write_text("".join(json.dumps(row) + "\n" for row in [ROWS[0], *ROWS]))

    def end(place: Any) -> None:
        if place.line >= 300:
            raise Killed

    with pytest.raises(Killed):
        run(dynamodb, file, before=end)
    assert run(dynamodb, file) == Counts(new=500, duplicates=1)


def test_an_import_that_was_killed_at_its_start_begins_at_the_first_line(file: Path) -> None:
    source = input_files.find(str(file), None)
    for before in (None, input_files.Place(0, 0)):
        after, counts, keys = ImportCheckpoint(checkpoints.beside(file), {"what": "import"}).load(source)
        with keys:
            assert (after, counts) == (before, Counts())


def test_every_twentieth_place_is_saved(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint"
    kept, found = ImportCheckpoint(path, {}), []
    for line in range(1, 42):
        kept.keep(input_files.Place(0, line), Counts(new=line))
        state = checkpoints.load(path, about={})
        assert state is not None
        found.append(state["after"]["line"])
    assert found == [1] * 20 + [21] * 20 + [41]


@pytest.mark.parametrize("begun", [True, False])
def test_a_failed_import_saves_its_place_if_it_began_any_key(file: Path, begun: bool) -> None:
    path = checkpoints.beside(file)
    kept = ImportCheckpoint(path, {"what": "import"})
    _, _, keys = kept.load(input_files.find(str(file), None))
    with keys:
        keys.add([(("a", "b"), input_files.Place(0, 1), 0)] if begun else [])
    kept.end()
    assert path.exists() is begun


@pytest.mark.parametrize(
    ("state", "why"),
    [
        ({"after": {"file": 0, "line": 5000}, "counts": COUNTS}, "it names line 5,000, and the file ends before it"),
        ({"after": {"file": 3, "line": 5}, "counts": COUNTS}, "it names file 4"),
        ({"after": {"file": 1, "line": 5}, "counts": COUNTS}, "it names file 2, and "),
        ({"after": {"file": 0, "line": "5"}, "counts": COUNTS}, "'5' is not a whole number"),
        ({"after": {"file": 0, "line": -5}, "counts": COUNTS}, "-5 is not a whole number"),
        ({"after": {"file": 0, "line": True}, "counts": COUNTS}, "True is not a whole number"),
        ({"after": [0, 5], "counts": COUNTS}, "lacks the position or the counts"),
        ({"after": {"row": 5}, "counts": COUNTS}, "not a line of a file"),
        ({"after": {"file": 0, "line": 5}, "counts": {"written": 5}}, "not those of an import"),
        ({"after": {"file": 0, "line": 5}, "counts": {**COUNTS, "new": 1.5}}, "1.5 is not a whole number"),
        ({"after": {"file": 0, "line": 3}, "counts": COUNTS}, "it counts 5 items in 3 lines"),
        ({"after": {"file": 0, "line": 9}, "counts": {**COUNTS, "new": 0}}, "it counts 0 items up to line 9"),
        ({"segments": [], "joined": False}, "lacks the position or the counts"),
    ],
)
def test_nonsense_in_an_import_checkpoint_is_refused_and_nothing_is_skipped(
    dynamodb: DynamoDB, file: Path, state: dict[str, Any], why: str
) -> None:
    source = input_files.find(str(file), None)
    about = {"what": "import", **checkpoints.identity(dynamodb, tables.describe(dynamodb)), "files": source.identity()}
    place = checkpoints.beside(file)
    checkpoints.save(place, state, about=about)
    from cruddur_cli.dynamodb.transfer.duplicate_keys import Keys

    with Keys(place.with_name(f"{place.name}-keys")) as keys:
        keys.add([(("MSG#1", str(n)), input_files.Place(0, n), 0) for n in range(1, 6)])
    with pytest.raises(Protected, match="cannot be used to resume") as caught:
        run(dynamodb, file)
    assert why in caught.value.message
    assert "--restart" in (caught.value.hint or "")
    assert everything(dynamodb) == []
    assert place.exists()


def test_keys_that_are_missing_or_of_another_import_are_refused(dynamodb: DynamoDB, file: Path) -> None:
    def end(place: Any) -> None:
        if place.line >= 300:
            raise Killed

    with pytest.raises(Killed):
        run(dynamodb, file, before=end)
    keys = file.with_name("a.jsonl.checkpoint-keys")
    content = keys.read_bytes()
    keys.write_bytes(b"not a table" * 1000)
    with pytest.raises(Protected, match="cannot be used to resume"):
        run(dynamodb, file)
    for suffix in ("", "-wal", "-shm"):
        keys.with_name(keys.name + suffix).unlink(missing_ok=True)
    with pytest.raises(Protected, match="checkpoint-keys is missing"):
        run(dynamodb, file)
    assert content


def test_a_failed_import_says_how_many_items_are_written_and_left(dynamodb: DynamoDB, file: Path) -> None:
    dynamodb.busy_s = 0.2
    sent = itertools.count()

    def strike(request: Any, **_: Any) -> Any:
        return faults.throttled_answer(request) if next(sent) >= 8 else None

    dynamodb.client.meta.events.register("before-send.dynamodb.BatchWriteItem", strike)
    source = input_files.find(str(file), None)
    importer = Importer(dynamodb)
    with (
        pytest.raises(Refused) as caught,
        transfer.report_resume(importer, source),
    ):
        importer.run(input_files.items(source))
    found = re.search(r"At least (\d+) items of .* in the table; (\d+) lines are left", caught.value.message)
    assert found is not None
    assert int(found[1]) <= len(everything(dynamodb))
    assert int(found[2]) == 501 - importer.lines_done
    assert "again" in (caught.value.hint or "")


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"segments": []}, "how far each segment was read"),
        ({"segments": [{"after": None, "items": 0}]}, "how far each segment was read"),
        ({"joined": 1}, "how far each segment was read"),
        ({"items": -1}, "-1 is not a whole number"),
        ({"segments": [5]}, "how far each segment was read"),
        ({"bytes": 10**9}, "instead of 1,000,000,000"),
        ({"bytes": 1}, "part-0 has 0 bytes instead of 1"),
        ({"after": 5}, "5 is not the key of an item"),
        ({"after": {"pk": "x"}}, "is not the key of an item"),
        ({"after": {"pk": "x" * 100}}, f": {str({'pk': 'x' * 100})[:80]} is not the key of an item"),
        ({"after": {"pk": {"S": "x"}}}, "is not the key of an item"),
        ({"after": {"pk": {"S": "x"}, "sk": 5}}, "is not the key of an item"),
        ({"after": {"pk": {"S": "x"}, "sk": {"N": "5"}}}, "is not the key of an item"),
        ({"after": {"pk": {"S": "x"}, "sk": {"S": 5}}}, "is not the key of an item"),
        ({"done": "yes"}, "neither true nor false"),
        ({"tail": {**SEGMENT, "tail": SEGMENT}}, "neither true nor false"),
        ({"tail": {**SEGMENT, "items": -5}}, "-5 is not a whole number"),
    ],
)
def test_nonsense_in_an_export_checkpoint_is_refused(
    dynamodb: DynamoDB, tmp_path: Path, change: dict[str, Any], why: str
) -> None:
    write(dynamodb, ROWS[:5])
    path = tmp_path / "out.jsonl"
    table = tables.describe(dynamodb)
    about = {
        "what": "export", **checkpoints.identity(dynamodb, table), "format": "jsonl", "gzip": False, "escaped": False,
    }  # fmt: skip
    inner = {name: value for name, value in change.items() if name in SEGMENT}
    state = {"segments": [{**SEGMENT, **inner}], "joined": False, **{n: v for n, v in change.items() if n not in inner}}
    checkpoints.save(checkpoints.beside(path), state, about=about)
    with pytest.raises(Protected, match="cannot be used to resume") as caught:
        exporter.to_file(dynamodb, table, path, format=Format.JSONL, zipped=False, segments=None)
    assert why in caught.value.message
    assert not path.exists()


@pytest.mark.parametrize(
    ("number", "hint"),
    [
        (errno.ENOSPC, "free some disk space, then run the same command again: it resumes"),
        (errno.EDQUOT, "free some disk space, then run the same command again: it resumes"),
        (errno.EACCES, "run the same command again: it resumes"),
        (errno.EIO, "run the same command again: it resumes"),
    ],
)
def test_the_error_for_a_full_disk_says_how_to_continue(number: int, hint: str) -> None:
    error = checkpoints.unusable(Path("a.jsonl"), OSError(number, "No more"))
    assert (error.message, error.hint) == ("a.jsonl cannot be read or written: No more.", hint)


def test_a_file_error_without_a_number_is_shown_with_its_text() -> None:
    assert checkpoints.unusable("-", OSError("it ended")).message == "- cannot be read or written: it ended."


@pytest.mark.parametrize(
    ("name", "before", "said"),
    [
        ("escaped", True, "it was started with --escape-formulas."),
        ("escaped", False, "it was started without --escape-formulas."),
        ("gzip", True, "the file was compressed."),
        ("gzip", False, "the file was not compressed."),
    ],
)
def test_an_export_with_another_option_is_refused_with_the_first_option(
    tmp_path: Path, name: str, before: bool, said: str
) -> None:
    path = tmp_path / "checkpoint"
    about = {"what": "export", "table": "t", "store": "s", "escaped": False, "gzip": False}
    checkpoints.save(path, {}, about={**about, name: before})
    with pytest.raises(Protected) as caught:
        checkpoints.load(path, about={**about, name: not before})
    assert caught.value.message == f"The checkpoint {path} cannot be used to resume: {said}"
