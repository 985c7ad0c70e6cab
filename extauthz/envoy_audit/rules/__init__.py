"""A rule per file."""
