"""Generators by the name that a campaign file gives them."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from typing import Any, Final

from pydantic import ValidationError

from hea_loop.errors import InputError
from hea_loop.generators.protocol import Generator

__all__ = ["GENERATORS", "generator_from_checkpoint", "generator_named"]


def _cgan_2021(options: Mapping[str, Any]) -> Generator:
    from hea_loop.generators.cgan_2021 import Cgan2021, Cgan2021Options

    return Cgan2021(Cgan2021Options.model_validate(dict(options)))


def _cgan_2021_checkpoint(content: bytes) -> Generator:
    from hea_loop.generators.cgan_2021 import Cgan2021

    return Cgan2021.from_checkpoint(content)


GENERATORS: Final[
    dict[str, tuple[Callable[[Mapping[str, Any]], Generator], Callable[[bytes], Generator]]]
] = {"cgan-2021": (_cgan_2021, _cgan_2021_checkpoint)}
"""Name to (from options, from checkpoint). torch is imported only when one is made."""


def _entry(name: str) -> tuple[Callable[[Mapping[str, Any]], Generator], Callable[[bytes], Generator]]:
    if name in GENERATORS:
        return GENERATORS[name]
    near = difflib.get_close_matches(name, GENERATORS, n=1)
    mend = f"did you mean {near[0]}?" if near else f"known are {', '.join(GENERATORS)}"
    raise InputError("strategy.name", name, "is not a known generator", mend)


def generator_named(name: str, options: Mapping[str, Any] | None = None) -> Generator:
    """Return an untrained generator.

    Args:
        name: As in ``strategy.name`` of a campaign, for example ``cgan-2021``.
        options: As in ``strategy.options``; what is left out has its default.

    Raises:
        InputError: No generator of that name, an unknown option, or a value that it cannot have.
    """
    make = _entry(name)[0]
    try:
        return make(options or {})
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


def generator_from_checkpoint(name: str, content: bytes) -> Generator:
    """Return the trained generator of a checkpoint.

    Args:
        name: The strategy's name that is stored with the checkpoint.
        content: What :meth:`Generator.checkpoint` gave.

    Raises:
        InputError: No generator of that name, or bytes that are no checkpoint of it.
    """
    return _entry(name)[1](content)
