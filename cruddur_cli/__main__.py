"""``python -m cruddur_cli``."""

from .cli import main

main()
