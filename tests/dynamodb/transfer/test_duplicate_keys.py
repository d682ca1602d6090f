"""Keys that come more than once are found, and what a killed process had begun is known."""

from __future__ import annotations

from pathlib import Path

from cruddur_cli.dynamodb.transfer.duplicate_keys import Keys, remove
from cruddur_cli.dynamodb.transfer.input_files import Place


def test_keys_that_came_again_are_counted_by_what_was_done() -> None:
    with Keys() as keys:
        keys.add([(("a", "bc"), Place(0, 1), 0), (("ab", "c"), Place(0, 2), 1), (("a", "bc"), Place(0, 3), 2)])
        assert keys.count() == 3
        assert list(keys.repeated()) == [[1, 0, 1]]


def test_what_was_begun_behind_a_place_is_known_and_noted_again(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    with Keys(path) as keys:
        keys.add([(("a", "1"), Place(0, 1), 1), (("b", "1"), Place(0, 2), 2), (("c", "1"), Place(1, 1), 0)])
    with Keys(path) as keys:
        keys.resume(Place(0, 1))
        assert keys.count() == 1
        assert keys.begun(("b", "1"), Place(0, 2)) == 2
        assert keys.begun(("c", "1"), Place(1, 1)) == 0
        assert keys.begun(("a", "1"), Place(0, 1)) is None
    remove(path)
    assert list(tmp_path.glob("keys*")) == []


def test_lone_surrogates_in_a_key_are_keys_like_others() -> None:
    with Keys() as keys:
        keys.add([(("\ud800", "1"), Place(0, 1), 0), (("\ud800", "1"), Place(0, 2), 0)])
        assert list(keys.repeated()) == [[2, 0, 0]]
