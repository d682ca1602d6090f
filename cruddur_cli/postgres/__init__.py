"""The user store: one PostgreSQL database."""
