"""Every check declares all its fields."""

from __future__ import annotations

from cruddur_cli.audit.checks import CHECKS
from cruddur_cli.audit.model import SEVERITIES


def test_every_check_is_declared_whole() -> None:
    for check in CHECKS:
        assert check.severity in SEVERITIES
        assert check.controls
        assert check.decide.__doc__
        assert check.permissions
        assert check.title[0].isupper()
    assert len({check.name for check in CHECKS}) == len(CHECKS)
