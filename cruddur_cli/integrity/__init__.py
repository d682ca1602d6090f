"""Checks that the data in each store is right, and that the stores agree. Pure: it gets what was read."""
