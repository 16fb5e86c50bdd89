"""Our default preset against every baseline, at the same CPU budget: `python -m benchmarks.compare.run`."""
