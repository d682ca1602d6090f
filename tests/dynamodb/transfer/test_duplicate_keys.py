"""Repeated keys are found, and the keys that a killed import had begun are known."""

from __future__ import annotations

import random
from pathlib import Path

from cruddur_cli.dynamodb.transfer.duplicate_keys import Keys, remove
from cruddur_cli.dynamodb.transfer.input_files import Place


def test_repeated_keys_are_counted_by_their_outcomes() -> None:
    with Keys() as keys:
        keys.add([(("a", "bc"), Place(0, 1), 0), (("ab", "c"), Place(0, 2), 1), (("a", "bc"), Place(0, 3), 2)])
        assert keys.count() == 3
        assert list(keys.repeated()) == [[1, 0, 1]]


def test_keys_begun_after_a_place_are_known_and_added_again(tmp_path: Path) -> None:
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


def test_a_begun_key_is_known_after_each_kill_until_it_is_added_again(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    first, second = (("a", "1"), Place(0, 1)), (("b", "1"), Place(0, 2))
    with Keys(path) as keys:
        assert keys.is_empty()
        keys.add([(*first, 0), (*second, 1)])
    with Keys(path) as keys:  # killed before the second key is added again
        keys.resume(Place(0, 0))
        assert (keys.count(), keys.is_empty()) == (0, False)
        keys.add([(*first, 0)])
        assert keys.count() == 1
    with Keys(path) as keys:
        keys.resume(Place(0, 0))
        assert [keys.begun(*each) for each in (first, second)] == [0, 1]
        keys.add([(*first, 0), (*second, 2)])
        assert (keys.count(), list(keys.repeated())) == (2, [])
    with Keys(path) as keys:
        keys.resume(Place(0, 1))
        assert [keys.begun(*each) for each in (first, second)] == [None, 2]


def test_a_key_that_is_only_begun_is_not_counted_as_repeated(tmp_path: Path) -> None:
    with Keys(tmp_path / "keys") as keys:
        keys.add([(("a", "1"), Place(0, 1), 0), (("a", "1"), Place(0, 9), 2)])
        assert list(keys.repeated()) == [[1, 0, 1]]
        keys.resume(Place(0, 1))
        assert list(keys.repeated()) == []


def test_keys_with_lone_surrogates_are_stored() -> None:
    with Keys() as keys:
        keys.add([(("\ud800", "1"), Place(0, 1), 0), (("\ud800", "1"), Place(0, 2), 0)])
        assert list(keys.repeated()) == [[2, 0, 0]]


def test_repeated_keys_are_found_at_any_distance() -> None:
    chosen = random.Random(5)
    numbers = [chosen.randrange(5_000) for _ in range(10_000)]
    with Keys() as keys:
        keys.add(((f"{number}", "1" * (number % 3)), Place(0, at + 1), at % 3) for at, number in enumerate(numbers))
        found = sorted(map(sum, keys.repeated()))
    assert found == sorted(count for count in (numbers.count(number) for number in set(numbers)) if count > 1)


def test_keys_survive_the_process_with_their_outcomes(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    with Keys(path) as keys:
        keys.add([(("a", str(line)), Place(0, line), line % 3) for line in range(1, 7)])
    with Keys(path) as keys:
        keys.resume(Place(0, 4))
        assert keys.count() == 4
        assert [keys.begun(("a", str(line)), Place(0, line)) for line in range(3, 8)] == [None, None, 2, 0, None]
        assert keys.begun(("a", "5"), Place(0, 6)) is None


def test_the_place_of_a_key_is_a_file_and_a_line(tmp_path: Path) -> None:
    places = [Place(0, 9), Place(1, 3), Place(1, 4), Place(2, 1)]
    with Keys(tmp_path / "keys") as keys:
        keys.add((("a", str(number)), place, 2) for number, place in enumerate(places))
        keys.resume(Place(1, 3))
        assert keys.count() == 2
        assert [keys.begun(("a", str(number)), place) for number, place in enumerate(places)] == [None, None, 2, 2]
