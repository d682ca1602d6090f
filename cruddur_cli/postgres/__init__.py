"""Opens, changes and examines the user store, one PostgreSQL database."""
