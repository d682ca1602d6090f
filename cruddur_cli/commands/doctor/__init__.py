"""``cruddur doctor``: finds what is wrong in the stores, and names the command that fixes it."""
