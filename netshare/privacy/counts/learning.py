"""Learning by noisy counts: the input is counted once, and all else is done with a table drawn from the counts.

Private: the training records, which `table` counts. Public: everything else that is looked at.

| what depends on the input otherwise | in such a run |
|---|---|
| which records are learnt from | those within declared bounds, unit by unit |
| chunks, encodings, models, early stopping, volumes | the private synthetic table, drawn from noisy counts: post-processing |
| conventions that repair respects, how packets follow one another | the public trace's |
| real five-tuples or addresses to avoid | not used |

So any generator can be trained, with all that it does without privacy (validation, interpolation, calibration), at no
cost.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from netshare.config.schema import Config
from netshare.console import Console
from netshare.evaluation import Report
from netshare.preprocess.codec import Codec
from netshare.preprocess.trace import Trace
from netshare.privacy.accounting.plan import make_plan
from netshare.privacy.counts import CountingNoise, Window, draw_private_table
from netshare.privacy.declared import NOT_COUNTED, Declared, report_left_out
from netshare.privacy.release_notes import mark_private, write_ledger, write_statement
from netshare.privacy.units import bounded
from netshare.recipe.learning import PlainLearning, section_json
from netshare.recipe.preparation import Prepared, Split, prepare_trace
from netshare.seeds import derive_seed


class CountsLearning:
    """See `netshare.recipe.learning.TraceLearning`."""

    draws_table = True
    looks: tuple[str, ...] = ("table",)

    def __init__(self, config: Config) -> None:
        self.config = config
        self.declared = Declared(config)
        self.from_table = PlainLearning(config)

    def settings(self, step: str) -> list[Any]:
        """See `TraceLearning.settings`.

        The input is counted again only where the counts would be others: not for another seed, or another evaluation.
        Which flows are held back is settled with the first reading, since to hold back others is to count others.
        """
        config = self.config
        if step == "trace":
            return []
        if step == "table":
            seed = [] if config.privacy.secure_rng else [config.seed]  # the noise follows from it
            own = [section_json(config.privacy, but=set(NOT_COUNTED)), self.declared.flow_key, *seed]
            return ["noisy counts", *own, self.declared.public_fingerprints()]
        return self.from_table.settings(step)

    def split(self, trace: Trace) -> Split[Trace]:
        """See `Declared.split`."""
        return self.declared.split(trace)

    def charge(self, step: str, look: str, data: Trace, console: Console) -> None:
        """See `Declared.charge`."""
        self.declared.charge(look, data, make_plan(self.config).mechanisms, console)

    def table(self, data: Split[Trace], console: Console) -> Trace:
        """The training records -> noisy counts -> the private synthetic table."""
        config, plan, public = self.config, make_plan(self.config), self.declared.public_trace()
        console.show(plan.text())
        limits = config.privacy.bounds
        assert limits.seconds is not None
        window = Window(limits.begin_ns, max(1, round(limits.seconds * 1e9)))
        bounds = self.declared.unit_bounds()
        kept = bounded(data.train, window.plan, bounds)
        report_left_out(len(data.train) - len(kept), len(data.train), console)
        noise = CountingNoise(plan.noise_multiplier, plan.counts_sensitivity, self.declared.randomness("counts"))
        seed = derive_seed(config.seed, "stand-in")
        return draw_private_table(data.train, public, window=window, bounds=bounds, noise=noise, seed=seed)

    def prepare(self, data: Split[Trace], console: Console) -> Prepared[Codec]:
        """Chunks and series of the table; what is released follows the public trace."""
        return prepare_trace(data, self.config, self.declared.reference(self.declared.public_trace()))

    def load(self, folder: Path) -> Prepared[Codec]:
        """See `TraceLearning.load`."""
        return self.from_table.load(folder)

    def train(self, prepared: Prepared[Codec], folder: Path, key: str, console: Console) -> None:
        """Models of the table, and the ledger."""
        self.from_table.train(prepared, folder, key, console)
        write_ledger(self.config, self.declared, folder)

    def documents(self, run_folder: Path) -> None:
        """The guarantee in words."""
        write_statement(run_folder)

    def mark(self, report: Report, run_folder: Path) -> Report:
        """See `mark_private`."""
        return mark_private(report, run_folder)
