"""Sketches: counters of fixed memory that estimate how often each key of a stream occurs.

    sketch = CountMin(memory=16_384, seed=0)
    sketch.update(keys)               # uint64[n], one entry a packet
    sketch.estimate(keys_of_interest) # float64[m]

All four take the same memory and have the same two methods, so that they can be compared. Updates are array operations;
a sketch that is updated with distinct keys and their counts is the same (for `NitroSketch`: has the same distribution)
as one that saw the packets one by one, which is how to feed it fast.
"""

from netshare.sketches.base import Sketch
from netshare.sketches.count_min import CountMin
from netshare.sketches.count_sketch import CountSketch
from netshare.sketches.nitro import NitroSketch
from netshare.sketches.univmon import UnivMon

SKETCHES: dict[str, type[Sketch]] = {
    "Count-Min": CountMin,
    "Count Sketch": CountSketch,
    "UnivMon": UnivMon,
    "NitroSketch": NitroSketch,
}

__all__ = ["SKETCHES", "CountMin", "CountSketch", "NitroSketch", "Sketch", "UnivMon"]
