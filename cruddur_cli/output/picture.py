"""What a terminal shows, as a picture: an SVG that needs no font from elsewhere."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from pathlib import Path

from rich.console import Console
from rich.terminal_theme import TerminalTheme

from ..errors import Again, BadInput
from .streams import columns

STDOUT = "-"
_LINES = 36  # of text that a picture is at least as wide as
_WIDEST = 120  # columns
_THEME = TerminalTheme(
    (24, 26, 31),
    (220, 223, 228),
    [(24, 26, 31), (224, 108, 117), (152, 195, 121), (229, 192, 123), (97, 175, 239), (198, 120, 221), (86, 182, 194),
     (171, 178, 191)],
    [(92, 99, 112), (224, 108, 117), (152, 195, 121), (229, 192, 123), (97, 175, 239), (198, 120, 221), (86, 182, 194),
     (255, 255, 255)],
)  # fmt: skip
# rich fills in the names in braces. Its own frame asks a content network for a font; this one takes the reader's.
_FRAME = """<svg class="rich-terminal" viewBox="0 0 {width} {height}" xmlns="http://www.w3.org/2000/svg">
<style>
.{unique_id}-matrix {{ font-family: ui-monospace, Menlo, Consolas, "DejaVu Sans Mono", monospace;
  font-size: {char_height}px; line-height: {line_height}px; }}
.{unique_id}-title {{ font-family: system-ui, sans-serif; font-size: 16px; }}
{styles}
</style>
<defs>
<clipPath id="{unique_id}-clip-terminal">
<rect x="0" y="0" width="{terminal_width}" height="{terminal_height}" />
</clipPath>
{lines}
</defs>
{chrome}
<g transform="translate({terminal_x}, {terminal_y})" clip-path="url(#{unique_id}-clip-terminal)">
{backgrounds}
<g class="{unique_id}-matrix">
{matrix}
</g>
</g>
</svg>
"""


def check(path: str, form: str) -> None:
    """Raise BadInput where no picture can be written, before a command begins. ``-`` is standard output."""
    if path == STDOUT:
        if form != "table":
            raise BadInput(f"--svg - and -o {form} both write to standard output.", again=Again(without=("-o",)))
        return
    place = Path(path)
    if place.is_dir() or not place.parent.is_dir():
        raise BadInput(f"--svg {path}: {'that is a folder' if place.is_dir() else 'its folder does not exist'}.")


def save(path: str, title: str, draw: Callable[[Console], None]) -> None:
    """Write what ``draw`` draws on a terminal of this one's width. Raises BadInput where the file cannot be written."""
    width = min(columns(sys.stdout), _WIDEST)
    out = Console(
        record=True, file=io.StringIO(), force_terminal=True, color_system="truecolor", width=width, highlight=False,
        markup=False, emoji=False, legacy_windows=False,
    )  # fmt: skip
    draw(out)
    picture = out.export_svg(title=title, theme=_THEME, code_format=_FRAME, unique_id="cruddur")
    if path == STDOUT:
        sys.stdout.write(picture)
        return
    try:
        Path(path).write_text(picture, encoding="utf-8")
    except OSError as error:
        raise BadInput(f"--svg {path} cannot be written: {error.strerror}.") from error
