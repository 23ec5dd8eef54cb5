"""Campaign files with one fault each. JSON is YAML, so most are written as JSON."""

from __future__ import annotations

import copy
import json
from typing import Any

SPEC: dict[str, Any] = {
    "name": "bad",
    "palette": {"elements": {"Mo": {}, "Nb": {}, "Ta": {}, "Ti": {}, "W": {"max": 0.3}}},
    "targets": {"density": {"max": 9.5, "unit": "g/cm3"}},
    "verdicts": {"single_phase_bcc": {"temperatures_K": [1273]}},
    "validators": {"calphad": {"budget": 20}},
}
_REMOVED = object()


def without(*path: str) -> str:
    """The campaign without the key at a path."""
    return changed(path, _REMOVED)


def changed(path: tuple[str, ...], value: Any) -> str:
    """The campaign with another value at a path, which is made where it is not there."""
    spec = copy.deepcopy(SPEC)
    place = spec
    for key in path[:-1]:
        place = place.setdefault(key, {})
    if value is _REMOVED:
        del place[path[-1]]
    else:
        place[path[-1]] = value
    return json.dumps(spec)


def with_text(path: tuple[str, ...], text: str) -> str:
    """The campaign with a piece of YAML at a path, for what JSON cannot say."""
    return changed(path, "@here@").replace('"@here@"', text)


GOOD = json.dumps(SPEC)

FAULTS: dict[str, tuple[str | bytes, tuple[str, ...]]] = {
    "empty file": ("", ("is not a campaign",)),
    "only a comment": ("# later\n", ("is not a campaign",)),
    "not YAML": ("name: [unclosed\n  - x: {", ("is not valid YAML",)),
    "tabs for indentation": ("name: x\npalette:\n\telements: [Nb]\n", ("is not valid YAML",)),
    "a list": ("- name: x\n", ("is not a campaign",)),
    "a number": ("42\n", ("42", "is not a campaign")),
    "duplicate keys": ("name: a\nname: b\n", ("is not valid YAML", "name")),
    "not UTF-8": (b"name: \xff\xfe\n", ("campaign",)),
    "NUL bytes": (b"name: a\0b\n", ("campaign",)),
    "unknown key": (changed(("targetz",), {}), ("targetz", "did you mean targets")),
    "unknown nested key": (
        changed(("targets", "density", "maximum"), 9),
        ("targets.density.maximum", "9", "did you mean max"),
    ),
    "misspelt validator": (changed(("validators", "calphd"), {"budget": 3}), ("calphd", "calphad")),
    "elasticity in another word": (
        changed(("elasticity",), "dft"),
        ("elasticity", "dft", "first-principles"),
    ),
    "bulk modulus that nobody predicts": (
        changed(("targets", "bulk_modulus"), {"min": 150}),
        ("targets.bulk_modulus", "answered by no prediction"),
    ),
    "objective in another word": (
        changed(("objectives",), {"solidus": "upwards"}),
        ("objectives.solidus", "upwards", "maximize"),
    ),
    "objective of no known property": (
        changed(("objectives",), {"solidsu": "maximize"}),
        ("objectives.solidsu", "did you mean solidus"),
    ),
    "objective that nobody answers": (
        changed(("objectives",), {"hardness": "maximize"}),
        ("objectives.hardness", "answered by no prediction"),
    ),
    "objective on a verdict": (
        changed(("objectives",), {"single_phase_bcc": "maximize"}),
        ("objectives.single_phase_bcc", "is no number"),
    ),
    "objectives as a list": (changed(("objectives",), ["solidus"]), ("objectives", "solidus")),
    "cost of nothing": (
        changed(("validators", "calphad", "cost"), 0),
        ("validators.calphad.cost", "0", "greater than 0"),
    ),
    "cost below zero": (changed(("validators", "calphad", "cost"), -2), ("validators.calphad.cost", "-2")),
    "diversity above one": (changed(("strategy", "diversity"), 1.5), ("strategy.diversity", "1.5")),
    "wanted of no condition": (
        changed(("strategy", "wanted"), {"hardness": {"min": 300}}),
        ("strategy.wanted.hardness", "is not among strategy.conditions"),
    ),
    "condition that is a label": (
        changed(("strategy", "conditions"), ["phases_observed"]),
        ("strategy.conditions", "phases_observed", "is no number"),
    ),
    "own data that are not there": (
        changed(("strategy", "data"), "/nowhere/alloys.csv"),
        ("strategy.data", "/nowhere/alloys.csv", "cannot be read"),
    ),
    "no name": (without("name"), ("name", "is missing")),
    "empty name": (changed(("name",), ""), ("name", "''")),
    "name with a slash": (changed(("name",), "../up"), ("name", "'../up'")),
    "name of another campaign": (
        changed(("name",), "example"),
        ("name", "'example'", "in the store with another"),
    ),
    "name that is too long": (changed(("name",), "x" * 64), ("name", "xxx")),
    "no palette": (without("palette"), ("palette", "is missing")),
    "palette without elements": (changed(("palette", "elements"), {}), ("palette.elements", "{}")),
    "unknown element": (changed(("palette", "elements", "Xx"), {}), ("palette.elements.Xx", "'Xx'")),
    "element twice": (changed(("palette", "elements"), ["Nb", "Nb", "Ti"]), ("palette.elements", "twice")),
    "lower bound above upper": (
        changed(("palette", "elements", "Nb"), {"min": 0.5, "max": 0.2}),
        ("palette.elements.Nb", "0.5", "0.2"),
    ),
    "bound above one": (
        changed(("palette", "elements", "Nb"), {"max": 50}),
        ("palette.elements.Nb.max", "50"),
    ),
    "negative bound": (
        changed(("palette", "elements", "Nb"), {"min": -0.1}),
        ("palette.elements.Nb.min", "-0.1"),
    ),
    "bound that leaves nothing": (
        changed(("palette", "elements", "Nb"), {"max": 0}),
        ("palette.elements.Nb", "0"),
    ),
    "bounds that cannot reach one": (
        changed(("palette", "elements"), {"Nb": {"max": 0.2}, "Ti": {"max": 0.3}}),
        ("palette",),
    ),
    "required elements above one": (
        changed(
            ("palette", "elements"),
            {"Nb": {"min": 0.7, "required": True}, "Ti": {"min": 0.6, "required": True}},
        ),
        ("palette",),
    ),
    "more elements than the palette has": (
        changed(("palette", "number_of_elements"), {"min": 9}),
        ("palette.number_of_elements", "9"),
    ),
    "nothing to hit": (
        json.dumps({k: v for k, v in SPEC.items() if k not in {"targets", "verdicts"}}),
        ("nothing to hit",),
    ),
    "target above its upper bound": (
        changed(("targets", "density"), {"min": 12, "max": 9.5}),
        ("targets.density", "12", "9.5"),
    ),
    "target without bounds": (changed(("targets", "density"), {}), ("targets.density", "min, max or both")),
    "target that is a number": (changed(("targets", "density"), 9.5), ("targets.density", "9.5")),
    "target that is no number": (
        changed(("targets", "density", "max"), "light"),
        ("targets.density.max", "'light'"),
    ),
    "target that is yes": (
        with_text(("targets", "density", "max"), "true"),
        ("targets.density.max", "True", "number"),
    ),
    "target that is not a number": (
        with_text(("targets", "density", "max"), ".nan"),
        ("targets.density.max", "nan"),
    ),
    "target that is infinite": (
        with_text(("targets", "density", "max"), ".inf"),
        ("targets.density.max", "inf"),
    ),
    "wrong unit": (
        changed(("targets", "density", "unit"), "kg/m3"),
        ("targets.density.unit", "'kg/m3'", "g/cm3"),
    ),
    "unknown property": (
        changed(("targets", "shear_modulos"), {"min": 3}),
        ("targets.shear_modulos", "did you mean shear_modulus"),
    ),
    "verdict among the targets": (
        changed(("targets", "single_phase_bcc"), {"min": 1}),
        ("targets", "verdicts"),
    ),
    "target among the verdicts": (
        changed(("verdicts", "density"), {"temperatures_K": [1273]}),
        ("verdicts.density", "not a yes-or-no answer"),
    ),
    "verdict without temperatures": (
        changed(("verdicts", "single_phase_bcc", "temperatures_K"), []),
        ("verdicts.single_phase_bcc.temperatures_K", "[]"),
    ),
    "temperature below room temperature": (
        changed(("verdicts", "single_phase_bcc", "temperatures_K"), [25]),
        ("verdicts.single_phase_bcc.temperatures_K", "25"),
    ),
    "temperature above 6000 K": (
        changed(("verdicts", "single_phase_bcc", "temperatures_K"), [60000]),
        ("verdicts.single_phase_bcc.temperatures_K", "60000"),
    ),
    "no validators": (without("validators"), ("validators", "is missing")),
    "validators without calphad": (changed(("validators",), {}), ("validators", "calphad")),
    "budget 0": (changed(("validators", "calphad", "budget"), 0), ("validators.calphad.budget", "0")),
    "negative budget": (
        changed(("validators", "calphad", "budget"), -5),
        ("validators.calphad.budget", "-5"),
    ),
    "half a budget": (
        changed(("validators", "calphad", "budget"), 10.5),
        ("validators.calphad.budget", "10.5"),
    ),
    "no budget": (without("validators", "calphad", "budget"), ("validators.calphad.budget", "is missing")),
    "missing TDB": (
        changed(("validators", "calphad", "database"), "nowhere.tdb"),
        ("nowhere.tdb",),
    ),
    "unknown database": (
        changed(("validators", "calphad", "database"), "refractory99"),
        ("refractory99",),
    ),
    "palette without a database": (
        changed(("palette", "elements", "Re"), {}),
        ("palette.elements", "Re", "refractory10"),
    ),
    "unknown strategy": (changed(("strategy", "name"), "cgan-2020"), ("strategy.name", "'cgan-2020'")),
    "unknown option of the strategy": (
        changed(("strategy", "options"), {"magic": 3}),
        ("strategy.options.magic", "3"),
    ),
    "option of the strategy out of range": (
        changed(("strategy", "options"), {"steps": 0}),
        ("strategy.options.steps", "0"),
    ),
    "oversample 0": (changed(("strategy", "oversample"), 0), ("strategy.oversample", "0")),
    "no iterations": (changed(("iterations",), 0), ("iterations", "0")),
    "iterations in words": (changed(("iterations",), "five"), ("iterations", "'five'")),
    "empty batch": (changed(("batch_size",), 0), ("batch_size", "0")),
    "nothing but random": (changed(("random_share",), 1), ("random_share", "1")),
    "negative random share": (changed(("random_share",), -0.1), ("random_share", "-0.1")),
    "random share in percent": (changed(("random_share",), 10), ("random_share", "10")),
    "distance above one": (changed(("minimum_distance",), 2), ("minimum_distance", "2")),
    "negative seed": (changed(("seed",), -1), ("seed", "-1")),
    "seed that is a text": (changed(("seed",), "lucky"), ("seed", "'lucky'")),
    "seed too large": (changed(("seed",), 2**32), ("seed", "4294967296")),
    "unknown review": (changed(("review",), "perhaps"), ("review", "'perhaps'")),
    "hit rate above one to stop at": (changed(("stop", "hit_rate"), 2), ("stop.hit_rate", "2")),
    "stop after no hits": (changed(("stop", "hits"), 0), ("stop.hits", "0")),
}
"""Name of the case to the file and to what the error has to name."""
