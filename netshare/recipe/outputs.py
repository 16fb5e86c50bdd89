"""What leaves a run: formats that a trace can be written in, file names, and the layout of the input."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_network
from pathlib import Path

from netshare.config.schema import Config
from netshare.postprocess import flows_from_packets, write_trace
from netshare.postprocess.writers.write import format_of, kinds_of
from netshare.preprocess.errors import ConfigError
from netshare.preprocess.trace import Kind, Source, Trace
from netshare.recipe.reference import Reference

PLAIN_FORMATS = ("pcap", "pcapng", "csv", "parquet")
SUFFIXES = {"netflow-v5": "pcap", "netflow-v9": "pcap", "ipfix": "pcap", "nfcapd": "nfcapd"}
SUFFIXES |= {"zeek-tsv": "log", "zeek-json": "json"}
EXAMPLE_PREFIX = {4: "10.0.0.0/8", 6: "2001:db8::/32"}


def check_releasable(reference: Reference, config: Config) -> None:
    """Refuse, before anything is trained, an output that could not be written after it.

    Args:
        reference: its kind and IP versions count.
        config: its `output.formats` and `addresses.prefixes`.

    Raises:
        ConfigError: no format fits the kind of trace, or no prefix an IP version of it.
    """
    formats_for(reference.kind, config)
    versions = set(reference.ip_versions)
    if "netflow-v5" in config.output.formats and versions == {6}:
        raise ConfigError("output.formats has netflow-v5, which holds IPv4 only, but the input is all IPv6; use ipfix")
    prefixes = config.addresses.prefixes
    lacking = sorted(versions - {ip_network(text, strict=False).version for text in prefixes})
    if prefixes and lacking:
        raise ConfigError(
            f"addresses.prefixes is [{', '.join(prefixes)}], but the input also has IPv{lacking[0]} addresses; "
            f"add a prefix for them, such as {EXAMPLE_PREFIX[lacking[0]]}"
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

    A file that exists is replaced: the caller has asked `netshare.preprocess.outputs`, or writes into its own folder.

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
        force=True,
    )
