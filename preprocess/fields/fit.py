"""Choose and fit the encodings of a table's fields: the user's choice, a constant, or the style's default."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from netshare.preprocess.errors import FieldError
from netshare.preprocess.fields.base import FieldEncoding
from netshare.preprocess.fields.category import Constant, Exact
from netshare.preprocess.fields.choose import (
    Choice,
    Style,
    constant_field,
    default_choice,
    fit_field,
    public_choice,
    split_choice,
)
from netshare.preprocess.fields.digits import Address, Tags
from netshare.preprocess.ip2vec import IP2Vec
from netshare.preprocess.series import SeriesTable
from netshare.preprocess.trace import CATEGORY_COLUMNS


class FieldFitter:
    """Fits the encodings of one table's fields (all chunks together); `ip_version` must come before the addresses.

    chosen: the encodings that the user chose, by field
    public: whether defaults are those that measure nothing; fields with one value then take columns like any other
    """

    def __init__(
        self,
        table: SeriesTable,
        style: Style,
        chosen: Mapping[str, Choice],
        ip2vec: IP2Vec | None,
        public: bool,
    ) -> None:
        self.table, self.style, self.chosen, self.ip2vec = table, style, chosen, ip2vec
        self.public = public
        self.columns = {**table.metadata, **table.measurements}
        self.version: FieldEncoding | None = None

    def fit(self, name: str) -> FieldEncoding:
        """The encoding of field `name`."""
        values = natural_values(name, self.columns)
        encoding: FieldEncoding
        if name == "chunk_tags" and values.shape[1] == 1:
            encoding = Constant(name=name, value=(1,))  # all records are in the only chunk: nothing to learn or measure
        elif not self.public and name not in self.chosen and (constant := Constant.fit(name, values)):
            encoding = constant
        elif name == "ip_version":
            encoding = self._fit_version(values)
        elif name == "chunk_tags":
            encoding = Tags(name=name, count=values.shape[1])
        elif name in ("src_ip", "dst_ip"):
            encoding = self._fit_address(name)
        else:
            labels = self.table.categories.get(name)
            count = len(labels) if labels is not None else None
            choice = self.chosen.get(name) or self._default(name, values.dtype)
            encoding = fit_field(name, values, choice, labels=count, ip2vec=self.ip2vec)
        if name == "ip_version":
            self.version = encoding
        return encoding

    def _default(self, name: str, dtype: np.dtype) -> Choice:
        is_category = name in self.table.categories or name in CATEGORY_COLUMNS
        if self.public and not is_category:
            return public_choice(name, self.style, chunk_width=self.table.chunk_width)
        return default_choice(
            name, self.style, chunk_width=self.table.chunk_width, is_category=is_category, dtype=dtype
        )

    def _fit_version(self, values: np.ndarray) -> FieldEncoding:
        encoding, options = split_choice("ip_version", self.chosen.get("ip_version", "exact"))
        if encoding == "constant":
            return constant_field("ip_version", values, options)
        return Exact.declared("ip_version", (4, 6))

    def _fit_address(self, name: str) -> FieldEncoding:
        default = default_choice(name, self.style, chunk_width=1, is_category=False, dtype=np.dtype(np.uint64))
        encoding, _ = split_choice(name, self.chosen.get(name, default))
        if encoding not in ("bits", "bytes"):
            raise FieldError(f"field {name}: addresses are encoded in bits or bytes, not {encoding}")
        assert self.version is not None
        only = self.version.value if isinstance(self.version, Constant) else None
        versions = (4, 6) if only is None else (int(only),)  # type: ignore[arg-type]
        return Address(name=name, versions=versions, width=1 if encoding == "bits" else 8, bounds=self.version.bounds)


def natural_values(name: str, columns: Mapping[str, np.ndarray]) -> np.ndarray:
    """The values of a field: a column, or the two halves of an address as uint64[n, 2].

    Raises:
        FieldError: the columns lack the field.
    """
    if name in ("src_ip", "dst_ip"):
        side = name.removesuffix("_ip")
        return np.stack([natural_values(f"{side}_hi", columns), natural_values(f"{side}_lo", columns)], axis=1)
    if name not in columns:
        raise FieldError(f"field {name}: missing from these series, but the codec was fitted with it")
    return columns[name]
