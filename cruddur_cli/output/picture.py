"""What a terminal shows, as a picture: an SVG that needs no font from elsewhere."""

from __future__ import annotations

import functools
import html
import io
import os
import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rich.cells import cell_len
from rich.console import Console
from rich.terminal_theme import TerminalTheme

from ..errors import Again, BadInput, Incomplete
from .streams import columns

STDOUT = "-"
_WIDEST = 120  # columns
_ASPECT = 0.6  # of a column in the fonts of the frame; rich's own is for another font


def _theme(background: str, foreground: str, normal: str, bright: str) -> TerminalTheme:
    """A theme of hexadecimal colours; ``normal`` and ``bright`` have the eight colours of ANSI in their order."""
    one, other, most, rest = (
        [(int(each[:2], 16), int(each[2:4], 16), int(each[4:], 16)) for each in text.split()]
        for text in (background, foreground, normal, bright)
    )
    return TerminalTheme(one[0], other[0], most, rest)


# What is one colour in one theme is one in the other: rich numbers the styles of a picture by their colours.
LIGHT = _theme(
    "ffffff",
    "14181d",
    "24292f c01c28 1a7f37 8a5a00 0550ae 8250df 0f6a73 59636e",
    "656d76 c01c28 1a7f37 8a5a00 0550ae 8250df 0f6a73 000000",
)
DARK = _theme(
    "181a1f",
    "dcdfe4",
    "7d8590 f07178 98c379 e5c07b 61afef c678dd 56b6c2 abb2bf",
    "8b949e f07178 98c379 e5c07b 61afef c678dd 56b6c2 ffffff",
)
# rich fills in the names in braces. Its own frame asks a content network for a font; this one takes the reader's.
# A rule of CSS is stronger than the colours that rich writes into the elements. What converts pictures may know no list
# of fonts and no @media: it gets the light colours, and a font by the name that all of them know.
_FRAME = """<svg class="rich-terminal" viewBox="0 0 {width} {height}" xmlns="http://www.w3.org/2000/svg">
<style>
.{unique_id}-matrix {{ font-family: monospace; font-size: {char_height}px; line-height: {line_height}px; }}
.{unique_id}-title {{ font-family: system-ui, sans-serif; font-size: 16px; }}
.{unique_id}-window > rect {{ stroke: #d0d7de; }}
{styles}
@media screen {{
.{unique_id}-matrix {{ font-family: ui-monospace, Menlo, Consolas, "DejaVu Sans Mono", monospace; }}
}}
@media (prefers-color-scheme: dark) {{
.{unique_id}-title {{ fill: %(foreground)s; }}
.{unique_id}-window > rect {{ fill: %(background)s; stroke: #444c56; }}
%(styles)s
}}
</style>
<g class="{unique_id}-window">
{chrome}
</g>
<g transform="translate({terminal_x}, {terminal_y})">
{backgrounds}
<g class="{unique_id}-matrix">
{matrix}
</g>
</g>
</svg>
"""
_NEEDLESS = re.compile(r'<text [^>]*>\n</text>| clip-path="url\(#[\w-]+\)"')
_TEXT = re.compile(r'textLength="([\d.]+)"([^>]*)>([^<]*)<')


class _Folded(Console):
    """A console that breaks each line that is too long: a terminal does so by itself; a picture would lose the rest."""

    def print(self, *objects: Any, **options: Any) -> None:
        super().print(*objects, **{**options, "soft_wrap": False})


def check(path: str, form: str) -> None:
    """Raise BadInput where no picture can be written, before a command begins. ``-`` is standard output."""
    if path == STDOUT:
        if form != "table":
            raise BadInput(f"--svg - and -o {form} both write to standard output.", again=Again(without=("-o",)))
        return
    place = _place(path)
    if place.is_dir() or not place.parent.is_dir():
        raise BadInput(f"--svg {path}: {'that is a folder' if place.is_dir() else 'its folder does not exist'}.")
    try:
        if place.is_file():
            place.open("ab").close()
        if _is_replaced(place):
            part = _part(place)
            part.open("xb").close()
            part.unlink()
    except OSError as error:
        raise _unwritable(path, error) from error


def save(path: str, title: str, draw: Callable[[Console], None]) -> None:
    """Write what ``draw`` draws on a terminal of this one's width, for light and dark pages.

    A picture that is there stays whole until the new one is. Raises Incomplete where the file cannot be written,
    because the command has done its work by then.
    """
    picture = _drawn(title, draw)
    if path == STDOUT:
        sys.stdout.write(picture)
        return
    place = _place(path)
    try:
        if not _is_replaced(place):
            place.write_text(picture, encoding="utf-8")
            return
        part = _part(place)
        try:
            with part.open("x", encoding="utf-8") as file:
                file.write(picture)
            if place.exists():
                shutil.copymode(place, part)
            part.replace(place)
        finally:
            part.unlink(missing_ok=True)
    except OSError as error:
        raise Incomplete(
            f"The command has done its work, but --svg {path} cannot be written: {error.strerror}.",
            hint="do not repeat the command for the picture alone",
        ) from error


def _drawn(title: str, draw: Callable[[Console], None]) -> str:
    width = min(columns(sys.stdout), _WIDEST)
    out = _Folded(
        record=True, file=io.StringIO(), force_terminal=True, color_system="truecolor", width=width, highlight=False,
        markup=False, emoji=False, legacy_windows=False,
    )  # fmt: skip
    draw(out)
    if not out.export_text(clear=False).strip():
        out.print("Nothing to show.", style="dim")
    export = functools.partial(out.export_svg, title=title, font_aspect_ratio=_ASPECT)
    dark = export(theme=DARK, code_format="{styles}", clear=False)
    frame = _FRAME % {
        "foreground": DARK.foreground_color.hex,
        "background": DARK.background_color.hex,
        "styles": dark.replace("{", "{{").replace("}", "}}"),
    }
    # The same text has the same id, which rich makes of it: a page may hold several pictures.
    # Each line fits, so nothing has to be clipped; rich clips the foot of the last line. It draws line ends, too.
    return _TEXT.sub(_as_wide_as_shown, _NEEDLESS.sub("", export(theme=LIGHT, code_format=frame)))


def _as_wide_as_shown(found: re.Match[str]) -> str:
    """A text with the width of its columns: rich gives a wide sign that of one column."""
    text = html.unescape(found[3])
    if not text or text.isascii() or cell_len(text) == len(text):
        return found[0]
    return f'textLength="{float(found[1]) / len(text) * cell_len(text):g}"{found[2]}>{found[3]}<'


def _place(path: str) -> Path:
    return Path(path).resolve()


def _part(place: Path) -> Path:
    """The file that is written, and then takes the place of the picture."""
    return place.with_name(f".cruddur-{os.getpid()}.svg")


def _is_replaced(place: Path) -> bool:
    """Whether the file is one that another can take the place of; a device or a pipe is not."""
    return place.is_file() or not place.exists()


def _unwritable(path: str, error: OSError) -> BadInput:
    return BadInput(f"--svg {path} cannot be written: {error.strerror}.")
