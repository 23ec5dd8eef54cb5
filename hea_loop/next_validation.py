"""Which candidates of an iteration go to which validator next: the campaign's side of the choice across fidelities.

A validator that has answered has said yes or no. What it has not answered is a probability: of the learned
surrogates, of the elastic model with its uncertainty, and of a formula with the uncertainty of that formula, since
the validator will not find the formula's number but the truth. The order, and who is worth the cost, is the matter
of :func:`hea_loop.acquisition.choose_fidelities`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from hea_loop.acquisition import Fidelity, choose_fidelities
from hea_loop.acquisition.probability import Interval, probability_all
from hea_loop.campaign import Campaign, Target
from hea_loop.composition import Composition
from hea_loop.elasticity import learned_targets
from hea_loop.errors import InputError
from hea_loop.prediction import PREDICTED_PROPERTIES, sigma_array
from hea_loop.scoring import KnownValue, decisive_value
from hea_loop.surrogate import Surrogate

__all__ = ["choose_next_validations"]

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]


def choose_next_validations(
    campaign: Campaign,
    fidelities: Sequence[Fidelity],
    surrogate: Surrogate,
    compositions: Sequence[Composition],
    known: Sequence[Sequence[KnownValue]],
    *,
    answered: Mapping[str, Flags] | None = None,
    pending: Mapping[str, Flags] | None = None,
    number: int | None = None,
) -> dict[str, list[int]]:
    """Decide which of some candidates go to which validator now.

    A target that several validators answer belongs to the last one given. Until that one has answered, what a lower one
    says of it does not end a candidate. Targets that no validator answers are judged by their known or predicted value.

    Args:
        campaign: Its targets and verdicts.
        fidelities: Its validators, the cheapest first, with what each answers, its cost and what is left of its budget.
        surrogate: Of the campaign; its elements are the palette's.
        compositions: ``n`` candidates.
        known: ``n`` collections of what is known of them, predictions included, oldest first.
        answered: By validator, which candidates it has been asked and is done with. One that gave no answer (failed,
            unconverged) counts as a no: it cannot be confirmed.
        pending: By validator, which it is working on.
        number: Most candidates to send in all; None for as many as the budgets allow.

    Returns:
        By validator, indices of the candidates to send, best first.

    Raises:
        InputError: As :func:`hea_loop.acquisition.choose_fidelities`, or collections that do not fit the candidates.
    """
    n = len(compositions)
    if len(known) != n:
        raise InputError("known", len(known), f"does not fit {n} candidates", "give one collection for each")
    if n == 0:
        return {f.name: [] for f in fidelities}
    rows = np.array([c.fraction_vector(surrogate.elements) for c in compositions])
    asked = (*campaign.targets, *campaign.verdicts)
    owner = {name: f.name for f in fidelities for name in f.answers if name in asked}
    chances = _chances(campaign, surrogate, rows)
    # what a validator is to say, a prediction has not said for it
    answers = [[v for v in values if v.fidelity != "prediction"] for values in known]
    held = {name: _held(campaign, name, answers if name in owner else known) for name in asked}
    done = {f.name: np.zeros(n, dtype=bool) for f in fidelities} | dict(answered or {})
    passes = {}
    for f in fidelities:
        mine = [name for name, who in owner.items() if who == f.name]
        open_ = np.prod([chances[name] for name in mine], axis=0) if mine else np.ones(n)
        said = np.all([held[name] == 1.0 for name in mine], axis=0) if mine else np.ones(n, dtype=bool)
        passes[f.name] = np.where(done[f.name], said.astype(float), open_)
    nobody = [name for name in asked if name not in owner]
    other = np.all([held[name] == 1.0 for name in nobody], axis=0) if nobody else np.ones(n, dtype=bool)
    sent = choose_fidelities(
        fidelities, passes, answered=done, pending=pending, other=other.astype(float), number=number
    )
    return {name: indices.tolist() for name, indices in sent.items()}


def _held(campaign: Campaign, name: str, known: Sequence[Sequence[KnownValue]]) -> Array:
    """Whether a target or verdict holds by what is known: 1, 0, NaN where nothing is."""
    out = np.full(len(known), np.nan)
    for i, values in enumerate(known):
        if name in campaign.targets:
            found = decisive_value(values, name)
            if found is not None:
                out[i] = float(campaign.targets[name].holds(found.value))
            continue
        answers = [decisive_value(values, name, t) for t in campaign.verdicts[name].temperatures_K]
        said = [a.value >= 0.5 for a in answers if a is not None]
        if said and (len(said) == len(answers) or not all(said)):
            out[i] = float(all(said))
    return out


def _chances(campaign: Campaign, surrogate: Surrogate, rows: Array) -> dict[str, Array]:
    """Probability of each target and verdict to hold in truth, ``n`` numbers each."""
    out = dict(surrogate.verdict_probability(rows))
    estimates = surrogate.predicted(rows) | surrogate.estimates(rows)
    formulas = [n for n in surrogate.targets if n not in learned_targets((n,), surrogate.elasticity)]
    sigmas = sigma_array(rows, surrogate.elements, [n for n in formulas if n in PREDICTED_PROPERTIES])
    for name, target in campaign.targets.items():
        spread = sigmas.get(name)
        sigma = estimates[name].sigma if spread is None else spread
        out[name] = probability_all({name: (estimates[name].mean, sigma)}, [_interval(name, target)])
    return out


def _interval(name: str, target: Target) -> Interval:
    return Interval(name, target.min, target.max)
