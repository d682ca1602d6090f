"""Runs the embedded stack, a PostgreSQL and an AWS emulator on this machine."""
