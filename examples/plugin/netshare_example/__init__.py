"""A generator, a reader and a metric for netshare, each declared by an entry point in pyproject.toml."""
