"""The statistics of a table, drawn in any width."""

from __future__ import annotations

import sys

import pytest

from cruddur_cli.dynamodb.stats import Entity, Partition, Stats
from cruddur_cli.output import charts, streams
from tests.output.widths import SUB, fits


@pytest.mark.parametrize("columns", range(40, 100, 4), indirect=True)
def test_statistics_break_no_word_and_no_number_in_any_width(columns: int, capsys: pytest.CaptureFixture[str]) -> None:
    found = Stats(
        entities=[Entity("message groups", 2, 720, 360, 0.5, 4.0), Entity("messages", 33_391, 9_136_809, 274, 1e6, 1)],
        partitions=[Partition(f"MSG#{SUB}", 33_391, 9_136_809, 0), Partition(f"GRP#{SUB}", 1, 357, 0)],
        partitions_approximate=False, days={"2026-11-20": 33_391}, earlier=0, years={"2026": 33_391}, timeless=1,
        lonely_rows=0, lonely_approximate=False, lonely=[],
    )  # fmt: skip
    charts.draw_stats(streams.console(sys.stdout), found, capacity="what the units mean")
    shown = capsys.readouterr().out
    fits(shown, columns)
    for text in ("average", "33,391 items, 9,136,809 bytes", "1 item, 357 bytes", "1,000,000"):
        assert text in " ".join(shown.split())
    assert "1 message has" in " ".join(shown.split())


@pytest.mark.parametrize("columns", [40, 80], indirect=True)
def test_days_without_messages_are_one_line_and_numbers_are_aligned(
    columns: int, capsys: pytest.CaptureFixture[str]
) -> None:
    days = {"2026-11-01": 7, "2026-11-02": 1_204, "2026-11-04": 30, "2026-11-20": 1}
    found = Stats(
        entities=[], partitions=[], partitions_approximate=False, days=days, earlier=0, years={"2026": 1_242},
        timeless=0, lonely_rows=None, lonely_approximate=False, lonely=[],
    )  # fmt: skip
    charts.draw_stats(streams.console(sys.stdout), found, capacity="")
    lines = [line for line in fits(capsys.readouterr().out, columns) if line.startswith(("2026-11", "…"))]
    assert [line.split()[-1] for line in lines] == ["7", "1,204", "0", "30", "messages", "1"]
    assert lines[4] == f"{'…':<10}  15 days without messages"
    assert {len(line) for line in lines if not line.startswith("…")} == {len(lines[1])}
