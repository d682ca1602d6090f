"""The picture of ``--svg``: the drawing of the terminal, which needs no other file."""

from __future__ import annotations

import io
import os
import re
from pathlib import Path
from xml.etree import ElementTree

import pytest
from rich.color import blend_rgb
from rich.console import Console
from rich.terminal_theme import TerminalTheme

from cruddur_cli.errors import BadInput, Incomplete
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


Colour = tuple[int, int, int]
STYLES = ["", "bold", "dim", "red", "green", "yellow", "cyan", "bold red", *(f"color({n})" for n in range(1, 16))]


def contrast(one: Colour, other: Colour) -> float:
    """The contrast of two colours, as WCAG 2 defines it."""

    def luminance(colour: Colour) -> float:
        parts = [part / 255 for part in colour]
        red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    darker, lighter = sorted((luminance(one), luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


@pytest.mark.parametrize("theme", [picture.LIGHT, picture.DARK], ids=["light", "dark"])
def test_every_colour_can_be_read_on_the_background(theme: TerminalTheme) -> None:
    background = theme.background_color
    assert contrast(theme.foreground_color, background) >= 7
    for number in range(16):
        assert contrast(theme.ansi_colors[number], background) >= 4.5, number
    assert contrast(blend_rgb(theme.foreground_color, background, 0.4), background) >= 3


def pictures(folder: Path) -> list[str]:
    """The names of all pictures in the folder, also of incomplete ones."""
    return [path.name for path in folder.iterdir() if path.suffix == ".svg"]


def rules(css: str) -> dict[str, str]:
    """The CSS rule of each class in a style."""
    return dict(re.findall(r"-(r\d+) \{ ([^}]*) \}", css))


def test_a_picture_has_the_colours_of_both_themes(tmp_path: Path) -> None:
    path = tmp_path / "x.svg"

    def draw(out: Console) -> None:
        for style in STYLES:
            out.print("word", style=style)

    picture.save(str(path), "cruddur", draw)
    light, _, dark = path.read_text(encoding="utf-8").partition("@media (prefers-color-scheme: dark)")
    for css, theme in ((light, picture.LIGHT), (dark, picture.DARK)):
        found = rules(css)
        out = Console(record=True, file=io.StringIO(), force_terminal=True, color_system="truecolor", width=80)
        draw(out)
        assert found == rules(out.export_svg(theme=theme))
        colours = [bytes.fromhex(rule[7:13]) for rule in found.values()]
        assert all(contrast((one[0], one[1], one[2]), theme.background_color) >= 4.5 for one in colours)
    assert rules(light).keys() == rules(dark).keys()
    for part in ("window > rect { fill: #181a1f", "title { fill: #dcdfe4"):
        assert part in dark
        assert part not in light


def test_two_pictures_on_one_page_share_no_name(tmp_path: Path) -> None:
    names = []
    for text in ("one", "two"):
        path = tmp_path / f"{text}.svg"
        picture.save(str(path), "cruddur", lambda out, text=text: out.print(text))  # type: ignore[misc]
        names.append(set(re.findall(r'id="([^"]+)"|\.([\w-]+) ', path.read_text(encoding="utf-8"))))
    assert names[0]
    assert not names[0] & names[1]


def test_a_line_that_a_terminal_breaks_by_itself_is_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x.svg"
    monkeypatch.setenv("COLUMNS", "40")
    words = " ".join(f"--option-{number}" for number in range(20))
    picture.save(str(path), "cruddur", lambda out: out.print(f"aws {words} {'x' * 90}", soft_wrap=True))
    shown = re.findall(r"<text [^>]*y=[^>]*>([^<]+)<", path.read_text(encoding="utf-8"))
    lines = [line.replace("&#160;", " ").rstrip() for line in shown]
    assert max(map(len, lines)) <= 40
    assert " ".join(lines[:-3]) == f"cruddur aws {words}"
    assert "".join(lines[-3:]) == "x" * 90


def test_a_picture_of_nothing_says_so(here: Here, tmp_path: Path) -> None:  # noqa: F811
    path = tmp_path / "x.svg"
    assert here("ddb", "list-backups", "--svg", str(path)).code == 0
    assert text_of(path).split()[-6:] == ["cruddur", "ddb", "list-backups", "Nothing", "to", "show."]


def test_a_wide_sign_has_the_room_of_two_columns(tmp_path: Path) -> None:
    path = tmp_path / "x.svg"
    picture.save(str(path), "cruddur", lambda out: out.print("ab\n你好"))
    widths = dict(re.findall(r'textLength="([\d.]+)"[^>]*>([^<]+)<', path.read_text(encoding="utf-8")))
    narrow, wide = ({text: float(width) for width, text in widths.items()}[text] for text in ("ab", "你好"))
    assert wide == 2 * narrow


def test_a_command_that_fails_leaves_the_older_picture(here: Here, tmp_path: Path) -> None:  # noqa: F811
    new, old = tmp_path / "new.svg", tmp_path / "old.svg"
    old.write_text("older", encoding="utf-8")
    for path in (new, old):
        assert here("ddb", "get-conversation", "--with", "nobody-of-this-name", "--svg", str(path)).code != 0
    assert pictures(tmp_path) == ["old.svg"]
    assert old.read_text(encoding="utf-8") == "older"


def test_a_picture_that_is_not_drawn_to_its_end_leaves_the_older_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "x.svg"
    path.write_text("older", encoding="utf-8")
    path.chmod(0o604)

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", fail)
        with pytest.raises(Incomplete, match=r"has done its work, but .* cannot be written: No space left on device"):
            picture.save(str(path), "cruddur", lambda out: out.print("newer"))
    assert (pictures(tmp_path), path.read_text(encoding="utf-8")) == (["x.svg"], "older")
    link = tmp_path / "link.svg"
    link.symlink_to(path.name)
    picture.save(str(link), "cruddur", lambda out: out.print("newer"))
    assert link.is_symlink()
    assert "newer" in path.read_text(encoding="utf-8")
    assert path.stat().st_mode & 0o777 == 0o604


def test_a_picture_goes_into_a_pipe_or_a_device(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    picture.check(str(pipe), "table")
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        picture.save(str(pipe), "cruddur", lambda out: out.print("drawn"))
        assert b"drawn" in os.read(reader, 65536)
    finally:
        os.close(reader)
    assert pipe.is_fifo()
    picture.check(os.devnull, "table")
    picture.save(os.devnull, "cruddur", lambda out: out.print("drawn"))
    assert not Path(os.devnull).is_file()


def test_a_folder_that_cannot_be_written_stops_the_command_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)  # not by its mode: root may write anywhere
    with pytest.raises(BadInput, match=r"x.svg cannot be written: Permission denied"):
        picture.check(str(tmp_path / "x.svg"), "table")


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
