"""Which encoding a field gets: the defaults of each style, what a user may choose instead, and the public ranges.

A choice is a name (`"bits"`) or a name with options (`{"encoding": "log1p", "maximum": 65535, "atoms": [0, 1500]}`).
Options that declare what would else be measured (`maximum`, `atoms`, `spikes`, `values`, `value`) make it public.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import numpy as np

from netshare.preprocess.errors import FieldError
from netshare.preprocess.fields.base import FieldEncoding
from netshare.preprocess.fields.category import MAX_EXACT_VALUES, Constant, Exact, PortTokens
from netshare.preprocess.fields.digits import Digits
from netshare.preprocess.fields.embedding import Embedded
from netshare.preprocess.fields.numeric import Numeric, NumericTokens
from netshare.preprocess.ip2vec import IP2Vec
from netshare.preprocess.ip2vec.registry import named_ports

Style = Literal["gan", "autoregressive"]
Choice = str | Mapping[str, Any]

PUBLIC_MAXIMUM = {
    "ip_version": 6,
    "src_port": 65535,
    "dst_port": 65535,
    "protocol": 255,
    "starts_here": 1,
    "continues": 1,
    "continued": 1,
    "direction": 1,
    "ttl": 255,
    "tos": 255,
    "ip_flags": 7,  # RFC 791, 3.1: three bits
    "fragment_offset": 8191,  # thirteen bits
    "tcp_flags": 511,  # RFC 9293 and RFC 3540: nine bits
    "tcp_window": 65535,
    "tcp_header_length": 60,  # RFC 9293, 3.1: the data offset has four bits, in words of 4 bytes
    "icmp_type": 255,
    "icmp_code": 255,
    "vlan": 4095,  # IEEE 802.1Q: twelve bits
    "length": 2**32 - 1,
}
SMALL_FIELDS = (
    "ttl", "tos", "ip_flags", "tcp_flags", "tcp_header_length", "icmp_type", "icmp_code", "vlan", "direction",
    "starts_here", "continues", "continued",
)  # fmt: skip
PORT_FIELDS = ("src_port", "dst_port")
DURATION_FIELDS = ("span", "interarrival", "duration")
DURATION_SPIKE_SHARE = 0.002  # scaling at decoding blurs lesser spikes anyway, and fewer tokens are learnt better
NOT_RESERVED_PORTS = (1024, 65535)  # RFC 6335, section 6: user and dynamic ports

USUAL_PROTOCOLS = (1, 2, 6, 17, 41, 47, 50, 51, 58, 89, 103, 112, 132)
USUAL_LENGTHS = (28, 40, 44, 48, 52, 56, 60, 64, 76, 84, 576, 1280, 1420, 1440, 1452, 1480, 1492, 1500)
TCP_HEADER_LENGTHS = (0, *range(20, 61, 4))  # RFC 9293, 3.1; 0 where not TCP
COUNTER_MAXIMUM = 2**32 - 1  # of packets, bytes and milliseconds: NetFlow v5's fields have 32 bits

DEFAULTS: dict[Style, dict[str, str]] = {
    "gan": {
        "address": "bits", "src_port": "ip2vec", "dst_port": "ip2vec", "protocol": "onehot", "category": "onehot",
        "small": "exact", "start": "quantile", "span": "log1p", "numeric": "log1p",
    },
    "autoregressive": {
        "address": "bytes", "src_port": "tokens", "dst_port": "tokens", "protocol": "onehot", "category": "onehot",
        "small": "exact", "start": "tokens", "span": "tokens", "numeric": "tokens",
    },
}  # fmt: skip
OPTIONS = {
    "constant": {"value"},
    "bits": set(),
    "bytes": set(),
    "ip2vec": set(),
    "onehot": {"values", "cap"},
    "exact": {"values", "cap"},
    "linear": {"atoms", "minimum", "maximum"},
    "log1p": {"atoms", "minimum", "maximum"},
    "quantile": {"atoms", "minimum", "maximum"},
    "tokens": {"cap", "share", "spikes", "maximum"},
}


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _is_list(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str) and all(_is_number(item) for item in value)


OPTION_IS_VALID: dict[str, Callable[[Any], bool]] = {
    "value": _is_number,
    "values": lambda value: value == "all" or _is_list(value),
    "cap": lambda value: isinstance(value, int) and value > 0,
    "share": lambda value: _is_number(value) and 0 <= value <= 1,
    "atoms": lambda value: isinstance(value, bool) or _is_list(value),
    "spikes": _is_list,
    "minimum": _is_number,
    "maximum": _is_number,
}


def split_choice(name: str, choice: Choice) -> tuple[str, dict[str, Any]]:
    """Encoding name and options of a user's choice.

    Raises:
        FieldError: the encoding or an option is unknown.
    """
    encoding, options = (choice, {}) if isinstance(choice, str) else (str(choice.get("encoding", "")), dict(choice))
    options.pop("encoding", None)
    if encoding not in OPTIONS:
        raise FieldError(f"field {name}: unknown encoding {encoding!r}; choose one of {', '.join(OPTIONS)}")
    allowed = {"values", "cap"} if encoding == "tokens" and name in PORT_FIELDS else OPTIONS[encoding]
    unknown = sorted(set(options) - allowed)
    if unknown:
        possible = ", ".join(sorted(allowed)) or "none"
        raise FieldError(f"field {name}: encoding {encoding} has no option {unknown[0]!r}; its options: {possible}")
    for option, value in options.items():
        if not OPTION_IS_VALID[option](value) or (value == "all" and encoding == "tokens"):
            raise FieldError(f"field {name}: option {option} of encoding {encoding} cannot be {value!r}")
    return encoding, options


def default_choice(name: str, style: Style, *, chunk_width: int, is_category: bool, dtype: np.dtype) -> Choice:
    """The style's encoding of field `name`."""
    defaults = DEFAULTS[style]
    if name in ("src_ip", "dst_ip"):
        return defaults["address"]
    if is_category:
        return defaults["category"]
    if name == "start":
        choice = {"encoding": defaults["start"], "maximum": chunk_width - 1}
        return choice if style == "autoregressive" else {**choice, "minimum": 0, "atoms": False}
    if name == "span" and style == "gan":
        return {"encoding": "log1p", "maximum": chunk_width - 1, "atoms": [0]}
    if name in DURATION_FIELDS and style == "autoregressive":
        return {"encoding": "tokens", "share": DURATION_SPIKE_SHARE, "cap": 128}
    if dtype.kind == "f":
        return "linear"
    return defaults.get(name) or defaults["small" if name in SMALL_FIELDS else "numeric"]


def public_choice(name: str, style: Style, *, chunk_width: int) -> Choice:
    """An encoding of field `name` that measures nothing, for differential privacy: constants from RFCs and registries.

    Raises:
        FieldError: nothing public is known about this field, so its bounds must be declared.
    """
    scale = "log1p" if style == "gan" else "tokens"
    spikes = "atoms" if style == "gan" else "spikes"
    match name:
        case "src_ip" | "dst_ip":
            return DEFAULTS[style]["address"]
        case "src_port" | "dst_port":
            return "ip2vec" if style == "gan" else {"encoding": "tokens", "values": named_ports()}
        case "protocol":
            return {"encoding": "onehot", "values": USUAL_PROTOCOLS}
        case "tcp_header_length":
            return {"encoding": "onehot", "values": TCP_HEADER_LENGTHS}
        case "tcp_flags" | "vlan":
            return "bits"
        case "start":
            linear = {"encoding": "linear", "maximum": chunk_width - 1, "atoms": False}
            return linear if style == "gan" else {"encoding": "tokens", "maximum": chunk_width - 1, "spikes": []}
        case "span" | "interarrival":
            return {"encoding": scale, "maximum": chunk_width - 1, spikes: [0]}
        case "duration":
            return {"encoding": scale, "maximum": COUNTER_MAXIMUM * 1_000_000, spikes: [0]}
        case "packets" | "bytes" | "packets_rev" | "bytes_rev":
            return {"encoding": scale, "maximum": COUNTER_MAXIMUM, spikes: [0, 1]}
        case "length":
            return {"encoding": scale, "maximum": 65535, spikes: USUAL_LENGTHS}  # RFC 791, 3.1
        case "tcp_window" | "fragment_offset":
            return {"encoding": scale, "maximum": PUBLIC_MAXIMUM[name], spikes: [0]}
        case _ if name in SMALL_FIELDS:
            return {"encoding": "exact", "values": "all"}
    raise FieldError(f"field {name}: nothing public is known of it; declare its maximum and atoms, or its values")


def fit_field(
    name: str, values: np.ndarray, choice: Choice, *, labels: int | None = None, ip2vec: IP2Vec | None = None
) -> FieldEncoding:
    """The encoding of a scalar field as chosen, its constants measured on `values` where they are not declared.

    Args:
        labels: for a field of label codes, how many labels there are.
        ip2vec: the model for the encoding `"ip2vec"`, the shipped one by default.

    Raises:
        FieldError: the choice is unknown or does not fit the field, or values lie outside the field's public range.
    """
    encoding, options = split_choice(name, choice)
    top = PUBLIC_MAXIMUM.get(name)
    match encoding:
        case "constant":
            return constant_field(name, values, options)
        case "bits" | "bytes":
            if top is None:
                raise FieldError(f"field {name}: no public maximum, so no {encoding}; choose log1p or tokens")
            return Digits(name=name, maximum=top, width=1 if encoding == "bits" else 8)
        case "ip2vec":
            if name not in (*PORT_FIELDS, "protocol"):
                raise FieldError(f"field {name}: ip2vec knows ports and protocols only; choose another encoding")
            return Embedded.of(name, ip2vec or IP2Vec.load_default())
        case "onehot" | "exact":
            return _exact(name, values, top, labels, options)
        case "tokens" if name in PORT_FIELDS:
            if "values" in options:
                return PortTokens.declared(name, options["values"])
            return PortTokens.fit(name, values, **options)
        case "tokens" if name == "start" and "maximum" in options:
            return NumericTokens.equal_bins(name, options["maximum"])
        case "tokens":
            return NumericTokens.fit(name, values, **options)
        case _:
            return Numeric.fit(name, values, scale=encoding, **options)  # type: ignore[arg-type]


def constant_field(name: str, values: np.ndarray, options: Mapping[str, Any]) -> Constant:
    """The constant that was declared, or else the one value there is.

    Raises:
        FieldError: none is declared and the values differ.
    """
    if "value" in options:
        return Constant(name=name, value=options["value"])
    constant = Constant.fit(name, values)
    if constant is None:
        raise FieldError(f"field {name}: encoding constant, but its values differ; choose another encoding")
    return constant


def _exact(name: str, values: np.ndarray, top: int | None, labels: int | None, options: dict[str, Any]) -> Exact:
    declared = options.get("values")
    if labels is not None and declared is None:
        unset = bool((values < 0).any())
        declared = range(-1 if unset else 0, labels)
        return Exact(name=name, values=tuple(declared), bounds="measured")
    if declared == "all":
        if top is None:
            raise FieldError(f"field {name}: no public maximum, so not all its values can be listed")
        return Exact.declared(name, range(top + 1))
    is_port = name in PORT_FIELDS
    highest = top if top is not None else max(int(values.max(initial=0)), 0)
    other = NOT_RESERVED_PORTS if is_port else (0, min(highest, 2**20))
    if declared is not None:
        return Exact.declared(name, declared, other=other)
    return Exact.fit(name, values, other=other, always_other=is_port, cap=options.get("cap", MAX_EXACT_VALUES))
