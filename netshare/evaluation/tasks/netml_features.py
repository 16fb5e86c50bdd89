"""NetML's six feature modes: packets become flows, and flows become vectors.

After Yang et al., "Feature extraction for novelty detection in network traffic", 2020: IAT, interarrival times; SIZE,
packet sizes; IAT_SIZE, both by turns; STATS, twelve statistics; SAMP_NUM and SAMP_SIZE, packets and bytes in windows of
equal length. They agree with the `netml` package 0.7.1 (its quirks included, see `cut_flows`), except that a size is that
of the IP packet, without link header.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from netshare.preprocess.flows import group_flows_by_hash
from netshare.preprocess.protocols import TCP, UDP
from netshare.preprocess.ragged import offsets_of
from netshare.preprocess.trace import Trace

MODES = ("IAT", "SIZE", "IAT_SIZE", "STATS", "SAMP_NUM", "SAMP_SIZE")
TIMEOUT = 600.0  # seconds without a packet that end a flow
CUT_QUANTILE, WINDOW_QUANTILE = 0.9, 0.3  # netml's: of flow durations, and 0.9 of packets a flow for the dimension
MAX_DIMENSIONS = 500  # netml's cap on windows; here on every mode


@dataclass(frozen=True)
class PacketFlows:
    """Packets flow by flow: time float64[n] (s), size float64[n] (bytes), offsets int64[n_flows + 1]."""

    time: np.ndarray
    size: np.ndarray
    offsets: np.ndarray

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def packets(self) -> np.ndarray:
        """int64[n_flows]."""
        return np.diff(self.offsets)

    @property
    def durations(self) -> np.ndarray:
        """float64[n_flows] (s)."""
        return self.time[self.offsets[1:] - 1] - self.time[self.offsets[:-1]]

    @property
    def flow(self) -> np.ndarray:
        """int64[n]: which flow a packet belongs to."""
        return np.repeat(np.arange(len(self)), self.packets)

    @property
    def place(self) -> np.ndarray:
        """int64[n]: how many packets of its flow come before."""
        return np.arange(len(self.time)) - np.repeat(self.offsets[:-1], self.packets)

    def choose(self, flows: np.ndarray) -> PacketFlows:
        """Only the flows that bool[n_flows] names."""
        kept = np.repeat(flows, self.packets)
        return PacketFlows(self.time[kept], self.size[kept], offsets_of(self.packets[flows]))


@dataclass(frozen=True)
class Scale:
    """What fixes the features: packets that a vector has room for, and the length of a window (s)."""

    packets: int
    window: float


def cut_flows(trace: Trace) -> PacketFlows:
    """TCP and UDP flows of two packets or more, cut where they pause, as netml 0.7.1 cuts them.

    A flow ends where 600 s pass without a packet, and again where the time since the previous packet exceeds the
    0.9-quantile of all durations. As in netml, the last part of a flow that was cut is left out, and the time
    before the second packet of a part is measured from the last point of a grid of such intervals that begins with the flow.
    """
    kept = trace.take(np.flatnonzero((trace["protocol"] == TCP) | (trace["protocol"] == UDP)))
    grouped = group_flows_by_hash(kept)
    start = int(kept["time"].min()) if len(kept) else 0
    time = (kept["time"][grouped.order] - start) / 1e9
    flows = PacketFlows(time, kept["length"][grouped.order].astype(np.float64), grouped.offsets)
    flows = flows.choose(flows.packets >= 2)
    flows = _split(flows, _gaps(flows) > TIMEOUT)
    if not len(flows):
        return flows
    return _split(flows, _pauses(flows, float(np.quantile(flows.durations, CUT_QUANTILE))))


def scale_of(flows: PacketFlows) -> Scale:
    """Dimension and window that netml takes for these flows."""
    packets = int(np.floor(np.quantile(flows.packets, CUT_QUANTILE)))
    return Scale(min(max(packets, 2), MAX_DIMENSIONS), float(np.quantile(flows.durations, WINDOW_QUANTILE)))


def features(flows: PacketFlows, scale: Scale) -> dict[str, np.ndarray]:
    """float64[n_flows, d] for each mode; shorter flows are filled up with zeros, longer ones cut."""
    flow, place = flows.flow, flows.place
    later = place > 0
    gaps = np.diff(flows.time, prepend=0.0)[later]
    iat = _laid_out(flow[later], place[later] - 1, gaps, len(flows), scale.packets - 1)
    size = _laid_out(flow, place, flows.size, len(flows), scale.packets)
    return {
        "IAT": iat,
        "SIZE": size,
        "IAT_SIZE": _by_turns(flows, scale),
        "STATS": _statistics(flows),
        "SAMP_NUM": _windows(flows, scale, np.ones(len(flow))),
        "SAMP_SIZE": _windows(flows, scale, flows.size),
    }


def _gaps(flows: PacketFlows) -> np.ndarray:
    gaps = np.diff(flows.time, prepend=0.0)
    gaps[flows.offsets[:-1]] = 0
    return gaps


def _pauses(flows: PacketFlows, interval: float) -> np.ndarray:
    """bool[n]: where a part begins.

    A packet begins a part if the gap before it is too long. It also does if the packet before it began one, and the time
    since the grid point before that packet is too long; so one long gap may be followed by a run of parts of one packet.
    """
    gaps = _gaps(flows)
    first = np.repeat(flows.time[flows.offsets[:-1]], flows.packets)
    beyond_grid = np.mod(flows.time - first, interval) if interval > 0 else np.zeros(len(gaps))
    since_grid = gaps + np.concatenate([[0.0], beyond_grid[:-1]])
    position = np.arange(len(gaps))
    begins = np.maximum.accumulate(np.where(gaps > interval, position, -1))
    ends = np.maximum.accumulate(np.where((since_grid > interval) & (flows.place > 0), -1, position))
    return begins > ends


def _split(flows: PacketFlows, begins: np.ndarray) -> PacketFlows:
    """Flows cut before the marked packets; the last part of what was cut, and parts of one packet, are left out."""
    if not begins.any():
        return flows
    starts = np.union1d(flows.offsets[:-1], np.flatnonzero(begins))
    parts = PacketFlows(flows.time, flows.size, np.append(starts, len(flows.time)))
    whole = np.isin(parts.offsets[:-1], flows.offsets[:-1]) & np.isin(parts.offsets[1:], flows.offsets[1:])
    last = np.isin(parts.offsets[1:], flows.offsets[1:])
    return parts.choose((whole | ~last) & (parts.packets >= 2))


def _laid_out(row: np.ndarray, column: np.ndarray, values: np.ndarray, rows: int, columns: int) -> np.ndarray:
    table = np.zeros((rows, max(columns, 1)))
    inside = column < columns
    table[row[inside], column[inside]] = values[inside]
    return table


def _by_turns(flows: PacketFlows, scale: Scale) -> np.ndarray:
    """By turns each gap and the size of the packet before it; the last packet's size stands at the end."""
    flow, place = flows.flow, flows.place
    width = 2 * scale.packets - 1
    last = np.zeros(len(flow), bool)
    last[flows.offsets[1:] - 1] = True
    table = _laid_out(flow, np.where(last, 2 * place, 2 * place + 1), flows.size, len(flows), width)
    later = place > 0
    gaps = np.diff(flows.time, prepend=0.0)[later]
    return table + _laid_out(flow[later], 2 * place[later] - 2, gaps, len(flows), width)


def _statistics(flows: PacketFlows) -> np.ndarray:
    """Duration, packets/s, bytes/s; mean, deviation, quartiles, least and greatest size; packets, bytes."""
    packets, duration = flows.packets, flows.durations
    starts = flows.offsets[:-1]
    total = np.add.reduceat(flows.size, starts)
    mean = total / packets
    spread = np.sqrt(np.add.reduceat((flows.size - np.repeat(mean, packets)) ** 2, starts) / packets)
    ordered = flows.size[np.lexsort((flows.size, flows.flow))]
    quartiles = []
    for q in (0.25, 0.5, 0.75):
        at = q * (packets - 1)
        low = starts + np.floor(at).astype(np.int64)
        high = starts + np.ceil(at).astype(np.int64)
        quartiles.append(ordered[low] + (at - np.floor(at)) * (ordered[high] - ordered[low]))
    lasting = duration > 0
    rate = np.divide(packets, duration, out=np.zeros(len(flows)), where=lasting)
    volume = np.divide(total, duration, out=np.zeros(len(flows)), where=lasting)
    least, most = ordered[starts], ordered[flows.offsets[1:] - 1]
    return np.column_stack([duration, rate, volume, mean, spread, *quartiles, least, most, packets, total])


def _windows(flows: PacketFlows, scale: Scale, weights: np.ndarray) -> np.ndarray:
    """Sum of `weights` in windows that begin with the flow; a packet on the border belongs to the earlier window if the
    packet before it does."""
    width = max(scale.packets - 1, 1)
    since = flows.time - np.repeat(flows.time[flows.offsets[:-1]], flows.packets)
    endless = np.where(since > 0, float(width), 0.0)  # where windows have no length, netml divides by zero
    exact = since / scale.window if scale.window > 0 else endless
    window = np.floor(exact)
    before = np.concatenate([[-1.0], window[:-1]])
    on_border = (flows.place > 0) & (exact == window) & (window > 0) & (before == window - 1)
    window = np.where(on_border, window - 1, window)
    inside = window < width
    cells = flows.flow[inside] * width + window[inside].astype(np.int64)
    return np.bincount(cells, weights[inside], minlength=len(flows) * width).reshape(len(flows), width)
