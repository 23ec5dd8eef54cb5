"""Generators by the name that a campaign file gives them."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from importlib import import_module
from typing import Any, Final

from pydantic import ValidationError

from hea_loop.errors import InputError
from hea_loop.generators.protocol import Generator

__all__ = ["GENERATORS", "generator_from_checkpoint", "generator_named"]

GENERATORS: Final[dict[str, tuple[str, str, str]]] = {
    "cgan-2021": ("hea_loop.generators.cgan_2021", "Cgan2021", "Cgan2021Options"),
    "flow-matching": ("hea_loop.generators.flow_matching", "FlowMatching", "FlowMatchingOptions"),
    "cwgan-gp": ("hea_loop.generators.cwgan_gp", "CwganGp", "CwganGpOptions"),
    "cvae": ("hea_loop.generators.cvae", "Cvae", "CvaeOptions"),
    "cgan-property": ("hea_loop.generators.cgan_property", "CganProperty", "CganPropertyOptions"),
    "random": ("hea_loop.generators.controls_sampling", "RandomAlloys", "RandomOptions"),
    "neighbour-jitter": (
        "hea_loop.generators.controls_sampling",
        "NeighbourJitter",
        "NeighbourJitterOptions",
    ),
    "nsga2": ("hea_loop.generators.controls_nsga2", "Nsga2", "Nsga2Options"),
    "cma-es": ("hea_loop.generators.controls_cma_es", "CmaEs", "CmaEsOptions"),
    "surrogate-gradient": (
        "hea_loop.generators.controls_gradient",
        "SurrogateGradient",
        "SurrogateGradientOptions",
    ),
}
"""Name to (module, generator class, pydantic class of its options). The module, and torch with it, is imported only
when one is made; the generator class is called with the options."""


def _classes(name: str) -> tuple[Any, Any]:
    """Generator class and options class of a name."""
    if name not in GENERATORS:
        near = difflib.get_close_matches(name, GENERATORS, n=1)
        mend = f"did you mean {near[0]}?" if near else f"known are {', '.join(GENERATORS)}"
        raise InputError("strategy.name", name, "is not a known generator", mend)
    path, generator, options = GENERATORS[name]
    module = import_module(path)
    return getattr(module, generator), getattr(module, options)


def generator_named(name: str, options: Mapping[str, Any] | None = None) -> Generator:
    """Return an untrained generator.

    Args:
        name: As in ``strategy.name`` of a campaign, for example ``cgan-2021``.
        options: As in ``strategy.options``; what is left out has its default.

    Raises:
        InputError: No generator of that name, an unknown option, or a value that it cannot have.
    """
    generator, described = _classes(name)
    try:
        made: Generator = generator(described.model_validate(dict(options or {})))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        path = ".".join(str(part) for part in first["loc"])
        if first["type"] == "extra_forbidden":
            raise InputError(
                f"strategy.options.{path}",
                first["input"],
                f"is not an option of {name}",
                "remove it, or see docs/generators.md for the options",
            ) from None
        raise InputError(
            f"strategy.options.{path}",
            first["input"],
            str(first["msg"]),
            "see docs/generators.md for the range",
        ) from None
    return made


def generator_from_checkpoint(name: str, content: bytes) -> Generator:
    """Return the trained generator of a checkpoint.

    Args:
        name: The strategy's name that is stored with the checkpoint.
        content: What :meth:`Generator.checkpoint` gave.

    Raises:
        InputError: No generator of that name, or bytes that are no checkpoint of it.
    """
    made: Generator = _classes(name)[0].from_checkpoint(content)
    return made
