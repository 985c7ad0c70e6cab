"""The built-in functions, by family."""
