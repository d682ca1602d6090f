"""What is read back from the disk: cut at every byte, with flipped bits, with files missing, and after a merge."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from cruddur_cli.local import frames, generations
from cruddur_cli.local.generations import Contents, Damaged, begin, generation_folder, load
from tests.local.logged import TABLE, TABLES, WRITES, append, count, key, write


def test_a_damaged_log_says_how_to_keep_what_is_before_it(folder: Path) -> None:
    ends = append(folder, 1, [write(number) for number in range(WRITES)])
    path = generation_folder(folder, 1) / "log"
    damaged = bytearray(path.read_bytes())
    damaged[ends[3] + 20] ^= 4
    path.write_bytes(damaged)
    with pytest.raises(Damaged, match=f"at byte {ends[3]} of .*truncate -s {ends[3]} "):
        load(folder)
    path.write_bytes(damaged[: ends[3]])
    loaded = load(folder)
    assert count(loaded.contents) == 3
    assert "is cut short" in loaded.notes[0]


def test_a_flipped_bit_in_the_middle_is_noticed_without_the_mark(folder: Path) -> None:
    ends = append(folder, 1, [write(number) for number in range(WRITES)])
    (folder / generations.MARK).unlink()
    path = generation_folder(folder, 1) / "log"
    damaged = bytearray(path.read_bytes())
    damaged[ends[2] + 20] ^= 4
    path.write_bytes(damaged)
    with pytest.raises(Damaged, match="is damaged at byte"):
        load(folder)


@pytest.mark.parametrize("missing", ["log", "snapshot", ""])
def test_a_missing_file_is_never_an_empty_start(folder: Path, missing: str) -> None:
    append(folder, 1, [write(0)])
    path = generation_folder(folder, 1) / missing
    for file in [path] if missing else list(path.iterdir()):
        file.unlink()
    if not missing:
        path.rmdir()
    assert generations.exist(folder)
    with pytest.raises(Damaged, match="is missing"):
        load(folder)


@pytest.mark.parametrize("damage", [None, b"", b'{"generation": 1, "snapshot": {"size": 1, "checksum": 2}}', b"\xff"])
def test_the_data_is_found_without_the_pointer(folder: Path, damage: bytes | None) -> None:
    append(folder, 1, [write(number) for number in range(WRITES)])
    pointer = folder / generations.POINTER
    pointer.unlink() if damage is None else pointer.write_bytes(damage)
    assert generations.exist(folder)
    loaded = load(folder)
    assert count(loaded.contents) == WRITES
    assert "nothing is lost" in loaded.notes[0]


def test_an_empty_snapshot_in_whole_frames_is_noticed(folder: Path) -> None:
    append(folder, 1, [write(0)])
    path = generation_folder(folder, 1) / "snapshot"
    path.write_bytes(frames.frame(b'{"snapshot": 1}') + frames.frame(b'{"end": 1}'))
    with pytest.raises(Damaged, match=str(path)):
        load(folder)


def test_the_log_of_another_generation_is_noticed(folder: Path) -> None:
    path = generation_folder(folder, 1) / "log"
    path.write_bytes(frames.frame(b'{"log": 2}'))
    with pytest.raises(Damaged, match="another generation"):
        load(folder)


@pytest.mark.parametrize("name", ["log", "snapshot"])
def test_the_files_of_a_later_version_are_not_read(folder: Path, name: str) -> None:
    path = generation_folder(folder, 1) / name
    path.write_bytes(frames.frame(json.dumps({name: 1, "format": 2}).encode()))
    (folder / generations.POINTER).unlink()
    with pytest.raises(Damaged, match="written by a later version"):
        load(folder)


def test_a_first_generation_that_was_not_finished_holds_nothing(tmp_path: Path) -> None:
    generation_folder(tmp_path, 1).mkdir()
    assert not generations.exist(tmp_path)
    generations.begin_log(tmp_path, 1)
    assert not generations.exist(tmp_path)
    begin(tmp_path, Contents())
    assert generations.exist(tmp_path)
    assert load(tmp_path).contents == Contents()


def two_generations(folder: Path) -> int:
    """A second log is there, its snapshot not yet. The number of writes."""
    ends = append(folder, 1, [write(number) for number in range(3)])
    generations.begin_log(folder, 2)
    append(folder, 2, [{"follows": ends[-1]}, write(3), write(4)])
    return 5


def test_a_snapshot_holds_what_the_files_before_it_hold(folder: Path) -> None:
    writes = two_generations(folder)
    before = load(folder)
    generations.set_current(folder, 2, generations.merge(folder, 2))
    generations.remove_before(folder, 2)
    assert [path.name for path in folder.glob("generation-*")] == ["generation-2"]
    after = load(folder)
    assert after.contents == before.contents
    assert (count(after.contents), after.first, after.generation) == (writes, 2, 2)


def test_a_crash_at_any_step_of_a_new_generation_loses_nothing(folder: Path) -> None:
    writes = two_generations(folder)
    for step in (
        lambda: (generation_folder(folder, 2) / "snapshot.new").write_bytes(b"half"),
        lambda: generations.merge(folder, 2),
        lambda: generations.set_current(folder, 2, generations.merge(folder, 2)),
        lambda: generations.remove_before(folder, 2),
    ):
        step()
        loaded = load(folder)
        assert (count(loaded.contents), loaded.generation, loaded.notes) == (writes, 2, [])


def test_a_generation_without_a_log_is_removed(folder: Path) -> None:
    append(folder, 1, [write(0)])
    generation_folder(folder, 2).mkdir()
    loaded = load(folder)
    assert (count(loaded.contents), loaded.generation, loaded.notes) == (1, 1, [])
    assert not generation_folder(folder, 2).exists()


def test_a_log_that_was_only_begun_is_removed(folder: Path) -> None:
    append(folder, 1, [write(0)])
    with (generation_folder(folder, 1) / "log").open("ab") as log:
        log.write(b"torn")
    generations.begin_log(folder, 2)
    loaded = load(folder)
    assert (count(loaded.contents), loaded.generation, loaded.notes) == (1, 1, [])
    assert not generation_folder(folder, 2).exists()


def test_damage_in_a_closed_log_is_noticed(folder: Path) -> None:
    two_generations(folder)
    path = generation_folder(folder, 1) / "log"
    whole = path.read_bytes()
    path.write_bytes(whole[:-1])
    with pytest.raises(Damaged, match=str(path)):
        load(folder)
    with pytest.raises(Damaged, match=str(path)):
        generations.merge(folder, 2)
    assert not (generation_folder(folder, 2) / "snapshot").exists()


def test_a_snapshot_that_is_not_what_was_written_is_not_used(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    two_generations(folder)
    # The disk gives back another byte.
    monkeypatch.setattr(generations, "_read_snapshot", lambda path, *rest: Contents(counter=4711))
    with pytest.raises(Damaged, match="does not hold what was written"):
        generations.write(folder, 2, Contents())
    assert not (generation_folder(folder, 2) / "snapshot").exists()


def test_a_merge_drops_what_has_expired() -> None:
    now = time.time()  # noqa: TID251  # as the emulator does
    stream = [json.dumps({"dynamodb": {"ApproximateCreationDateTime": now - age}}).encode() for age in (90_000, 10)]
    contents = Contents(
        documents=TABLES
        | {
            key("dynamodb", "tokens", "1", "us-east-1", "old"): json.dumps({"completed_at": now - 700}),
            key("dynamodb", "tokens", "1", "us-east-1", "new"): json.dumps({"completed_at": now - 500}),
        },
        items={TABLE: {"p": {"s": {}}}, "1/us-east-1/deleted": {"p": {"s": {}}}},
        streams={"stream": (5, stream), "of a deleted table": (0, [])},
        counter=7,
    )
    contents.prune()
    assert [json.loads(document)[-1] for document in contents.documents] == ["t", "t", "new"]
    assert contents.items == {TABLE: {"p": {"s": {}}}}
    assert contents.streams == {"stream": (6, stream[1:])}, "positions are not given twice"


def test_a_merge_drops_all_records_of_a_stream_that_has_expired() -> None:
    now = time.time()  # noqa: TID251  # as the emulator does
    old = [json.dumps({"dynamodb": {"ApproximateCreationDateTime": now - 90_000}}).encode()] * 2
    contents = Contents(documents=dict(TABLES), streams={"stream": (5, old)})
    contents.prune()
    assert contents.streams == {"stream": (7, [])}


def test_large_contents_are_the_same_after_a_snapshot(tmp_path: Path) -> None:
    rows = {f"p{number}": {"s": {"é😀": {"S": "x"}}} for number in range(5000)}
    contents = Contents(
        documents=dict(TABLES), items={TABLE: rows}, streams={"a": (3, []), "b": (0, [b"1"] * 5000)}, counter=9
    )
    begin(tmp_path, contents)
    assert load(tmp_path).contents == contents


def test_records_are_the_same_after_a_log() -> None:
    """Nothing in them is taken for the end of one; those that a snapshot has already are not there twice."""
    records = [{"text": text} for text in ("\n", "\r\n\u2028", "", "{}\n{}", "é😀\x00")]
    change = {"items": {"t": {}}, "records": {"a": (0, records), "b": (7, []), "c": (1, records[:1])}, "counter": 3}
    contents = Contents()
    for _ in range(2):
        contents.apply(generations.decoded(generations.encoded(change)))
    found = {
        name: (position, [json.loads(each) for each in held]) for name, (position, held) in contents.streams.items()
    }
    assert found == {"a": (0, records), "b": (7, []), "c": (1, records[:1])}
    assert contents.counter == 3


def test_records_inside_the_change_are_read_as_well() -> None:
    contents = Contents()
    contents.apply(generations.decoded(json.dumps({"records": {"a": [2, [{"n": 1}, {"n": 2}]]}}).encode()))
    assert contents.streams == {"a": (2, [b'{"n":1}', b'{"n":2}'])}
