"""A decoded trace made valid: what no network sends is repaired, and addresses are moved where that is asked for."""

from __future__ import annotations

from typing import Any

from netshare.config.schema import Config
from netshare.postprocess import repair
from netshare.postprocess.address_map import Halves, address_map, addresses_of
from netshare.preprocess.trace import Trace
from netshare.recipe.reference import Reference


def finish_trace(
    trace: Trace, reference: Reference, config: Config, key: bytes | None = None
) -> tuple[Trace, dict[str, Any]]:
    """The trace as it is released, and the counts of repairs by rule.

    Args:
        trace: synthetic, as decoded.
        reference: its broken conventions are not repaired, and its addresses are avoided where the config says so.
        config: its sections postprocess and addresses, and the seed.
        key: of the map of addresses; needed where the config asks for one.
    """
    repairs: dict[str, Any] = {}
    if config.postprocess.repair:
        trace, report = repair(
            trace,
            allow_zero_packets=reference.zero_packets,
            except_rules=reference.broken_conventions,
            seed=config.seed,
        )
        repairs = report.rules
    if config.addresses.prefixes:
        assert key is not None, "addresses are re-mapped by a key"
        avoided = config.addresses.avoid_real and len(reference.five_tuples) > 0
        deny: Halves | tuple[()] = addresses_of(reference.five_tuples.columns) if avoided else ()
        trace = address_map(trace, config.addresses.prefixes, deny=deny, key=key)
    return trace, repairs
