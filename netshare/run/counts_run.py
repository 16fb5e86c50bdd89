"""A private run by noisy counts: the input is counted once, and everything else is done with a trace drawn from the counts.

| what depends on the input otherwise | in such a run |
|---|---|
| which records are learnt from | those within declared bounds, unit by unit |
| chunks, encodings, models, early stopping, volumes | the stand-in trace, drawn from noisy counts: post-processing |
| conventions that repair respects, how packets follow one another | the public trace's |
| real five-tuples or addresses to avoid | not used |

So any generator can be trained, with all that it does without privacy (validation, recall, calibration), at no cost.
"""

from __future__ import annotations

import json

from netshare.preprocess import Trace
from netshare.preprocess.atomic import write_text
from netshare.preprocess.parquet import load_parquet, save_parquet
from netshare.privacy.accounting import LEDGER, make_ledger, make_plan, statement
from netshare.privacy.counts import CountingNoise, Window, draw_private_table
from netshare.privacy.public import check_different
from netshare.privacy.units import UnitBounds, bounded
from netshare.run.folder import fingerprint
from netshare.run.gradients_run import PrivateRun
from netshare.run.stages import Run, plain
from netshare.seeds import derive_seed

STAND_IN = "standin"


class MarginalRun(PrivateRun):
    """The stages of one private run by noisy counts."""

    def learnt(self, part: str) -> Trace:
        """The stand-in, whichever part of the input it stands for."""
        return load_parquet(self.folder.path / STAND_IN / "standin.parquet")

    def volumes(self) -> dict[int, int] | None:
        """Records that generation should reach: the stand-in's."""
        return Run.volumes(self)

    def chunks(self, before: str) -> str:
        """The training records -> noisy counts -> a stand-in trace -> its chunks."""
        return Run.chunks(self, self._stand_in(before))

    def train(self, before: str) -> str:
        """Models of the stand-in, and the ledger."""
        config = self.config
        key = Run.train(self, before)
        ledger = make_ledger(config, make_plan(config), self._public_fingerprints(), self._flow_key())
        write_text(self.folder.path / "models" / LEDGER, json.dumps(ledger.to_json(), indent=1))
        write_text(self.folder.path / "PRIVACY.txt", statement(ledger, self.folder.path.name) + "\n")
        return key

    def _stand_in(self, before: str) -> str:
        config = self.config
        settings = [plain(config.privacy), plain(config.fields), config.seed]
        key = fingerprint("private counts", before, settings, self._public_fingerprints())
        plan = make_plan(config)
        with self._stage(STAND_IN, key, "counting flows, privately") as work:
            if work is not None:
                self.console.show(plan.text())
                private, public = self.real("train"), self._public()
                check_different(public, self.real("full"))
                limits = config.privacy.bounds
                assert limits.seconds is not None
                window = Window(limits.begin_ns, max(1, round(limits.seconds * 1e9)))
                bounds = UnitBounds(
                    self._flow_key(),
                    limits.max_records,
                    hosts=self._hosts(),
                    max_flows=config.privacy.max_flows_per_unit,
                )
                self._say_left_out(len(private) - len(bounded(private, window.plan, bounds)), len(private))
                noise = CountingNoise(plan.noise_multiplier, plan.counts_sensitivity, self._randomness("counts"))
                seed = derive_seed(config.seed, "stand-in")
                trace = draw_private_table(private, public, window=window, bounds=bounds, noise=noise, seed=seed)
                save_parquet(trace, work / "standin.parquet")
        return key
