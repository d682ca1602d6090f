"""The folder of a run is created on first use, locked while a process lives, and not taken from another user."""

from __future__ import annotations

from pathlib import Path

import pytest

from cruddur_cli.pytest_plugin.run import Run, Stores, Unavailable, new_folder


def test_a_folder_is_named_and_not_created(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    place = tmp_path / "place"
    place.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(place))
    assert new_folder() != new_folder()
    assert list(place.iterdir()) == []


def test_ending_a_run_that_created_nothing_is_not_an_error(tmp_path: Path) -> None:
    Run(tmp_path / "base" / "run", "/nonexistent/cruddur", tmp_path, owner=True).end()


def test_the_folder_of_another_user_is_refused(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "base").symlink_to(tmp_path / "other")
    run = Run(tmp_path / "base" / "run", "/nonexistent/cruddur", tmp_path, owner=True)
    with pytest.raises(Unavailable, match="belongs to another user"):
        run.stores(None)
    assert list((tmp_path / "other").iterdir()) == []


def test_a_worker_does_not_end_the_run(tmp_path: Path) -> None:
    folder = tmp_path / "base" / "run"
    with pytest.raises(Unavailable):
        Run(folder, "/nonexistent/cruddur", tmp_path, owner=False).stores("gw0")
    Run(folder, "", tmp_path, owner=False).end()
    assert folder.exists()
    Run(folder, "", tmp_path, owner=True).end()
    assert not folder.exists()


def test_the_text_of_stores_has_no_password() -> None:
    stores = Stores(
        {
            "CONNECTION_URL": "postgresql://a:secret@127.0.0.1/b",
            "AWS_ENDPOINT_URL_DYNAMODB": "http://127.0.0.1:1",
            "DDB_MESSAGE_TABLE": "t",
        }
    )
    assert "secret" not in repr(stores)
    assert "127.0.0.1:1" in repr(stores)
