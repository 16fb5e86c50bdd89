"""The config's section `privacy`: what is protected, how well, and what is declared to be public.

    {"input": "trace.csv",
     "privacy": {"epsilon": 4, "bounds": {"begin": "2015-09-08T14:00:00Z", "seconds": 3600, "units": 20000}}}

Private mode is on when `epsilon` is set. Whatever the synthetic trace depends on is then either learnt under
differential privacy or stands in the config, which is taken to be public: `bounds` are statements that the data holder
makes without looking at a single flow (when the capture ran, about how many flows it has).
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Literal

from pydantic import Field, SerializerFunctionWrapHandler, field_validator, model_serializer

from netshare.config.section import Prefixes, Section

Unit = Literal["record", "flow", "host"]
UNITS = ("record", "flow", "host")
FIRST_YEAR, LAST_YEAR = 1970, 2200  # nanoseconds since 1970 end in 2262
LONGEST = 10 * 366 * 86_400  # seconds of a window
SAMPLE = "sample"  # privacy.public: the trace that ships with netshare


class PublicBounds(Section):
    """What is declared to be public about the input; never measured."""

    begin: str | None = Field(
        None,
        description="When the observed time window begins, e.g. 2015-09-08T14:00:00Z; what is outside is left out.",
    )
    seconds: float | None = Field(None, gt=0, le=LONGEST, description="How long the window is; ten years at most.")
    units: int | None = Field(
        None,
        ge=10,
        description="About how many units (flows, or hosts) the input has, rounded; sets sampling and delta.",
    )
    max_records: int = Field(
        256, ge=1, le=65_536, description="Records of a flow within a chunk that are learnt from; further ones are not."
    )
    hosts: Prefixes = Field(
        [], description="With unit host: prefixes whose addresses are the protected hosts, e.g. 10.0.0.0/8."
    )

    @field_validator("begin")
    @classmethod
    def _readable_time(cls, value: str | None) -> str | None:
        if value is not None:
            try:
                when = datetime.fromisoformat(value)
            except ValueError:
                raise ValueError("write a time like 2015-09-08T14:00:00Z") from None
            if not FIRST_YEAR <= when.year <= LAST_YEAR:
                raise ValueError(f"give a year from {FIRST_YEAR} to {LAST_YEAR}, when captures were made")
        return value

    @property
    def begin_ns(self) -> int:
        """`begin` in nanoseconds since the Unix epoch; without an offset it is UTC."""
        assert self.begin is not None
        when = datetime.fromisoformat(self.begin)
        since = (when if when.tzinfo else when.replace(tzinfo=UTC)) - datetime.fromtimestamp(0, UTC)
        return ((since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds) * 1_000


class PrivacySettings(Section):
    """Differential privacy of the synthetic trace; on when `epsilon` is set."""

    epsilon: float | None = Field(
        None, description="Privacy budget: 1 is strong, 10 weak; unset: no privacy guarantee."
    )
    lifetime_epsilon: float | None = Field(
        None,
        description="The most epsilon that all private runs on this input may spend together; null: only reported.",
    )
    delta: float | None = Field(
        None, description="Chance that the guarantee may fail, below 1 / bounds.units; default: a tenth of that."
    )
    unit: Unit = Field(
        "flow", description="What is protected: one record, one flow (all records of a five-tuple), or one host."
    )
    method: Literal["marginals", "gradients"] = Field(
        "marginals",
        description="marginals: noisy counts, then a model of a trace drawn from them; gradients: DP-SGD of the nets.",
    )
    clip_norm: float = Field(
        1.0, gt=0, description="By gradients: norm that a unit's gradient is clipped to, over all nets."
    )
    batch: int = Field(
        256, ge=1, description="By gradients: units that take part in a step, on average (Poisson sampling)."
    )
    max_flows_per_unit: int = Field(32, ge=1, description="With unit host: flows of a host that are learnt from.")
    max_chunks_per_unit: int | None = Field(
        None,
        ge=1,
        description="By gradients: chunks from which a unit is learnt, its first ones; default: all it appears in.",
    )
    public: str | list[str] | None = Field(
        SAMPLE,
        description="Public trace(s) to pre-train on; sample: the one that ships; null: none (naive DP). By marginals "
        "they say how packets follow one another; null means sample.",
    )
    public_ip2vec: bool = Field(
        False, description="Declares that ip2vec.model was trained on public data alone; without it, it is refused."
    )
    accountant: Literal["prv", "rdp"] = Field("prv", description="prv: numerical composition, tight; rdp: Renyi.")
    secure_rng: bool = Field(
        True, description="Noise from the system's cryptographic generator; false: from seed, for tests, no guarantee."
    )
    counts_share: float = Field(
        0.05,
        gt=0,
        lt=1,
        description="By gradients: share of the budget (of its squared signal) for counting flows a chunk.",
    )
    bounds: PublicBounds = Field(PublicBounds(), description="What is declared public about the input.")

    @field_validator("epsilon", "lifetime_epsilon")
    @classmethod
    def _positive_epsilon(cls, value: float | None) -> float | None:
        if value is not None and not value > 0:
            raise ValueError("epsilon must be greater than 0; 1 is strong, 10 is weak")
        return value

    @field_validator("delta")
    @classmethod
    def _small_delta(cls, value: float | None) -> float | None:
        if value is not None and not 0 < value < 1:
            raise ValueError("delta must lie between 0 and 1 / bounds.units")
        return value

    @model_serializer(mode="wrap")
    def _silent_where_nothing_is_declared(self, serialize: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Without `public_ip2vec` where it is false: private runs of earlier versions keep their fingerprints, so that
        no finished release is made, and paid for, a second time."""
        values = serialize(self)
        if not self.public_ip2vec:
            values.pop("public_ip2vec", None)
        return values

    @property
    def enabled(self) -> bool:
        """Whether private mode is on."""
        return self.epsilon is not None
