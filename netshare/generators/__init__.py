"""Generators: models of P(metadata) x P(measurements | metadata) over encoded series.

`base` is the interface that all of them implement, `spec` what is declared of each kind, `registry` the kinds that there
are; each kind has a folder.
"""
