"""The embedded stack: a PostgreSQL and an AWS emulator on this machine, for people without either."""
