"""Private runs by noisy counts: what is counted, and the private synthetic table that is drawn from the counts."""
