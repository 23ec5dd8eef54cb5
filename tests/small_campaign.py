"""A campaign small enough for tests: two iterations of ten candidates, everything in it real."""

from __future__ import annotations

from typing import Any

from hea_loop.campaign import Campaign, parse_campaign


def small_campaign(**changes: Any) -> Campaign:
    """The small campaign with some of its keys replaced."""
    spec: dict[str, Any] = {
        "name": "small",
        "seed": 3,
        "palette": {
            "elements": {e: {"max": 0.5} for e in ("Hf", "Mo", "Nb", "Ta", "Ti", "W", "Zr")},
            "number_of_elements": {"min": 3, "max": 4},
        },
        "targets": {
            "shear_modulus": {"min": 40, "max": 90, "unit": "GPa"},
            "density": {"max": 13, "unit": "g/cm3"},
            "solidus": {"min": 2000, "unit": "K"},
        },
        "verdicts": {"single_phase_bcc": {"temperatures_K": [1473]}},
        "validators": {"calphad": {"budget": 100}},
        "strategy": {"name": "cgan-2021", "options": {"steps": 40}, "oversample": 20},
        "iterations": 2,
        "batch_size": 10,
        "random_share": 0.2,
    }
    return parse_campaign({**spec, **changes})
