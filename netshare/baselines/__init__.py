"""Baselines: published and simple generators of traces, to compare ours with, all behind `Generator`.

from netshare.baselines import BASELINES
model = BASELINES["hmm"].create(encoded.schema)
"""

from netshare.baselines.registry import BASELINES, FAMILIES, Method, all_methods, choose_methods

__all__ = ["BASELINES", "FAMILIES", "Method", "all_methods", "choose_methods"]
