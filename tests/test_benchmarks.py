"""One command runs the benchmarks, and they measure something. The figures are not tested."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

RUN = Path(__file__).parent.parent / "benchmarks" / "run.py"


def test_a_part_can_be_run_alone_and_prints_each_ratio(environment: dict[str, str]) -> None:
    command = [sys.executable, str(RUN), "--quick", "--only", "help", "units"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode in {0, 1}, done.stderr  # 1: a bar was missed
    rows = re.findall(r"^\| (`.*?) \| ([\d,]+) \| (.*?) \| ([\d,]+) \| (\w+) \| ([\d.]+) \|", done.stdout, re.MULTILINE)
    assert [row[0] for row in rows] == ["`cruddur --help`", "`cruddur --version`", "`seed --messages 1000`"]
    assert all(float(row[5]) > 0 for row in rows)
    messages, least = (int(rows[2][number].replace(",", "")) for number in (1, 3))
    assert (least, messages >= least) == (1004, True)
