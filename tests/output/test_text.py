"""Text for a terminal: no control character reaches the terminal, and lines fit."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from cruddur_cli.output import text
from cruddur_cli.output.text import counted, units, wrapped


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("\x1b[31mred", "␛[31mred"),
        ("a\x7fb", "a␡b"),
        ("a\x9bb", "a<9B>b"),
        ("a\u202eb", "a<202E>b"),
        ("piñata", "piñata"),
    ],
)
def test_control_characters_are_shown_as_pictures(given: str, shown: str) -> None:
    assert text.printable(given) == shown


def test_line_ends_stay_or_become_a_sign() -> None:
    assert text.printable("a\nb", keep="\n") == "a\nb"
    assert text.one_line("a\r\nb\nc") == "a ⏎ b ⏎ c"


def test_numbers_are_counted_as_people_do() -> None:
    assert [text.counted(0, "item"), text.counted(1, "item"), text.counted(2000, "item")] == [
        "0 items",
        "1 item",
        "2,000 items",
    ]
    assert text.counted(2, "person", "people") == "2 people"
    assert [text.units(0.5), text.units(1234567.0), text.units(0.25)] == ["0.5", "1,234,567", "0.25"]


def test_an_unknown_time_or_one_out_of_range_is_shown() -> None:
    assert text.when(None) == "at an unknown time"
    assert text.when(datetime.max.replace(tzinfo=UTC)).startswith("9999-12-31")


def test_wide_and_combining_signs_have_their_width() -> None:
    assert [text.width_of("abc"), text.width_of("日本"), text.width_of("e\u0301")] == [3, 4, 1]


def test_joined_characters_are_as_wide_as_one() -> None:
    assert [text.width_of(sign) for sign in ("👩‍👩‍👧‍👦", "🇩🇪", "👍🏽", "مرحبا")] == [2, 2, 2, 5]


def test_a_text_is_cut_to_a_number_of_columns() -> None:
    assert [text.cut("short", 5), text.cut("one two three", 8)] == ["short", "one two…"]
    assert text.cut("長い文字", 6) == "長い…"
    assert text.cut("that's how they knew", 15) == "that's how…"  # behind a word
    assert text.cut("a wordthathasnoend", 15) == "a wordthathasn…"


def test_lines_are_broken_between_words_and_keep_their_indent() -> None:
    assert text.wrapped("  one two three", 9) == "  one two\n  three"
    assert text.wrapped("https://example.com/a", 10) == "https://example.com/a"
    assert text.wrapped("https://example.com/a", 12, cut=True) == "https://\nexample.com/\na"


def test_one_item_is_singular() -> None:
    assert [counted(n, "item") for n in (0, 1, 2_000)] == ["0 items", "1 item", "2,000 items"]
    assert [counted(n, "person", "people") for n in (1, 2)] == ["1 person", "2 people"]
    assert [units(n) for n in (0, 0.5, 10, 1_234_567.0)] == ["0", "0.5", "10", "1,234,567"]


def test_lines_break_between_words_and_keep_their_indent() -> None:
    assert wrapped("local: the table at http://127.0.0.1:43755", 30) == "local: the table at\nhttp://127.0.0.1:43755"
    assert wrapped("  next: one two three", 14) == "  next: one\n  two three"
    assert wrapped("fits  as it is\nand so does this", 16) == "fits  as it is\nand so does this"
    assert wrapped("see /a/rather/long/path", 10) == "see\n/a/rather/long/path"
    assert wrapped("/a/rather/long/path", 10, cut=True) == "/a/rather/\nlong/path"
    assert wrapped("日本語日本語", 5, cut=True) == "日本\n語日\n本語"
    assert wrapped("", 5) == ""


@pytest.mark.parametrize(
    ("local", "production"),
    [
        ("cruddur db setup", "cruddur db setup --prod"),
        ("`cruddur config` shows it", "`cruddur config --prod` shows it"),
        ("run cruddur ddb restore a --into TABLE", "run cruddur ddb restore --prod a --into TABLE"),
        (
            "cruddur ddb protect x --prod, then cruddur ddb drop",
            "cruddur ddb protect x --prod, then cruddur ddb drop --prod",
        ),
        ("run `cruddur db diff` on a local database first", "run `cruddur db diff` on a local database first"),
        ("cruddur db ping --help", "cruddur db ping --help"),
        ("cruddur ddb copy --from prod", "cruddur ddb copy --from prod"),
        ("cruddur db release-copy", "cruddur db release-copy"),
        ("cruddur ddb stream package", "cruddur ddb stream package"),
        ("cruddur local up", "cruddur local up"),
        ("aws s3 ls", "aws s3 ls"),
    ],
)
def test_commands_that_take_prod_are_named_with_it(local: str, production: str) -> None:
    assert text.in_production(local) == production


def test_later_lines_of_a_list_item_are_indented_to_its_text() -> None:
    assert wrapped("  1. one two three", 12) == "  1. one two\n     three"
    assert wrapped("at 10. one two", 8) == "at 10.\none two"


def test_spaces_between_words_are_kept() -> None:
    assert wrapped("2026-11-20  INSERT  message in a", 28) == "2026-11-20  INSERT  message\nin a"
