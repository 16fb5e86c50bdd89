"""How long `evaluate` takes: `python -m benchmarks.evaluation.run CAPTURE`."""
