"""Text that a terminal cannot mistake for a command."""

from __future__ import annotations

import re

# C0 and C1 controls, DEL, and the marks that change the direction of what follows them.
_CONTROLS = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\u2028\u2029\ud800-\udfff]")


def printable(text: str, *, keep: str = "") -> str:
    """``text`` with every control character shown as a picture of itself, except those in ``keep``."""

    def picture(found: re.Match[str]) -> str:
        char = found[0]
        if char in keep:
            return char
        code = ord(char)
        if code < 0x20:
            return chr(0x2400 + code)
        return "\u2421" if code == 0x7F else f"<{code:02X}>"

    return _CONTROLS.sub(picture, text)


def one_line(text: str) -> str:
    """``text`` on one line: line ends become a visible sign, other controls as in ``printable``."""
    return printable(text.replace("\r\n", "\n").replace("\n", " ⏎ "))
