"""What is turned round in a module, and what is left as it is."""

from __future__ import annotations

import pytest

from tests.mutation import mutants, run


def changes(source: str) -> list[tuple[str, str]]:
    return [(mutant.before, mutant.after) for mutant in mutants.of(source)]


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("x = a < b", [("a < b", "a <= b")]),
        ("x = a is not None", [("a is not None", "a is None")]),
        ("x = a in b", [("a in b", "a not in b")]),
        ("x = a and b", [("a and b", "a or b")]),
        ("x = a - b", [("a - b", "a + b")]),
        ("x = True", [("True", "False")]),
        ("x = 24", [("24", "25")]),
        ("x = 0.5", [("0.5", "1.0")]),
        ("x = max(a)", [("max(a)", "min(a)")]),
        ("if a:\n    b()", [("a", "not a")]),
        ("x = b if not a else c", [("not a", "a")]),
        ("x = [a for a in b if a]", [("a", "not a")]),
        ("x = a < 1", [("a < 1", "a <= 1"), ("1", "2")]),
    ],
)
def test_each_place_is_turned_round_once(source: str, found: list[tuple[str, str]]) -> None:
    assert changes(source) == found


@pytest.mark.parametrize(
    "source",
    [
        "x: int | None",
        "def f(a: int | str) -> bool | None: ...",
        "@dataclass(frozen=True)\nclass A: ...",
        "assert a < b",
        "if TYPE_CHECKING:\n    from a import b",
        "x = 'a' + b",
        "x = 'text %s' % a",
    ],
)
def test_what_decides_nothing_is_left_as_it_is(source: str) -> None:
    assert changes(source) == []


def test_a_mutant_differs_from_its_module_in_one_place_only() -> None:
    source = "x = a < 1\ny = a < 1"
    assert [mutant.source(source) for mutant in mutants.of(source)] == [
        "x = a <= 1\ny = a < 1",
        "x = a < 2\ny = a < 1",
        "x = a < 1\ny = a <= 1",
        "x = a < 1\ny = a < 2",
    ]


def test_a_seed_chooses_the_same_mutants_every_time() -> None:
    modules = ["trust.py", "times.py"]
    chosen = run.choose(modules, seed=1, count=6)
    assert chosen == run.choose(modules, seed=1, count=6)
    assert chosen != run.choose(modules, seed=2, count=6)
    assert [sum(module == name for module, _ in chosen) for name in modules] == [3, 3]


@pytest.mark.parametrize("module", run.TESTS)
def test_every_module_and_its_tests_exist(module: str) -> None:
    own, wide = run.TESTS[module]
    assert own
    assert [path for path in (f"cruddur_cli/{module}", *own, *wide) if not (run.ROOT / path).is_file()] == []
