"""Tables of flow records as canonical columns, whatever file or data frame they stand in: texts to values, the dialects, and
mappings that a user gives."""
