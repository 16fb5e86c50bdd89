"""Training: the loop, checkpoints and logs, one job a model, here or on the nodes of a Ray cluster."""
