"""The generator that learns metadata and records by likelihood and samples them column by column."""
