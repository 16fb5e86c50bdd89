"""What every recipe does: data -> what is learnt from -> models -> synthetic data -> files and a report.

A recipe is for one kind of data: traces (`trace_recipe`), or time series that are none (`series_recipe`). It keeps nothing
between calls: the synthesizer holds what it makes in memory, a run in its folder, stage by stage. Both go through it, and
so does everything else that trains or samples.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TypeVar

from netshare.config.schema import Config
from netshare.console import Console
from netshare.recipe.fitting import Models
from netshare.recipe.flow_sampling import GenerationReport
from netshare.recipe.preparation import Prepared, Split

Data = TypeVar("Data")


@dataclass(frozen=True)
class Outcome:
    """What is known of a run when its result is judged, for the report.

    generation: what was asked for and what came of it
    training: by model, what training came to (`result.json`)
    repairs: by rule, as `netshare.postprocess.repair.RepairReport.rules`
    """

    generation: Mapping[str, Any] = field(default_factory=dict)
    training: Mapping[str, Any] = field(default_factory=dict)
    repairs: Mapping[str, Any] = field(default_factory=dict)


class AnyReport(Protocol):
    """An evaluation's report, of traces or of time series."""

    def summary(self) -> str:
        """The findings in plain text."""


class Recipe(Protocol[Data]):
    """See the module's docstring; `Data` is a `Trace` or a `TimeSeries`."""

    config: Config
    draws_table: bool
    """Whether what is learnt from is a table drawn from the data, as in private runs by noisy counts."""
    looks: tuple[str, ...]
    """Steps that look at the input under differential privacy; `charge` comes before each."""
    changes_when_finished: bool
    """Whether finished data are others than those decoded; `export` then writes them as `synthetic.parquet`, too."""

    def settings(self, step: str) -> list[Any]:
        """JSON-able values that a step's outcome depends on, beside those of the steps before it.

        Steps are `trace`, `table`, `chunks`, `models`, `generated`, `synthetic` and `report`.
        """

    def files(self) -> list[Path]:
        """The files that `read` reads."""

    def content_key(self, data: Data) -> str:
        """A fingerprint of data in memory."""

    def read(self) -> Data:
        """The config's input, not checked.

        Raises:
            InputError, ConfigError: it cannot be read.
        """

    def check(self, data: Data) -> None:
        """Refuse data that are not of the config's kind, or too few to learn from without copying them.

        Raises:
            ConfigError, InputError: what is wrong with them.
        """

    def describe(self, data: Data) -> list[str]:
        """What was read and what was not, a line each."""

    def split(self, data: Data) -> Split[Data]:
        """What is trained on and what is held back for the evaluation."""

    def charge(self, step: str, look: str, data: Data, console: Console) -> None:
        """Enter a step of `looks` in the budget of its input, before the step looks at it.

        Args:
            step: which.
            look: identity of the look, 32 hexadecimal digits; entered once, also where the step is interrupted and goes on.
            data: all of the input.
            console: told what is spent in all.

        Raises:
            ConfigError: the input's budget has no room for it.
        """

    def table(self, data: Split[Data], console: Console) -> Data:
        """The table to learn from in the data's place; called only where `draws_table` is true."""

    def prepare(self, data: Split[Data], console: Console) -> Prepared[Any]:
        """Chunks, codec and encoded series of what is learnt from: the data, or the table that was drawn.

        Raises:
            ConfigError, FieldError: it cannot be cut or encoded as asked, or its samples could not be written as asked.
        """

    def load_prepared(self, folder: Path) -> Prepared[Any]:
        """What `prepare` made, as saved in `folder`."""

    def train(self, prepared: Prepared[Any], folder: Path, key: str, console: Console) -> None:
        """Train all models in `folder`, or go on where an interrupted call under the same key was."""

    def sample(
        self,
        prepared: Prepared[Any],
        models: Models,
        *,
        count: int | None,
        given: Any,
        seed: int,
        console: Console,
    ) -> tuple[Data, GenerationReport]:
        """Synthetic data as decoded, not finished.

        Args:
            prepared, models: what was learnt.
            count: flows (of time series: series) to make; by default as many as the input has.
            given: what to make instead, as `read_given` takes it; None for new flows.
            seed: the same seed gives the same data.
            console: shown the progress.
        """

    def read_given(self, source: Any, prepared: Prepared[Any]) -> Any:
        """What a user wants made, from a file or a DataFrame, as `sample` takes it.

        Raises:
            InputError, ConfigError: it cannot be read, or nothing can be given for this kind of data.
        """

    def finish(self, data: Data, prepared: Prepared[Any]) -> tuple[Data, Mapping[str, Any]]:
        """Synthetic data as they are released, and the counts of repairs by rule."""

    def signed(self, data: Data, prepared: Prepared[Any], seed: int) -> Data:
        """Finished data that say which seed they were drawn with, and keep the layout of the input."""

    def save(self, data: Data, path: Path) -> None:
        """Write data to a file that `load` reads back as they are."""

    def load(self, path: Path) -> Data:
        """What `save` wrote."""

    def export(self, data: Data, prepared: Prepared[Any], folder: Path) -> None:
        """Write finished data into `folder` in every format of the config, as `synthetic.SUFFIX`."""

    def check_output(self, path: Path, prepared: Prepared[Any]) -> None:
        """Refuse a file name whose suffix names no format for finished data.

        Raises:
            InputError: which suffixes there are.
        """

    def write(self, data: Data, prepared: Prepared[Any], path: Path, *, seed: int) -> None:
        """Write finished data to one file, whose suffix says the format; a file that exists is replaced."""

    def evaluate(self, real: Split[Data], decoded: Data, finished: Data, outcome: Outcome, fields: Any) -> Any:
        """Compare finished data with the real ones; the report has `summary()`.

        Args:
            real: what was trained on and held back.
            decoded: the synthetic data before they were finished.
            finished: the same finished.
            outcome: shown in the report.
            fields: how each field was encoded, as the codec describes it.
        """

    def write_report(self, report: Any, folder: Path) -> None:
        """Write `report.json` and `report.html` into `folder`."""

    def documents(self, run_folder: Path) -> None:
        """Write what must lie beside finished models in a run folder."""

    def mark(self, report: Any, run_folder: Path) -> Any:
        """The report with the notes that the way of learning requires."""
