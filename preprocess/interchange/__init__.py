"""The columns of a trace as other libraries' tables, and back: pandas data frames (`frames`), Arrow (`arrow_tables`).

These modules know columns, not traces: `netshare.preprocess.trace.Trace` has the methods that use them.
"""
