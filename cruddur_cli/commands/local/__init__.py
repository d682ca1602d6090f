"""``cruddur local``: manages the embedded stack, and runs programs that use it."""
