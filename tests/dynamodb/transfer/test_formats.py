"""Every type is read as it was written; unsupported values are refused; malformed lines are named."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

import pytest

from cruddur_cli.dynamodb.transfer import Format, attribute_values, formats
from cruddur_cli.dynamodb.transfer.formats import BadLine
from cruddur_cli.errors import BadInput
from tests.dynamodb.rows import ME, OTHER, Item, group_row, message_row

KEYS: Item = {"pk": {"S": "MSG#1"}, "sk": {"S": "2026-11-20T10:00:00.000000+00:00"}}

EVERY_TYPE: Item = {
    **KEYS,
    "text": {"S": 'é "quoted", \\ \n\r\t \x00\x7f\u2028 😀 \u202e'},
    "empty": {"S": ""},
    "number": {"N": "-12345678901234567890.123456789012345678"},
    "tiny": {"N": "1E-130"},
    "binary": {"B": bytes(range(256))},
    "nothing": {"B": b""},
    "yes": {"BOOL": True},
    "no": {"BOOL": False},
    "null": {"NULL": True},
    "texts": {"SS": ["a", "b"]},
    "numbers": {"NS": ["1", "2.5"]},
    "binaries": {"BS": [b"\x00", b"\xff"]},
    "list": {"L": [{"S": "x"}, {"L": [{"B": b"\x01"}]}, {"M": {}}]},
    "map": {"M": {"S": {"S": "a name that is a type's"}, "deep": {"M": {"er": {"BS": [b"1"]}}}}},
    "Item": {"S": "an attribute of that name"},
}
TEXTS = ["a\r\nb", 'say "hi", twice', " spaces ", "é😀", "a\x00b", ",", '"', "\n", "line\u2028end", "-", "#", "'"]


def lines(content: bytes, format: Format, **options: Any) -> list[Item]:
    return [item for _, item, _ in formats.lines(io.BytesIO(content), format, **options)]


@pytest.mark.parametrize("format", [Format.JSONL, Format.DYNAMODB_JSON])
def test_every_type_is_read_as_it_was_written(format: Format) -> None:
    encode = formats.encoder(format)
    content = formats.header(format) + encode(EVERY_TYPE) + encode(KEYS)
    assert content.count(b"\n") == 2
    assert lines(content, format) == [EVERY_TYPE, KEYS]
    if format == Format.DYNAMODB_JSON:
        assert [list(json.loads(line)) for line in content.splitlines()] == [["Item"], ["Item"]]
    assert "é".encode() in content, "texts are written in UTF-8, not as escapes"


def test_a_lone_surrogate_is_written_as_an_escape_and_refused_when_read() -> None:
    content = formats.encoder(Format.JSONL)({**KEYS, "message": {"S": "\ud800"}})
    assert b"\\ud800" in content
    for escaped in (content, content.replace(b"\\ud800", b"\\uD800")):
        with pytest.raises(BadLine, match="not valid Unicode"):
            lines(escaped, Format.JSONL)
        assert lines(escaped.replace(b"800", b"83d\\ude00"), Format.JSONL) == [{**KEYS, "message": {"S": "😀"}}]


@pytest.mark.parametrize("format", [Format.JSONL, Format.CSV])
def test_a_place_after_the_last_line_is_past_the_end(format: Format) -> None:
    content = formats.header(format) + formats.encoder(format)(KEYS)
    last = content.count(b"\n")
    assert lines(content, format, after=last) == []
    for short, after in ((content, last + 1), (b"", 1)):
        with pytest.raises(formats.PastEnd):
            lines(short, format, after=after)


def test_csv_holds_the_texts_of_the_application() -> None:
    rows = [message_row(f"{n}", text) for n, text in enumerate(TEXTS)]
    rows.append(group_row(ME, OTHER, "2026", "last"))
    content = formats.header(Format.CSV) + b"".join(map(formats.encoder(Format.CSV), rows))
    assert lines(content, Format.CSV) == rows
    # Other programs read the same: RFC 4180, as Python's own reader takes it.
    read = list(csv.DictReader(io.StringIO(content.decode(), newline="")))
    assert [row["message"] for row in read[:-1]] == TEXTS
    numbers = [number for number, _, _ in formats.lines(io.BytesIO(content), Format.CSV)]
    assert numbers[0] == 2
    assert lines(content, Format.CSV, after=numbers[5]) == rows[6:]


@pytest.mark.parametrize(
    ("extra", "why"),
    [
        ({"likes": {"N": "1"}}, "the attribute 'likes', which has no column"),
        ({"zeal": {"N": "1"}, "likes": {"N": "1"}}, "the attribute 'likes', which has no column"),
        ({"message": {"N": "1"}}, "in 'message' a value that is not a string"),
        ({"message": {"S": ""}}, "in 'message' an empty string"),
    ],
)
def test_csv_refuses_items_that_it_cannot_hold(extra: Item, why: str) -> None:
    with pytest.raises(BadInput, match="pk='MSG#1'") as caught:
        formats.encoder(Format.CSV)({**KEYS, **extra})
    assert why in caught.value.message
    assert "--format jsonl" in (caught.value.hint or "")


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (b"{", "is not JSON"),
        (b'"x"', "is not an object"),
        (b"[]", "holds a list of items"),
        (b'{"Items":[],"Count":0}', "holds a list of items"),
        (b"\xff", "is not valid Unicode"),
        (b'{"pk":{"S":"a"}}', "has no sk"),
        (b'{"pk":{"S":""},"sk":{"S":"a"}}', "has no pk"),
        (b'{"pk":{"N":"1"},"sk":{"S":"a"}}', "has no pk"),
        (b'{"Item":{"pk":{"S":"a"},"sk":{"S":"a"}}}', "dynamodb-json"),
        (b'{"pk":"a","sk":"b"}', "not typed, 'pk'"),
        (b'{"pk":{"S":"a"},"sk":{"S":"b"},"n":{"N":"x"}}', "not a number"),
        (b'{"pk":{"S":"a"},"sk":{"S":"b"},"n":{"N":1}}', "not a number in quotes"),
        (b'{"pk":{"S":"a"},"sk":{"S":"b"},"n":{"N":"1e126"}}', "cannot hold"),
        (b'{"pk":{"S":"a"},"sk":{"S":"b"},"n":{"N":"1e99999999999999999999"}}', "not a number"),
        (b'{"pk":{"S":"a"},"sk":{"S":"b"},"n":{"N":"' + b"1" * 39 + b'"}}', "cannot hold"),
        (b'{"pk":{"S":"a"},"sk":{"S":"b"},"n":{"B":"*"}}', "not a base64"),
        (b'{"pk":{"S":"a"},"sk":{"S":"b"},"n":{"SS":[]}}', "not a list with members"),
        (b'{"pk":{"S":"a"},"sk":{"S":"b"},"n":{"NS":["1","1.0"]}}', "a member twice"),
        (b'{"pk":{"S":"a"},"sk":{"S":"b"},"n":{"X":"1"}}', "unknown type 'X'"),
        (b'{"pk":{"S":"a"},"sk":{"S":"b"},"n":{"NULL":false}}', "NULL"),
        (b'{"pk":{"S":"a"},"sk":{"S":"b"},"message_group_uuid":{"N":"1"}}', "not a string"),
        (b'{"pk":{"S":"a"},"sk":{"S":"' + b"x" * 1025 + b'"}}', "more than 1,024 bytes"),
        (b'{"pk":{"S":"a"},"sk":{"S":"b"},"m":{"S":"' + b"x" * 410_000 + b'"}}', "makes an item of 410,"),
        (b'{"pk":{"S":"a"},"sk":{"S":"b"},"l":' + b'{"L":[' * 40 + b"]}" * 40 + b"}", "levels deep"),
        (b"[" * 100_000, "is not JSON"),
    ],
)
def test_a_malformed_line_is_named(line: bytes, why: str) -> None:
    good = formats.encoder(Format.JSONL)(KEYS)
    with pytest.raises(BadLine, match=why) as caught:
        lines(b"\xef\xbb\xbf" + good + b"\n" + line + b"\n" + good, Format.JSONL)
    assert caught.value.number == 3


def test_csv_holds_an_item_with_a_cell_in_every_column() -> None:
    item = {**message_row("2026", "hello"), "message_group_uuid": {"S": "g"}}
    content = formats.header(Format.CSV) + formats.encoder(Format.CSV)(item)
    assert b",," not in content
    assert lines(content, Format.CSV) == [item]


def test_a_csv_row_that_makes_an_item_of_over_400_kb_is_refused() -> None:
    text = "😀" * 102_400
    content = formats.header(Format.CSV) + formats.encoder(Format.CSV)(message_row("2026", text))
    with pytest.raises(BadLine, match="makes an item of 410,"):
        lines(content, Format.CSV)


def test_a_malformed_first_line_is_named_like_others() -> None:
    with pytest.raises(BadLine, match="line 1 is not JSON"):
        lines(b"nonsense\n", Format.JSONL)


def test_a_line_of_dynamodb_s_export_is_an_item_in_an_object() -> None:
    with pytest.raises(BadLine, match=r'line 1 is not \{"Item": …\}, as DynamoDB exports it'):
        lines(json.dumps(KEYS).encode(), Format.DYNAMODB_JSON)


@pytest.mark.parametrize("format", [Format.JSONL, Format.DYNAMODB_JSON])
@pytest.mark.parametrize("indent", [None, 4])
def test_the_output_of_aws_scan_is_refused_with_the_command_that_converts_it(
    format: Format, indent: int | None
) -> None:
    for answer, way in (({"Items": [KEYS], "Count": 1}, "jq -c '.Items[]' FILE |"), ([KEYS], "jq -c '.[]' FILE |")):
        with pytest.raises(BadLine, match="a line of its own") as caught:
            lines(json.dumps(answer, indent=indent).encode(), format)
        assert caught.value.number == 1
        assert way in (caught.value.advice or "")


@pytest.mark.parametrize(
    ("content", "number", "why"),
    [
        ("pk,sk,likes\na,b,1\n", 1, "unknown: 'likes'"),
        ("pk,message\na,b\n", 1, "missing: sk"),
        ("pk,sk,sk\na,b,c\n", 1, "one occurs twice"),
        ('pk,sk,message\na,b,"x\ny"\na,c\n', 4, "2 cells, but the header has 3"),
        ('pk,sk,message\na,b,"x\ny', 2, "is not CSV"),
        ("pk,sk,message\na,,x\n", 2, "has no sk"),
    ],
)
def test_a_malformed_csv_is_named_by_the_line_that_begins_it(content: str, number: int, why: str) -> None:
    with pytest.raises(BadLine, match=why) as caught:
        lines(content.encode(), Format.CSV)
    assert caught.value.number == number


def test_a_line_without_end_is_not_read_to_its_end() -> None:
    class Endless(io.RawIOBase):
        given = 0

        def readable(self) -> bool:
            return True

        def readinto(self, buffer: Any) -> int:
            self.given += len(buffer)
            buffer[:] = b"x" * len(buffer)
            return len(buffer)

    endless = Endless()
    with pytest.raises(BadLine, match="longer than 8,388,608 bytes"):
        list(formats.lines(io.BufferedReader(endless), Format.JSONL))
    assert endless.given < 2 * formats.LINE_LIMIT


def test_items_are_equal_if_they_are_equal_for_dynamodb() -> None:
    one = {**KEYS, "n": {"N": "1"}, "s": {"NS": ["1", "2"]}, "l": {"L": [{"M": {"x": {"N": "10"}}}]}}
    other = {**KEYS, "n": {"N": "1.0"}, "s": {"NS": ["2.0", "1"]}, "l": {"L": [{"M": {"x": {"N": "1E1"}}}]}}
    assert attribute_values.same(one, other)
    assert not attribute_values.same(one, {**other, "n": {"N": "2"}})
    assert not attribute_values.same({**KEYS, "x": {"SS": ["a"]}}, {**KEYS, "x": {"L": [{"S": "a"}]}})
    assert not attribute_values.same(one, KEYS)


@pytest.mark.parametrize(
    ("name", "format"),
    [
        ("a.jsonl", Format.JSONL), ("a.ndjson.gz", Format.JSONL), ("a.CSV", Format.CSV), ("a.csv.gz", Format.CSV),
        ("a.json.gz", Format.DYNAMODB_JSON), ("-", Format.JSONL), ("a", Format.JSONL), ("a.gz", Format.JSONL),
    ],
)  # fmt: skip
def test_the_format_is_guessed_from_the_name(name: str, format: Format) -> None:
    assert formats.guess(name) == format


def test_a_file_name_with_an_unsupported_suffix_is_refused() -> None:
    assert [formats.zipped(name) for name in ("a.jsonl.gz", "A.CSV.GZ", "a.csv", "-", "gz")] == [
        True,
        True,
        *[False] * 3,
    ]
    for suffix in ("bz2", "xz", "zst", "zip", "PARQUET"):
        with pytest.raises(BadInput, match=f"a.jsonl.{suffix}: .{suffix.lower()} is not supported") as caught:
            formats.zipped(f"a.jsonl.{suffix}")
        assert caught.value.hint and caught.value.hint.startswith("a.jsonl.gz, or - and")


@pytest.mark.parametrize("start", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1"])
def test_a_cell_that_a_spreadsheet_would_run_is_escaped_on_request(start: str) -> None:
    item = message_row("2026", f'{start},"x"')
    plain, escaped = (formats.encoder(Format.CSV, escape_formulas=each)(item).decode() for each in (False, True))
    cells = next(csv.reader([escaped], strict=True))
    assert f'\'{start},"x"' in cells
    assert next(csv.reader([plain], strict=True)) == [cell.removeprefix("'") for cell in cells]
    other = message_row("2026", "a=b")
    assert formats.encoder(Format.CSV, escape_formulas=True)(other) == formats.encoder(Format.CSV)(other)
