"""``cruddur local``: the embedded stack, and programs that use it."""
