"""Data is read back after cuts at any byte, flipped bits, missing files, and a merge."""

from __future__ import annotations

import json
import time
import zlib
from pathlib import Path
from typing import Any

import pytest

from cruddur_cli.local import frames, generations
from cruddur_cli.local.generations import Contents, Damaged, begin, generation_folder, load
from tests.local.logged import TABLE, TABLES, WRITES, append, count, key, write


def test_the_error_for_a_damaged_log_says_how_to_keep_the_rest(folder: Path) -> None:
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
    problem = "is missing" if damage is None else "is damaged"
    assert loaded.notes == [f"{pointer} {problem}: the data was found without it, and nothing is lost"]


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


def test_an_unfinished_first_generation_counts_as_no_data(tmp_path: Path) -> None:
    generation_folder(tmp_path, 1).mkdir()
    assert not generations.exist(tmp_path)
    generations.begin_log(tmp_path, 1)
    assert not generations.exist(tmp_path)
    begin(tmp_path, Contents())
    assert generations.exist(tmp_path)
    assert load(tmp_path).contents == Contents()


def two_generations(folder: Path) -> int:
    """Create a second generation with a log and without a snapshot; the number of writes."""
    ends = append(folder, 1, [write(number) for number in range(3)])
    generations.begin_log(folder, 2)
    append(folder, 2, [{"follows": ends[-1]}, write(3), write(4)])
    return 5


def test_a_snapshot_has_the_data_of_the_earlier_files(folder: Path) -> None:
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


def test_a_log_with_only_its_header_is_removed(folder: Path) -> None:
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


def test_a_snapshot_that_cannot_be_read_back_is_not_used(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    two_generations(folder)
    # The disk gives back another byte.
    monkeypatch.setattr(generations, "_read_snapshot", lambda path, *rest: Contents(counter=4711))
    with pytest.raises(Damaged, match="does not hold what was written"):
        generations.write(folder, 2, Contents())
    assert not (generation_folder(folder, 2) / "snapshot").exists()


def test_a_merge_deletes_expired_records_and_tokens() -> None:
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


def test_a_merge_deletes_all_records_of_an_expired_stream() -> None:
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
    """Records may contain any bytes, and records that a snapshot has already are not added again."""
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


def test_empty_contents_count_from_nothing() -> None:
    assert (Contents().counter, list(Contents().changes())) == (0, [{"documents": {}, "counter": 0}])


def test_a_snapshot_has_at_most_2000_items_or_records_in_a_frame() -> None:
    rows: dict[str, dict[str, Any]] = {f"p{number}": {"s": {}} for number in range(4001)}
    contents = Contents(items={"t": rows}, streams={"a": (3, []), "b": (5, [b"1"] * 2001)})
    _, *changes = contents.changes()
    assert [len(change["items"]["t"]) for change in changes[:3]] == [2000, 2000, 1]
    records = [change["records"] for change in changes[3:]]
    assert [{name: (first, len(held)) for name, (first, held) in one.items()} for one in records] == [
        {"a": (3, 0)},
        {"b": (5, 2000)},
        {"b": (2005, 1)},
    ]


@pytest.mark.parametrize(("age", "is_kept"), [(0, True), (86_400, True), (86_401, False)])
def test_a_stream_record_is_kept_for_a_day(monkeypatch: pytest.MonkeyPatch, age: int, is_kept: bool) -> None:
    monkeypatch.setattr(time, "time", lambda: 1_800_000_000.0)
    record = json.dumps({"dynamodb": {"ApproximateCreationDateTime": 1_800_000_000 - age}}).encode()
    contents = Contents(documents=dict(TABLES), streams={"stream": (0, [record])})
    contents.prune()
    assert contents.streams == {"stream": (0, [record]) if is_kept else (1, [])}


@pytest.mark.parametrize(("age", "is_kept"), [(0, True), (600, True), (601, False)])
def test_the_token_of_a_transaction_is_kept_for_ten_minutes(
    monkeypatch: pytest.MonkeyPatch, age: int, is_kept: bool
) -> None:
    monkeypatch.setattr(time, "time", lambda: 1_800_000_000.0)
    token = {key("dynamodb", "tokens", "1"): json.dumps({"completed_at": 1_800_000_000 - age})}
    contents = Contents(documents=dict(token))
    contents.prune()
    assert contents.documents == (token if is_kept else {})


@pytest.mark.parametrize("name", ["current.json", "acknowledged", "generation-2/log", "generation-1/snapshot"])
def test_one_file_of_generations_says_that_there_is_data(tmp_path: Path, name: str) -> None:
    generation_folder(tmp_path, 1).mkdir()
    assert not generations.exist(tmp_path)
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).touch()
    assert generations.exist(tmp_path)


def test_generations_are_the_owner_s_alone(folder: Path) -> None:
    generations.begin_log(folder, 2)
    modes = {path.relative_to(folder).as_posix(): path.stat().st_mode & 0o777 for path in folder.rglob("generation-*")}
    assert modes == {"generation-1": 0o700, "generation-2": 0o700}
    assert (generation_folder(folder, 1) / "snapshot").stat().st_mode & 0o777 == 0o600


def test_a_large_snapshot_is_synced_now_and_then(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(generations, "CHUNK_ITEMS", 1)
    monkeypatch.setattr(generations, "SYNC_BYTES", 2500)
    generation_folder(tmp_path, 1).mkdir()
    syncs: list[int] = []
    monkeypatch.setattr(frames, "sync", syncs.append)
    rows: dict[str, dict[str, Any]] = {f"p{number}": {"s": {"n": {"S": "x" * 950}}} for number in range(12)}
    generations.write(tmp_path, 1, Contents(items={"t": rows}))
    assert len(syncs) == 4


def test_what_cannot_be_removed_of_old_generations_stays(folder: Path) -> None:
    (folder / "generation-0").write_text("a file")
    generations.remove_before(folder, 2)
    assert [path.name for path in folder.glob("generation-*")] == ["generation-0"]


def test_the_pointer_has_a_checksum_over_its_values_in_one_order(folder: Path) -> None:
    """Earlier versions wrote it so."""
    generations.set_current(folder, 7, {"size": 1, "checksum": 2})
    pointer = json.loads((folder / generations.POINTER).read_bytes())
    text = b'{"generation": 7, "snapshot": {"checksum": 2, "size": 1}}'
    assert pointer == {"generation": 7, "snapshot": {"size": 1, "checksum": 2}, "checksum": zlib.crc32(text)}


@pytest.mark.parametrize("is_marked", [True, False])
def test_a_log_that_was_begun_and_acknowledged_is_kept(folder: Path, is_marked: bool) -> None:
    append(folder, 1, [write(0)])
    size = generations.begin_log(folder, 2)
    if is_marked:
        frames.Mark(folder / generations.MARK).write(2, size)
    else:
        (folder / generations.MARK).unlink()
    loaded = load(folder)
    assert (count(loaded.contents), loaded.generation, loaded.notes) == (1, 2 if is_marked else 1, [])
    assert generation_folder(folder, 2).exists() is is_marked


def test_a_log_without_any_frame_is_begun_again(folder: Path) -> None:
    path = generation_folder(folder, 1) / "log"
    for content in (b"", b"garbage that is no frame"):
        (folder / generations.MARK).unlink(missing_ok=True)
        path.write_bytes(content)
        loaded = load(folder)
        assert (loaded.contents, loaded.notes, loaded.size) == (Contents(), [], path.stat().st_size)
        assert frames.frames(path.read_bytes()) == ([b'{"log": 1, "format": 1}'], loaded.size)


def test_a_closed_log_has_all_that_the_next_one_says(folder: Path) -> None:
    ends = append(folder, 1, [write(0), write(1)])
    generations.begin_log(folder, 2)
    append(folder, 2, [{"follows": ends[-1]}])
    path = generation_folder(folder, 1) / "log"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(Damaged, match=f"{path} is damaged at byte {ends[1]} of {ends[-1]}: "):
        load(folder)


def test_a_snapshot_is_refused_with_what_is_wrong_with_it(folder: Path) -> None:
    path = generation_folder(folder, 1) / "snapshot"
    whole = path.read_bytes()

    def problem_of_snapshot() -> str:
        with pytest.raises(Damaged) as caught:
            load(folder)
        return str(caught.value).removeprefix(f"{path} ").partition(":")[0]

    path.write_bytes(whole[:-1])
    assert problem_of_snapshot() == f"is damaged at byte {frames.frames(whole[:-1])[1]} of {len(whole) - 1}"
    for end, generation in ((1, 1), (2, 2)):
        path.write_bytes(
            b"".join(frames.frame(json.dumps(one).encode()) for one in ({"snapshot": generation}, {}, {"end": end}))
        )
        assert problem_of_snapshot() == "is damaged or of another time"
        (folder / generations.POINTER).rename(folder / "aside")
        assert problem_of_snapshot() == "is cut short"
        (folder / "aside").rename(folder / generations.POINTER)


def test_a_cut_log_with_damage_before_the_cut_is_refused(folder: Path) -> None:
    ends = append(folder, 1, [write(number) for number in range(WRITES)])
    path = generation_folder(folder, 1) / "log"
    whole = path.read_bytes()
    damaged = bytearray(whole)
    damaged[ends[1] + 20] ^= 4
    path.write_bytes(damaged[:-3])
    with pytest.raises(Damaged, match=f"is damaged at byte {ends[1]} of {len(whole) - 3}: "):
        load(folder)
    damaged = bytearray(whole)
    damaged[ends[1] + 3] ^= 4  # the length, beyond the end of the file
    path.write_bytes(damaged)
    with pytest.raises(Damaged, match=f"is damaged at byte {ends[1]} of {len(whole)}: "):
        load(folder)
    path.write_bytes(whole[:-3])
    (note,) = load(folder).notes
    assert f"its last {len(whole) - ends[-2]} bytes are missing" in note


def test_a_write_to_a_new_log_is_kept_though_the_mark_does_not_count_it(folder: Path) -> None:
    append(folder, 1, [write(0)])
    generations.begin_log(folder, 2)
    append(folder, 2, [{"counter": 7}], acknowledged=False)
    loaded = load(folder)
    assert (loaded.contents.counter, loaded.generation) == (7, 2)
