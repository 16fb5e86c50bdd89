"""What leaves the run folder: a decoded trace made valid, its addresses moved if asked for, written as users expect it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import numpy as np

from netshare.config.schema import Config
from netshare.postprocess import broken_conventions, flows_from_packets, repair, write_trace
from netshare.postprocess.address_map import address_map, addresses_of
from netshare.postprocess.writers.write import format_of, kinds_of
from netshare.preprocess import Trace
from netshare.preprocess.errors import ConfigError
from netshare.preprocess.trace import Kind, Source

PLAIN_FORMATS = ("pcap", "pcapng", "csv", "parquet")
SUFFIXES = {"netflow-v5": "pcap", "netflow-v9": "pcap", "ipfix": "pcap", "nfcapd": "nfcapd"}
SUFFIXES |= {"zeek-tsv": "log", "zeek-json": "json"}


def made_valid(trace: Trace, real: Callable[[str], Trace], config: Config) -> tuple[Trace, dict[str, Any]]:
    """The trace with what is forbidden repaired and its addresses moved, as the config says; and the count of repairs by
    rule.

    Args:
        trace: synthetic, as decoded.
        real: the run's real traces by part (`"full"`, `"train"`), which say what is habit in them.
        config: its sections `postprocess` and `addresses`.
    """
    repairs: dict[str, Any] = {}
    if config.postprocess.repair:
        known = real("train")
        empty = trace.kind == "flow" and bool((known["packets"] == 0).any())
        habits = broken_conventions(known)
        trace, said = repair(trace, allow_zero_packets=empty, except_rules=habits, seed=config.seed)
        repairs = said.rules
    if config.addresses.prefixes:
        deny = addresses_of(real("full")) if config.addresses.avoid_real else ()
        trace = address_map(trace, config.addresses.prefixes, deny=deny, seed=config.seed)
    return trace, repairs


def check_releasable(real: Callable[[str], Trace], config: Config) -> None:
    """Refuse, before anything is trained, an output that could not be written after it.

    Args:
        real: the run's real traces by part.
        config: its `preset` (which says the kind of trace), `output.formats` and `addresses.prefixes`.

    Raises:
        ConfigError: no format fits the kind of trace, or no prefix an IP version of it.
    """
    formats_for("packet" if config.preset == "pcap" else "flow", config)
    prefixes, versions = config.addresses.prefixes, {4, 6}
    if prefixes or "netflow-v5" in config.output.formats:
        versions = {int(version) for version in np.unique(real("full")["ip_version"])}
    if "netflow-v5" in config.output.formats and versions == {6}:
        raise ConfigError("output.formats has netflow-v5, which holds IPv4 only, but the input is all IPv6; use ipfix")
    if prefixes:
        given = {ip_network(text, strict=False).version for text in prefixes}
        lacking = sorted(versions - given)
        if lacking:
            example = {4: "10.0.0.0/8", 6: "2001:db8::/32"}[lacking[0]]
            raise ConfigError(
                f"addresses.prefixes is [{', '.join(prefixes)}], but the input also has IPv{lacking[0]} addresses; "
                f"add a prefix for them, such as {example}"
            )


def formats_for(kind: Kind, config: Config) -> list[str]:
    """The formats asked for that can hold the trace or its flow records; Parquet always, since the evaluation reads it.

    Raises:
        ConfigError: packets are asked for, and nothing else, where there are none.
    """
    asked = list(config.output.formats)
    if kind == "flow":
        asked = [name for name in asked if name == "csv" or "flow" in kinds_of(name)]
        if not asked:
            found = ", ".join(config.output.formats)
            raise ConfigError(
                f"output.formats is [{found}], but NetFlow records hold no packets; ask for csv or parquet"
            )
    return sorted({*asked, "parquet"})


def file_name(format: str) -> str:
    """`synthetic.pcap`, `.pcapng`, `.csv`, `.parquet`; any other format is in the name: `synthetic-ipfix.pcap`."""
    if format in PLAIN_FORMATS:
        return f"synthetic.{format}"
    return f"synthetic-{format}.{SUFFIXES.get(format, 'csv')}"


def write_like(
    trace: Trace, path: Path, source: Source, config: Config, *, format: str | None = None, seed: int
) -> None:
    """Write in the layout of `source`; where the format holds flow records, packets become the records of them.

    Args:
        format: one of `output.formats`, where the suffix is not to decide.

    Raises:
        InputError, NetshareError: the file cannot be written, or not in this format.
    """
    named = None if format in ("csv", None) else format
    to_flows = trace.kind == "packet" and "packet" not in kinds_of(format_of(path, source, named))
    nameless = replace(trace, sources=())  # Parquet would say where on this machine the run folder is
    write_trace(
        flows_from_packets(nameless) if to_flows else nameless,
        path,
        format=named,
        layout=None if to_flows else source,
        snaplen=config.postprocess.snaplen,
        seed=seed,
    )
