"""Targets, palettes and known alloys as the commands without a campaign take them."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Final

import typer

from hea_loop.composition import RESOLUTION, Composition, require_element
from hea_loop.errors import InputError
from hea_loop.properties import property_named

if TYPE_CHECKING:
    from hea_loop.campaign import Campaign
    from hea_loop.palette import Palette

__all__ = [
    "Elements",
    "Targets",
    "elements_palette",
    "known_alloys",
    "parse_target",
    "parse_targets",
    "quickstart_palette",
    "targets_of",
]

Targets = Annotated[
    list[str] | None,
    typer.Option(
        "--target",
        metavar="NAME=LOW:HIGH",
        help="An interval on a property in its unit, open on one side if need be (90: or :110). Repeatable.",
    ),
]
Elements = Annotated[
    str | None,
    typer.Option(
        "--elements",
        metavar="E-E-...",
        help="The elements, each absent or at least 0.5 at.%; default is the quickstart's palette with its bounds.",
    ),
]
Interval = tuple[float | None, float | None]

_TRACE: Final = 5  # parts of 1000; below it an element counts as absent, as in the measures of generators
_SHAPE: Final = "write NAME=LOW:HIGH, as in shear_modulus=90:110, shear_modulus=90: or shear_modulus=:110"


def parse_target(text: str) -> tuple[str, Interval]:
    """Read ``NAME=LOW:HIGH``.

    Raises:
        InputError: No such property, no interval, or not numbers.
    """
    name, equals, interval = (part.strip() for part in text.partition("="))
    if not equals or not name:
        raise InputError("--target", text, "is no target", _SHAPE)
    entry = property_named(name, field="--target")
    if entry.is_text or entry.is_verdict:
        raise InputError("--target", text, f"{name} has no interval", "a verdict stands in a campaign file")
    low, colon, high = (part.strip() for part in interval.partition(":"))
    if not colon:
        mend = _SHAPE
        value = _number(low)
        if value is not None and value:
            around = sorted((0.95 * value, 1.05 * value))
            mend = f"give an interval, as in {name}={around[0]:.4g}:{around[1]:.4g}"
        raise InputError("--target", text, "is a bare number, and a target is an interval", mend)
    bounds = []
    for side in (low, high):
        value = _number(side) if side else None
        if side and value is None:
            raise InputError("--target", text, f"{side} is not a number", _SHAPE)
        bounds.append(value)
    if bounds[0] is None and bounds[1] is None:
        raise InputError("--target", text, "is open on both sides", _SHAPE)
    if bounds[0] is not None and bounds[1] is not None and bounds[0] > bounds[1]:
        raise InputError("--target", text, "has the low side above the high side", f"swap them: {_SHAPE}")
    return name, (bounds[0], bounds[1])


def _number(text: str) -> float | None:
    # float() also takes 'inf', '1_0' and digits of other scripts
    if not re.fullmatch(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", text, re.ASCII):
        return None
    value = float(text)
    return value if math.isfinite(value) else None


def parse_targets(texts: Sequence[str]) -> dict[str, Interval]:
    """Read the targets in the order given.

    Raises:
        InputError: One that is none, or a property named twice.
    """
    found: dict[str, Interval] = {}
    for text in texts:
        name, interval = parse_target(text)
        if name in found:
            raise InputError(
                "--target", text, "names the property again", "give one interval for each property"
            )
        found[name] = interval
    return found


def targets_of(campaign: Campaign) -> dict[str, Interval]:
    """The targets of a campaign as intervals."""
    return {name: (t.min, t.max) for name, t in campaign.targets.items()}


def quickstart_palette() -> Palette:
    """The default palette."""
    from app.campaign_run import quickstart_file
    from hea_loop.campaign import load_campaign

    return load_campaign(quickstart_file()).design_space()


def elements_palette(text: str | None) -> Palette:
    """Read elements as ``Nb-Mo-Ta`` (commas and blanks do as well); None is the default palette.

    Raises:
        InputError: Fewer than two, one twice, or no elements.
    """
    if text is None:
        return quickstart_palette()
    symbols = [part for part in re.split(r"[-,;\s]+", text.strip()) if part]
    for symbol in symbols:
        require_element(symbol, "--elements", text)
    if len(set(symbols)) != len(symbols):
        raise InputError("--elements", text, "names an element twice", "name each once")
    if len(symbols) < 2:
        raise InputError("--elements", text, "are too few", "give at least two, as in Mo-Nb-Ta")
    number = len(symbols)
    from hea_loop.palette import Palette  # it brings numpy, which --help does not need

    return Palette(
        elements=tuple(sorted(symbols)),
        lower=(_TRACE,) * number,
        upper=(RESOLUTION,) * number,
        required=(False,) * number,
        min_elements=2,
        max_elements=number,
    )


def known_alloys(palette: Palette, database_url: str | None) -> list[Composition]:
    """Alloys of the literature within the elements: those of the store, or the packaged ones without a store.

    Args:
        palette: Its elements decide.
        database_url: The store; None takes the default one if it is there.
    """
    from app.store_access import open_existing_store, store_file
    from db.literature import read_literature, training_compositions

    file = store_file(database_url)
    if database_url is None and file is not None and not file.exists():
        allowed = set(palette.elements)
        found = {r.composition for r in read_literature()}
        return sorted(
            (c for c in found if len(c.elements) >= 2 and allowed.issuperset(c.elements)), key=lambda c: c.key
        )
    with open_existing_store(database_url) as store, store.read() as session:
        return training_compositions(session, palette.elements)
