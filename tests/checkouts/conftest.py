"""Commands in this very process."""

from tests.commands.conftest import here

__all__ = ["here"]
