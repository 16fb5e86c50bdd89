"""Private runs by gradients: DP-SGD with exact clipping per unit."""
