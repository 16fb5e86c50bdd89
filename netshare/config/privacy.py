"""The config's section `privacy`: what is protected, how well, and what is declared to be public.

    {"input": "trace.csv",
     "privacy": {"epsilon": 4, "bounds": {"begin": "2015-09-08T14:00:00Z", "seconds": 3600, "units": 20000}}}

Private mode is on when `epsilon` is set. Whatever the synthetic trace depends on is then either learnt under
differential privacy or stands in the config, which is taken to be public: `bounds` are statements that the data holder
makes without looking at a single flow (when the capture ran, about how many flows it has).
"""

from __future__ import annotations

from datetime import UTC, datetime
from ipaddress import ip_network
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

Unit = Literal["record", "flow", "host"]
UNITS = ("record", "flow", "host")
FIRST_YEAR, LAST_YEAR = 1970, 2200  # nanoseconds since 1970 end in 2262
LONGEST = 10 * 366 * 86_400  # seconds of a window
# noise goes to every weight, so a net of fewer weights has less of it: 1.0 million instead of 11
SMALL_NETS = {
    "metadata_state": 8, "metadata_hidden": 32, "record_state": 32, "record_hidden": 16, "condition": 16,
}  # fmt: skip
SAMPLE = "sample"  # privacy.public: the trace that ships with netshare


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class PublicBounds(_Part):
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
    hosts: list[str] = Field(
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

    @field_validator("hosts")
    @classmethod
    def _readable_prefixes(cls, value: list[str]) -> list[str]:
        for text in value:
            try:
                ip_network(text, strict=False)
            except ValueError as error:
                raise ValueError(f"{error}; give one like 10.0.0.0/8") from None
        return value

    @property
    def begin_ns(self) -> int:
        """`begin` in nanoseconds since the Unix epoch; without an offset it is UTC."""
        assert self.begin is not None
        when = datetime.fromisoformat(self.begin)
        since = (when if when.tzinfo else when.replace(tzinfo=UTC)) - datetime.fromtimestamp(0, UTC)
        return ((since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds) * 1_000


class PrivacySettings(_Part):
    """Differential privacy of the synthetic trace; on when `epsilon` is set."""

    epsilon: float | None = Field(
        None, description="Privacy budget: 1 is strong, 10 weak; unset: no privacy guarantee."
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

    @field_validator("epsilon")
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

    @property
    def enabled(self) -> bool:
        """Whether private mode is on."""
        return self.epsilon is not None


def private_defaults(raw: Any) -> Any:
    """A raw config with what private mode needs otherwise than usual filled in, where the user has not said anything."""
    if not isinstance(raw, dict) or not isinstance(raw.get("privacy"), dict) or raw["privacy"].get("epsilon") is None:
        return raw
    raw = {**raw}
    by_gradients: tuple[Any, ...] = (
        (("chunks", "count"), 1),
        (("generator", "autoregressive", "recall"), False),
        (("generator", "autoregressive", "fine_tuning_rate"), 1.0),  # few steps, each with a fixed cost
        *((("generator", "autoregressive", name), size) for name, size in SMALL_NETS.items()),
    )
    gradients = raw["privacy"].get("method") == "gradients"
    for path, value in ((("generate", "avoid_real_flows"), False), *(by_gradients if gradients else ())):
        if path[0] == "chunks" and raw.get("chunks", {}).get("seconds") is not None:
            continue
        where = raw
        for key in path[:-1]:
            inner = where.get(key, {})
            if not isinstance(inner, dict):
                return raw  # the config's own check says what is wrong
            where[key] = where = {**inner}
        where.setdefault(path[-1], value)
    return raw


def check_private(config: Any) -> None:
    """Refuse what would make the guarantee false.

    Args:
        config: a `netshare.config.schema.Config`.

    Raises:
        ValueError: a sentence that names the keys.
    """
    privacy: PrivacySettings = config.privacy
    if not privacy.enabled:
        if privacy != PrivacySettings():
            raise ValueError("privacy.epsilon is missing, so nothing would be private; set it, or drop privacy")
        return
    if config.preset == "timeseries" or (isinstance(config.preset, list) and "timeseries" in config.preset):
        raise ValueError("privacy is built for traces only; the preset timeseries cannot promise it yet")
    bounds = privacy.bounds
    if bounds.begin is None or bounds.seconds is None:
        raise ValueError(
            "privacy.bounds.begin and privacy.bounds.seconds must declare the time window of the capture, since its "
            "first and last times are private"
        )
    if bounds.units is None:
        raise ValueError(
            f"privacy.bounds.units must declare about how many {'hosts' if privacy.unit == 'host' else 'flows'} the "
            "input has (rounded), since the exact number is private"
        )
    if privacy.delta is not None and privacy.delta >= 1 / bounds.units:
        raise ValueError(
            f"privacy.delta is {privacy.delta:g}, which allows giving whole units away; it must be below "
            f"1 / bounds.units = {1 / bounds.units:g}"
        )
    if privacy.method == "gradients" and privacy.batch > bounds.units:
        raise ValueError(
            f"privacy.batch is {privacy.batch}, more than bounds.units ({bounds.units}); ask for fewer units a step"
        )
    if privacy.unit == "host" and not bounds.hosts:
        raise ValueError("privacy.bounds.hosts must name the protected prefixes, since a flow has a host at either end")
    if privacy.public == []:
        raise ValueError("privacy.public is an empty list; name a public trace, or write null for none")
    _check_others(config)


def _check_others(config: Any) -> None:
    gradients = config.privacy.method == "gradients"
    by_critics = gradients and config.generator.kind == "doppelganger"
    refusals = (
        (config.preset == "timeseries" or (isinstance(config.preset, list) and "timeseries" in config.preset),
         "preset is timeseries", "only packet and flow traces have private runs"),
        (config.input.limit is not None, "input.limit is set",
         "one record less would let another in; cut the file beforehand, or narrow privacy.bounds"),
        (by_critics and config.generator.doppelganger.packing != 1, "generator.doppelganger.packing is not 1",
         "a packed row would hold several units"),
        (by_critics and config.privacy.unit == "host", "generator.kind is doppelganger and privacy.unit is host",
         "its critics clip series by series; set privacy.method to marginals, or unit to flow"),
        (by_critics and config.generator.doppelganger.records_per_pass == "auto",
         "generator.doppelganger.records_per_pass is auto", "trying values out looks at the input; give a number"),
        (not gradients and config.fields.flow_key == "bidirectional" and config.preset == "netflow",
         "fields.flow_key is bidirectional", "noisy counts of flow records know one direction; use privacy.method gradients"),
        (gradients and config.generator.autoregressive.recall, "generator.autoregressive.recall is true",
         "it keeps addresses of the input in the model"),
        (config.generate.avoid_real_flows, "generate.avoid_real_flows is true",
         "which five-tuples are avoided tells which are real"),
        (config.addresses.avoid_real, "addresses.avoid_real is true", "which addresses are avoided tells which are real"),
        (gradients and config.chunks.count is None and config.chunks.seconds is None, "chunks.count is null",
         "an automatic number of chunks is measured; declare count or seconds"),
        (gradients and (config.cluster.mode == "ray" or config.cluster.address is not None), "cluster asks for Ray",
         "private training runs in one process; set cluster.mode to auto"),
    )  # fmt: skip
    for refused, what, why in refusals:
        if refused:
            raise ValueError(f"{what}, but privacy is on: {why}")
