"""The papers' downstream questions on public traces: `python -m benchmarks.papers.run`; read docs/reproduction.md."""
