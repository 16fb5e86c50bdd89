"""Where a config comes from: its schema, how it is loaded, its reference, and a starter for a given trace."""
