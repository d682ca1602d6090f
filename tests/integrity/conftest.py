"""The fixtures of the commands' tests, for a whole Cruddur in this process."""

from tests.commands.conftest import here, table
from tests.integrity.doctored import demo_pool, pooled, world

__all__ = ["demo_pool", "here", "pooled", "table", "world"]
