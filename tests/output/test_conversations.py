"""Conversations and items as a person reads them."""

from __future__ import annotations

import sys

import pytest

from cruddur_cli.dynamodb.conversations import queries
from cruddur_cli.output import streams
from cruddur_cli.output.conversations import draw_items
from tests.conftest import Run


def test_an_item_of_no_known_entity_reads_as_in_json(capsys: pytest.CaptureFixture[str]) -> None:
    values = {"pk": {"S": "LOG#1 \x1b[31m"}, "tiny": {"N": "1E-130"}, "raw": {"B": b"\x00"}, "no": {"NULL": True}}
    values |= {"yes": {"BOOL": True}, "numbers": {"NS": ["1", "2.5"]}}
    draw_items(streams.console(sys.stdout), [queries.decode(values)])
    shown = " ".join(capsys.readouterr().out.split())
    for said in ('"tiny": 1e-130', '"raw": "AA=="', '"no": null', '"yes": true', '"numbers": [1, 2.5]'):
        assert said in shown
    assert "\x1b" not in shown


def test_nothing_is_padded_to_a_width_in_a_pipe(cruddur: Run) -> None:
    cruddur("setup", "-q")
    lines = cruddur("ddb", "list-conversations").out.splitlines()
    assert lines[0].startswith("Andrew Bayko @bayko  ")
    assert not [line for line in lines if "   " in line or line.endswith(" ")]
