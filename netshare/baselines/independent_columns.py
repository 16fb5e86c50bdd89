"""Independent columns: every field drawn from its own distribution, without regard to the others.

What is left of a trace when all dependence is taken from it. Fields of several encoded columns (an address's bits) are
drawn as a whole.
"""

from __future__ import annotations

import torch

from netshare.baselines.base import field_groups
from netshare.baselines.row_bootstrap import RowBootstrap


class IndependentColumns(RowBootstrap):
    """Keeps the training rows, and draws every field of a new row from a training row of its own."""

    def sample_rows(self, n: int, random: torch.Generator) -> torch.Tensor:
        """Each field with replacement, on its own."""
        rows = self.fitted["rows"]
        drawn = rows.new_empty((n, rows.shape[1]))
        for columns in field_groups(self.schema).values():
            drawn[:, columns] = rows[torch.randint(len(rows), (n,), generator=random)][:, columns]
        return drawn
