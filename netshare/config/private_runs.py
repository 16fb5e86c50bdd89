"""What private mode needs of a config beyond its section `privacy`: other defaults, and settings that it must refuse."""

from __future__ import annotations

from typing import Any

from netshare.config.privacy import PrivacySettings

# Noise goes to every weight, so a net of fewer weights has less of it.
SMALL_NETS = {
    "metadata_state": 8, "metadata_hidden": 32, "record_state": 32, "record_hidden": 16, "condition": 16,
}  # fmt: skip


def private_defaults(raw: Any) -> Any:
    """A raw config with the defaults of private mode filled in, where it is private and sets no value of its own."""
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
        where = raw
        for key in path[:-1]:
            inner = where.get(key, {})
            if not isinstance(inner, dict):
                return raw  # the config's own check says what is wrong
            where[key] = where = {**inner}
        if path == ("chunks", "count") and where.get("seconds") is not None:
            continue
        where.setdefault(path[-1], value)
    return raw


def check_private(config: Any) -> None:
    """Refuse settings under which the guarantee of a private run would not hold; other runs pass.

    Args:
        config: a `netshare.config.schema.Config`.

    Raises:
        ValueError: a sentence that names the keys.
    """
    privacy: PrivacySettings = config.privacy
    if not privacy.enabled:
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
    if privacy.epsilon is not None and (privacy.lifetime_epsilon or privacy.epsilon) < privacy.epsilon:
        raise ValueError(
            f"privacy.lifetime_epsilon is {privacy.lifetime_epsilon:g}, less than the epsilon of this run alone "
            f"({privacy.epsilon:g}); raise it or lower privacy.epsilon"
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
        (config.ip2vec.model is not None and not config.privacy.public_ip2vec, "ip2vec.model is set",
         "it may have been trained on private data; drop it, or declare with privacy.public_ip2vec that it was not"),
        (gradients and config.chunks.count is None and config.chunks.seconds is None, "chunks.count is null",
         "an automatic number of chunks is measured; declare count or seconds"),
        (gradients and (config.cluster.mode == "ray" or config.cluster.address is not None),
         "cluster.mode or cluster.address asks for Ray",
         "private training runs in one process; set cluster.mode to auto"),
    )  # fmt: skip
    for refused, what, why in refusals:
        if refused:
            raise ValueError(f"{what}, but privacy is on: {why}")
