"""The program in this process, as the tests of the commands call it."""

from tests.commands.conftest import here  # noqa: F401
