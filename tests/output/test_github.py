"""Annotations and the job summary, as the runner of GitHub Actions reads them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from cruddur_cli import output, settings
from cruddur_cli.errors import BadInput, Refused
from cruddur_cli.output import github
from cruddur_cli.settings import Settings


@dataclass(frozen=True)
class Row:
    handle: str
    messages: int


@dataclass(frozen=True)
class Annotation:
    """One annotation, as the runner reads it from a line of a step."""

    level: str
    properties: dict[str, str]
    message: str


def annotation(line: str) -> Annotation:
    """The annotation in a line. As in the runner, properties are unescaped after they are split, and % last."""
    head, _, data = line.removeprefix("::").partition("::")
    level, _, listed = head.partition(" ")
    pairs = dict(part.split("=", 1) for part in listed.split(","))
    signs = {"%0D": "\r", "%0A": "\n", "%3A": ":", "%2C": ",", "%25": "%"}

    def plain(text: str, codes: list[str]) -> str:
        for code in codes:
            text = text.replace(code, signs[code])
        return text

    properties = {name: plain(value, ["%0D", "%0A", "%3A", "%2C", "%25"]) for name, value in pairs.items()}
    return Annotation(level, properties, plain(data, ["%0D", "%0A", "%25"]))


@pytest.fixture(autouse=True)
def job(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """A step of a job: its checkout is the current folder; the file of its summary is returned."""
    summary = tmp_path / "summary.md"
    checkout = tmp_path / "checkout"
    checkout.mkdir()
    monkeypatch.chdir(checkout)
    for name, value in {"ACTIONS": "true", "WORKSPACE": str(checkout), "STEP_SUMMARY": str(summary)}.items():
        monkeypatch.setenv(f"GITHUB_{name}", value)
    settings.keep_environment()
    github.begin()
    yield summary
    monkeypatch.undo()
    settings.keep_environment()


def wanting(**options: object) -> Settings:
    return settings.load({"summary": True, "command": "cruddur ddb scan", **options})


def test_special_characters_of_a_message_and_its_properties_are_escaped(capsys: pytest.CaptureFixture[str]) -> None:
    folder = Path("a, b")
    folder.mkdir()
    (folder / "100%.sql").touch()
    message = "100% of:\r\n a, b\nc %0A"
    github.annotate(message, title="cruddur: x, 5%\ny", file="a, b/100%.sql", line=7)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    properties = {"file": "a, b/100%.sql", "line": "7", "title": "cruddur: x, 5%\ny"}
    assert annotation(captured.err[:-1]) == Annotation("error", properties, message)


def test_a_path_begins_at_the_workspace_from_any_folder(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "checkout" / "db").mkdir()
    (tmp_path / "checkout" / ".git").mkdir()
    (tmp_path / "checkout" / "db" / "x.sql").touch()
    (tmp_path / "outside.sql").touch()
    monkeypatch.chdir(tmp_path / "checkout" / "db")
    for workspace in (str(tmp_path / "checkout"), "", str(tmp_path / "elsewhere")):
        monkeypatch.setenv("GITHUB_WORKSPACE", workspace)
        settings.keep_environment()
        for file in ("x.sql", str(tmp_path / "checkout" / "db" / "x.sql")):
            github.annotate("m", title="t", file=file, line=1)
            assert annotation(capsys.readouterr().err).properties["file"] == "db/x.sql"
    github.annotate("m", title="t", file=str(tmp_path / "outside.sql"), line=1)
    assert annotation(capsys.readouterr().err).properties["file"] == str(tmp_path / "outside.sql")


def test_standard_input_is_no_file_of_the_repository(capsys: pytest.CaptureFixture[str]) -> None:
    error = Refused("standard input, line 2: no.", fields={"file": "standard input", "line": 2}, hint="look")
    github.annotate_error(error, "cruddur db seed")
    found = annotation(capsys.readouterr().err[:-1])
    assert found.properties == {"title": "cruddur db seed"}
    assert found.message == "standard input, line 2: no.\nnext: look"


def test_an_error_without_a_file_and_a_machine_without_github_are_not_annotated(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    github.annotate_error(BadInput("no"), "cruddur")
    monkeypatch.setenv("GITHUB_ACTIONS", "false")
    settings.keep_environment()
    github.annotate("m", title="t")
    assert capsys.readouterr().err == ""


def test_the_summary_has_the_records_and_stdout_is_unchanged(job: Path, capsys: pytest.CaptureFixture[str]) -> None:
    s = wanting(output="jsonl")
    output.show(s, iter([Row("bay|ko", 2), Row("londo", 0)]), extra={"written": 2, "dry_run": True})
    github.append(s, 0)
    assert len(capsys.readouterr().out.splitlines()) == 2
    assert job.read_text(encoding="utf-8") == (
        "### ✅ `cruddur ddb scan`: done\n\nDry run: nothing was changed; written: 2.\n\n"
        "| handle | messages |\n| --- | --- |\n| bay\\|ko | 2 |\n| londo | 0 |\n\n"
    )


def test_a_result_is_appended_once_after_an_earlier_steps_result(job: Path) -> None:
    job.write_text("# earlier\n\n", encoding="utf-8")
    s = wanting()
    output.show(s, [Row("bayko", 1)])
    output.show(s, [Row("bayko", 1)])
    github.append(s, 1)
    github.append(wanting(command="cruddur ddb stats"), 0)
    text = job.read_text(encoding="utf-8")
    assert text.startswith("# earlier\n\n### ❌ `cruddur ddb scan`: exit code 1\n")
    assert text.count("bayko") == 1


def test_a_summary_names_how_many_records_it_leaves_out(job: Path) -> None:
    s = wanting(output="csv")
    output.show(s, (Row("x", number) for number in range(1000)))
    github.append(s, 0)
    text = job.read_text(encoding="utf-8")
    assert "The first 200 of 1,000." in text
    assert "| x | 199 |" in text
    assert "| x | 200 |" not in text


def test_long_records_stay_below_githubs_limit(job: Path) -> None:
    s = wanting(output="csv")
    output.show(s, (Row("x" * 400_000, number) for number in range(100)))
    github.append(s, 0)
    assert job.stat().st_size < 2**20
    assert "The first 0 of 100." in job.read_text(encoding="utf-8")


def test_a_failure_keeps_its_text_in_a_block(job: Path) -> None:
    github.append(wanting(), 5, Refused("no ``` <b>", details="a|b", hint="look"))
    assert "````text\nno ``` <b>\na|b\nnext: look\n````" in job.read_text(encoding="utf-8")


@pytest.mark.parametrize("place", ["", "missing/summary.md", "."])
def test_a_summary_that_cannot_be_written_is_a_warning(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], place: str
) -> None:
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", place)
    settings.keep_environment()
    github.append(wanting(), 0)
    assert capsys.readouterr().err.startswith("warning: ")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write every file")
def test_a_file_without_the_right_to_write_is_a_warning(job: Path, capsys: pytest.CaptureFixture[str]) -> None:
    job.touch(mode=0o400)
    github.append(wanting(), 0)
    assert "cannot be written" in capsys.readouterr().err


def test_nothing_is_written_where_no_summary_is_wanted(job: Path) -> None:
    s = settings.load({"command": "cruddur ddb scan"})
    output.show(s, [Row("bayko", 1)])
    github.append(s, 0)
    assert not job.exists()
