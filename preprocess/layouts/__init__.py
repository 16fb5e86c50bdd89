"""What the columns of tables of records mean, whatever file or data frame they stand in: known layouts, and mappings that a
user gives."""
