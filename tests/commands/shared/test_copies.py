"""`db release-copy`: a copy of production is released, production itself never is."""

from __future__ import annotations

import pytest

from tests.commands.conftest import Here
from tests.commands.marked import is_marked


def test_a_copy_of_production_is_told_how_to_release_it_and_then_takes_writes(here: Here, copied: str) -> None:
    refused = here("db", "add-user", "mira")
    assert refused.code == 6
    assert "next: if this is a copy of production: cruddur db release-copy" in refused.err
    assert here("db", "release-copy", "--dry-run").code == 0
    assert here("db", "release-copy").code == 6
    assert is_marked(copied)
    assert here("db", "release-copy", "--yes").code == 0
    assert not is_marked(copied)
    assert here("db", "add-user", "mira").code == 0
    again = here("db", "release-copy", "--yes")
    assert (again.code, "nothing was changed" in again.err) == (0, True)


def test_the_server_of_production_releases_nothing(here: Here, copied: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROD_CONNECTION_URL", copied.replace("127.0.0.1", "localhost"))
    for arguments in (("--yes",), ("--confirm", copied.rpartition("/")[2]), ("--prod", "--yes")):
        assert here("db", "release-copy", *arguments).code == 6
    assert is_marked(copied)
