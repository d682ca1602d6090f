"""A whole Cruddur in this process, as the tests of the commands have it."""

from tests.commands.conftest import here, table
from tests.integrity.doctored import demo_pool, pooled, world

__all__ = ["demo_pool", "here", "pooled", "table", "world"]
