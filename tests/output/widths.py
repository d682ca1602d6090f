"""A check that lines fit a width, and an id of wide characters."""

from __future__ import annotations

SUB = "bb92687b-04c2-43ad-8fc7-d9ddf5c62b1e"


def fits(shown: str, columns: int) -> list[str]:
    lines = shown.splitlines()
    assert not [line for line in lines if len(line.rstrip()) > columns]
    return lines
