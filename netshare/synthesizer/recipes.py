"""Which recipe a config asks for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from netshare.config.schema import Config
from netshare.privacy.counts.learning import CountsLearning
from netshare.privacy.gradients.learning import GradientsLearning
from netshare.recipe.base import Recipe
from netshare.recipe.learning import TraceLearning
from netshare.recipe.series_recipe import SeriesRecipe
from netshare.recipe.trace_recipe import TraceRecipe

PRIVATE_LEARNING: dict[str, Callable[[Config], TraceLearning]] = {
    "marginals": CountsLearning,
    "gradients": GradientsLearning,
}


def recipe_for(config: Config) -> Recipe[Any]:
    """The recipe for the config's kind of data and way of learning."""
    if config.preset == "timeseries":
        return SeriesRecipe(config)
    if config.privacy.enabled:
        return TraceRecipe(config, PRIVATE_LEARNING[config.privacy.method](config))
    return TraceRecipe(config)
