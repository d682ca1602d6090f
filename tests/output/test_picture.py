"""What ``--svg`` writes: the drawing of the terminal, complete in itself."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

from cruddur_cli.errors import BadInput
from cruddur_cli.output import picture
from tests.commands.conftest import Here, here  # noqa: F401 - a fixture


def text_of(path: Path) -> str:
    tree = ElementTree.fromstring(path.read_text(encoding="utf-8"))
    return " ".join(text.replace("\xa0", " ") for text in tree.itertext())


@pytest.mark.parametrize("form", ["table", "json", "jsonl", "csv", "markdown"])
def test_a_command_draws_what_a_terminal_shows_in_every_format(
    here: Here,  # noqa: F811
    tmp_path: Path,
    form: str,
) -> None:
    path = tmp_path / "config.svg"
    ran = here("config", "--svg", str(path), "-o", form)
    assert ran.code == 0, ran.err
    shown = text_of(path)
    for word in ("cruddur config", "setting", "connection_url"):
        assert word in shown


@pytest.mark.parametrize("form", ["table", "json", "jsonl", "csv", "markdown"])
def test_scan_draws_its_rows_in_every_format(here: Here, tmp_path: Path, form: str) -> None:  # noqa: F811
    path = tmp_path / "scan.svg"
    assert here("ddb", "setup").code == 0
    ran = here("ddb", "scan", "--svg", str(path), "-o", form)
    assert ran.code == 0, ran.err
    assert "Message groups" in text_of(path)


def test_a_picture_asks_no_server_for_anything(here: Here, tmp_path: Path) -> None:  # noqa: F811
    path = tmp_path / "config.svg"
    assert here("config", "--svg", str(path)).code == 0
    addresses = re.findall(r"(?:url\(|href=|@import)[^)>;]*", path.read_text(encoding="utf-8"))
    assert [one for one in addresses if not one.startswith("url(#")] == []


def test_text_that_looks_like_xml_stays_text(tmp_path: Path) -> None:
    path = tmp_path / "x.svg"
    picture.save(str(path), "cruddur <&>", lambda out: out.print("</text><script>alert(1)</script> & more"))
    assert "<script>" not in path.read_text(encoding="utf-8")
    assert "alert(1)" in text_of(path)


@pytest.mark.parametrize("place", ["missing/x.svg", "."])
def test_a_picture_that_cannot_be_written_stops_the_command_first(
    here: Here,  # noqa: F811
    place: str,
) -> None:
    ran = here("ddb", "schema-load", "--svg", place)
    assert ran.code == 2
    ran = here("ddb", "setup", "--svg", place)
    assert (ran.code, ran.out) == (2, "")
    assert "--svg" in ran.err
    assert here("ddb", "list-tables", "-o", "csv").out == "table_name\n" or "test-" not in ran.err
    with pytest.raises(BadInput):
        picture.check(place, "table")


def test_a_dash_prints_the_picture_and_nothing_else(here: Here, tmp_path: Path) -> None:  # noqa: F811
    before = set(Path.cwd().iterdir())
    ran = here("config", "--svg", "-")
    assert ran.code == 0
    assert ran.out.startswith("<svg ")
    assert ran.out.rstrip().endswith("</svg>")
    refused = here("config", "--svg", "-", "-o", "json")
    assert (refused.code, refused.out) == (2, "")
    assert "--svg - and -o json both write to standard output" in refused.err
    assert set(Path.cwd().iterdir()) == before


@pytest.mark.parametrize("form", ["table", "json"])
def test_a_set_up_draws_its_steps(here: Here, tmp_path: Path, form: str) -> None:  # noqa: F811
    path = tmp_path / "setup.svg"
    for line in (["setup"], ["db", "setup"]):
        assert here(*line, "--svg", str(path), "-o", form).code == 0
        shown = text_of(path)
        assert ("users: " in shown, "✓" in shown or "·" in shown) == (True, True), line
    assert here("db", "setup", "--svg", "-").out.startswith("<svg ")


@pytest.mark.parametrize("form", ["table", "jsonl"])
def test_a_stream_that_ends_is_drawn(here: Here, tmp_path: Path, form: str) -> None:  # noqa: F811
    path = tmp_path / "tail.svg"
    assert here("ddb", "setup", "--stream").code == 0
    assert here("ddb", "send-message", "--to", "bayko", "look at that").code == 0
    line = ["ddb", "stream", "tail", "--from", "oldest", "--svg", str(path), "-o", form]
    assert here(*line, "--once").code == 0
    assert "look at that" in " ".join(text_of(path).split())
    refused = here(*line)
    assert (refused.code, "--once" in refused.err) == (2, True)
