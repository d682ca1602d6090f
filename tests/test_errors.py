"""Each kind of error has the exit code and the code word that scripts rely on."""

from __future__ import annotations

import pytest

from cruddur_cli import errors
from cruddur_cli.errors import CruddurError, Exit


@pytest.mark.parametrize(
    ("kind", "exit_code", "code"),
    [
        (errors.Incomplete, 1, "incomplete"),
        (errors.BadInput, 2, "usage"),
        (errors.NotConfigured, 3, "not_configured"),
        (errors.CannotConnect, 4, "cannot_connect"),
        (errors.Refused, 5, "refused"),
        (errors.NotFound, 5, "not_found"),
        (errors.Protected, 6, "not_confirmed"),
    ],
)
def test_the_exit_codes_are_those_of_the_contract(kind: type[CruddurError], exit_code: int, code: str) -> None:
    error = kind("It failed.")
    assert (int(error.exit_code), error.code, str(error)) == (exit_code, code, "It failed.")


def test_a_code_given_to_one_error_does_not_stick_to_its_kind() -> None:
    assert errors.NotFound("No table.", code="table_not_found").code == "table_not_found"
    assert errors.NotFound("Nothing.").code == "not_found"


def test_success_is_zero_and_an_interrupt_is_130() -> None:
    assert (int(Exit.DONE), int(Exit.INTERRUPTED)) == (0, 130)
