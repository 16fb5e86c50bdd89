"""Row bootstrap: training records drawn again, with replacement.

The yardstick for every metric that rewards copying; it gives away all that it has seen.
"""

from __future__ import annotations

import torch

from netshare.baselines.base import check_width
from netshare.baselines.rows import RowBaseline, rows_of
from netshare.preprocess.encoded import Encoded


class RowBootstrap(RowBaseline):
    """Keeps the training rows."""

    max_updates = 1

    def measure(self, data: Encoded) -> dict[str, torch.Tensor]:
        """The rows themselves."""
        return {"rows": rows_of(data)}

    def build(self) -> dict[str, torch.nn.Module]:
        """No networks; refuses rows of another schema."""
        check_width(self.fitted["rows"], len(self.columns))
        return {}

    def update(self) -> dict[str, float]:
        """Nothing is left to do."""
        return {"records": float(len(self.fitted["rows"]))}

    def sample_rows(self, n: int, random: torch.Generator) -> torch.Tensor:
        """Rows drawn with replacement."""
        rows = self.fitted["rows"]
        return rows[torch.randint(len(rows), (n,), generator=random)]
