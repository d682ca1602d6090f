"""``python -m cruddur_cli``."""

from .cli.main import main

main()
