"""Every SQL statement, and the tables."""
