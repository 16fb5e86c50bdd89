"""The sections of a config that say where data come from, how they are learnt, and what is made of the result.

The line at each field is its documentation everywhere else (`docs/config.md`, the JSON Schema). The sections `generator`,
`series` and `privacy` have modules of their own.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import ConfigDict, Field, field_validator

from netshare.config.section import Prefixes, Section
from netshare.postprocess.writers.write import FORMATS
from netshare.preprocess.readers.contents import MAXIMUM_BYTES

MAX_THREADS = 1024
SERIES_FORMATS = ("csv", "parquet", "npz")  # in which time series are written


class InputSection(Section):
    """What to learn from."""

    model_config = ConfigDict(json_schema_extra={"required": ["files"]})

    # Required by `load_config`; a config for data in memory has none.
    files: list[str] = Field([], description="Traces: files, folders or globs; all of one kind, merged.")
    limit: int | None = Field(None, ge=1, description="Read at most this many records, the first of the files.")
    columns: dict[str, str] | None = Field(
        None,
        description="For a CSV or Parquet of a layout of its own: our column -> theirs[:unit]; see docs/formats.md.",
    )
    decapsulate: bool = Field(False, description="Learn the packets inside tunnels instead of those outside.")
    netflow_exports: Literal["auto", True, False] = Field(
        "auto", description="A capture of NetFlow or IPFIX export packets is read as the flow records in them."
    )
    max_bytes: int = Field(MAXIMUM_BYTES, ge=1, description="Most bytes that a compressed file may unpack to.")

    @field_validator("files")
    @classmethod
    def _no_empty_names(cls, value: list[str]) -> list[str]:
        if not all(name.strip() for name in value):
            raise ValueError("a file name is empty; name a trace, or . for the config's own folder")
        return value


class OutputSection(Section):
    """Where the run folder is and what is written at its end."""

    folder: str | None = Field(None, description="Run folder; default: the config's name + '-run', beside the config.")
    formats: list[str] = Field(
        default=["pcap", "csv", "parquet"],
        description="Formats of the synthetic trace: pcap, pcapng, csv (the input's layout), parquet, netflow-v5, "
        "netflow-v9, ipfix, nfcapd, zeek-tsv ... NetFlow has no pcap (left out, refused if nothing else is asked); "
        "of series: csv, parquet, npz.",
    )

    @field_validator("formats")
    @classmethod
    def _known_formats(cls, value: list[str]) -> list[str]:
        known = dict.fromkeys(("csv", *FORMATS, *SERIES_FORMATS))
        unknown = [name for name in value if name not in known]
        if unknown or not value:
            raise ValueError(f"{unknown[0] if unknown else 'an empty list'} is no format; choose of {', '.join(known)}")
        return value


class FieldsSection(Section):
    """Which fields are learnt and how each is encoded."""

    flow_key: Literal["unidirectional", "bidirectional"] | None = Field(
        None,
        description="A flow is one five-tuple, or the conversation of both directions; default: bidirectional for packets, "
        "unidirectional for flow records.",
    )
    encodings: dict[str, str | dict[str, Any]] = Field(
        default={}, description="Field name -> encoding, where the default of the generator is not wanted."
    )


class ChunksSection(Section):
    """How the trace is split in time."""

    count: int | None = Field(None, ge=1, description="Number of fixed-time chunks; default: by size, at most 10.")
    seconds: float | None = Field(None, gt=0, description="Duration of a chunk, instead of their number.")
    max_records_per_segment: int | None = Field(
        None,
        ge=1,
        description="Flows longer than this within a chunk are cut into tagged segments; default: 65,536, for "
        "doppelganger 200.",
    )


class IP2VecSection(Section):
    """The embedding of ports and protocols."""

    model: str | None = Field(
        None, description="Folder of an IP2Vec model trained on public data; default: the one that ships."
    )


class TrainingSection(Section):
    """How long and on what to train."""

    steps: int | None = Field(
        None,
        ge=1,
        description="Most optimisation steps of the seed model (first non-empty chunk); default: 4,000 for "
        "doppelganger, until the validation loss stops falling for autoregressive.",
    )
    finetune_steps: int | None = Field(
        None,
        ge=1,
        description="The same for every other chunk's model; default: 1,000, or until the loss stops falling.",
    )
    threads: int = Field(
        1, ge=1, le=MAX_THREADS, description="CPU threads of one model's training; part of what makes a run repeatable."
    )
    device: str = Field("auto", description="cpu, cuda, cuda:N, or auto: cuda where there is one.")
    checkpoint_seconds: float = Field(60.0, gt=0, description="At most this much training is lost by a kill.")


class ClusterSection(Section):
    """Where training runs."""

    mode: Literal["auto", "inline", "ray"] = Field(
        "auto", description="inline: in this process; ray: one actor a chunk; auto: ray if several chunks and cores."
    )
    address: str | None = Field(None, description="Address of a Ray cluster (host:port); default: start one here.")
    cpus_per_model: float = Field(1, gt=0, description="CPUs that Ray reserves for a model.")
    gpus_per_model: float = Field(0, ge=0, description="GPUs (may be a fraction) that Ray reserves for a model.")
    max_restarts: int = Field(3, ge=0, description="How often a model's training is restarted from its checkpoint.")


class GenerateSection(Section):
    """How much to generate."""

    flows: int | None = Field(
        None, ge=1, description="Flows (distinct five-tuples), or series; default: as many as the input has."
    )
    threads: int | None = Field(
        None,
        ge=1,
        le=MAX_THREADS,
        description="Threads that draw records; default: all cores. What is drawn does not depend on it.",
    )
    avoid_real_flows: bool = Field(
        True, description="Make no five-tuple of the input, as long as the model draws enough others."
    )


class PostprocessSection(Section):
    """How decoded records become a valid trace."""

    repair: bool = Field(True, description="Repair what domain knowledge forbids; every repair is counted.")
    snaplen: int | None = Field(
        None, ge=64, description="Captured bytes a packet; default: whole packets with a deterministic payload."
    )


class AddressesSection(Section):
    """Where synthetic addresses go."""

    prefixes: Prefixes = Field(
        [], description="Re-map addresses, prefix-preserving, into these prefixes (10.0.0.0/8, 2001:db8::/32)."
    )
    avoid_real: bool = Field(False, description="With prefixes: never emit an address of the input.")


class EvaluateSection(Section):
    """How the result is judged."""

    enabled: bool = Field(True, description="Write report/report.json and report/report.html.")
    holdout: float = Field(
        0.2, ge=0, le=0.9, description="Share of flows held back from training, against which the result is measured."
    )
