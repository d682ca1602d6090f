"""``cruddur doctor``: what is wrong in the stores, and the command that fixes it."""
