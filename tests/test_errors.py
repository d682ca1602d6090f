"""Each kind of error has the exit code and the code word that scripts rely on."""

from __future__ import annotations

import pytest

from cruddur_cli import errors
from cruddur_cli.dynamodb.transfer.importer import ItemRefused
from cruddur_cli.dynamodb.transfer.input_files import Place
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


def test_an_error_never_changes() -> None:
    error = errors.Refused("No.", fields={"line": 1})
    for name, value in (("message", "Yes."), ("hint", "x"), ("details", "x"), ("code", "x"), ("fields", {})):
        with pytest.raises(AttributeError, match="never changes"):
            setattr(error, name, value)
    with pytest.raises(TypeError):
        error.fields["line"] = 2  # type: ignore[index]
    assert (error.message, error.hint, error.code, dict(error.fields)) == ("No.", None, "refused", {"line": 1})


def test_context_is_added_by_another_error_of_the_same_kind() -> None:
    error = errors.NotFound("No table.", code="table_not_found", fields={"table": "a"})
    more = error.changed(message="No table at all.", hint="make one", fields={"line": 2})
    assert (type(more), str(more), more.hint) == (errors.NotFound, "No table at all.", "make one")
    assert (more.code, dict(more.fields)) == ("table_not_found", {"table": "a", "line": 2})
    assert (str(error), error.hint, dict(error.fields)) == ("No table.", None, {"table": "a"})
    with pytest.raises(TypeError, match="no hnit"):
        error.changed(hnit="x")


def test_attributes_of_a_subclass_are_copied_and_can_be_changed() -> None:
    error = ItemRefused(errors.Refused("no"), ("a", "b"), Place(0, 7), 3)
    more = error.changed(in_table=5)
    assert (more.place, more.in_table, error.in_table) == (Place(0, 7), 5, 3)


def test_success_is_zero_and_an_interrupt_is_130() -> None:
    assert (int(Exit.DONE), int(Exit.INTERRUPTED)) == (0, 130)
