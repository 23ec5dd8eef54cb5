"""What the validators will answer: learned from every answer so far, with how sure that is.

Two kinds of question are learned. A numeric target that a validator decides (``solidus``): a Gaussian process
on its difference from a prior mean, which for the solidus is the rule-of-mixtures melting point, its standard
deviations scaled so that 95% of the answers, each left out in turn, lie where it says. A verdict that
has to hold at several temperatures: a Gaussian process on how many of them hold, so that an alloy that misses
one temperature of four tells more than a bare no; the probability of a yes at all of them is the mass beyond
the threshold between "all" and "all but one" (classification by regression on the latent value: Rasmussen and
Williams, Gaussian Processes for Machine Learning, 2006, section 6.5, ISBN 026218253X). As soon as there are fifteen
equilibria that state the driving force of every phase, a bcc verdict is learned from these instead
(:mod:`hea_loop.surrogates.phase_competition`). The processes are those of
:mod:`hea_loop.surrogates.composition_gp`, which see the electrons per atom and the size mismatch beside the atomic
fractions.

Before anything is known the answers are the prior: a bcc verdict as published phases of alloys nearby let expect
(:mod:`hea_loop.surrogates.reported_phases`; probability 0.5 without any), the solidus and the other temperatures of
melting about the rule-of-mixtures melting point by a wide guess, and a probability may be anything.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.stats import norm

from hea_loop.campaign import Campaign, Target, Verdict
from hea_loop.elasticity import ElasticModel, learned_targets, predicted, predicted_means
from hea_loop.elements import element_vector
from hea_loop.errors import InputError
from hea_loop.prediction import predict_array
from hea_loop.scoring import KnownValue, decisive_value
from hea_loop.surrogates.phase_competition import PhaseAnswer, PhaseCompetition
from hea_loop.surrogates.reported_phases import PhaseReport, ReportedPhases, link

__all__ = ["MOST_ANSWERS", "Estimate", "Surrogate", "fit_surrogate"]

Array = NDArray[np.float64]

MOST_ANSWERS: Final = 500
"""Answers that one fit takes, the newest: the cost grows with the cube, and they lie where the search is."""

_FEWEST_TO_TUNE: Final = 15
"""With fewer answers the kernel keeps its starting values: the likelihood of so few prefers extremes."""


@dataclass(frozen=True, slots=True)
class _Prior:
    """What is assumed of a numeric property before any answer: a wide guess, which the answers replace.

    Attributes:
        baseline: The predicted property that it is measured from; None for a number that stands for itself.
        offset: Mean difference from the baseline, in the property's unit.
        spread: Standard deviation of that difference.
    """

    baseline: str | None
    offset: float
    spread: float


_PRIORS: Final = {
    "solidus": _Prior("melting_temperature_rom", -400.0, 300.0),
    "liquidus": _Prior("melting_temperature_rom", -150.0, 250.0),
    "single_phase_bcc_probability": _Prior(None, 0.5, 0.3),
}
"""One for each numeric target that a validator answers (:data:`hea_loop.properties.CALPHAD_TARGETS`)."""

_BASELINES: Final = {"melting_temperature_rom": "melting_temperature"}
"""The element value whose average over the atoms a baseline is."""

_FEWEST_TO_CALIBRATE: Final = 20
"""With fewer answers the share of left-out ones that lie outside their interval says next to nothing."""

_LATENT_SCALES: Final = (0.0, 1.2)  # before any answer a verdict is as likely to hold as not
_LATENT_NOISE: Final = 0.3

_STEP_NOISE: Final = 0.3
"""Noise of a verdict's latent value, over the number of its temperatures: the value is a step, of 2 on this scale, and
nothing is known within the step. A learned noise vanishes where all answers were yes, and so did all doubt: on the
answers of two recorded campaigns the surprise (log loss) of the next iteration fell by 20 and 46%."""

_DOUBT: Final = (0.4, 0.5)
"""Mean and standard deviation of the logarithm of the doubt beforehand: 1.5, within 0.9 and 2.5 most likely."""

_REPORTED: Final = "single_phase_bcc"
"""The verdict of which published phases are a lower fidelity."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """Distribution of one numeric property over compositions.

    Attributes:
        mean: ``n`` means, in the property's unit.
        sigma: ``n`` standard deviations, in the same unit.
    """

    mean: Array
    sigma: Array


@dataclass(frozen=True, slots=True)
class _Numeric:
    name: str
    target: Target
    baseline: str | None  # predicted property that is added to the process
    process: Any  # a fitted CompositionGP, None without answers
    offset: float
    spread: float


@dataclass(frozen=True, slots=True)
class _YesNo:
    name: str
    verdict: Verdict
    process: Any
    doubt: float = 1.0  # by what the latent value's distance from zero is divided; see _doubt

    def probability(self, fractions: Array) -> Array:
        if self.process is None or len(fractions) == 0:
            return np.full(len(fractions), 0.5)
        if isinstance(self.process, PhaseCompetition):
            return self.process.probability(fractions)
        mean, sigma = self.process.predict(fractions)
        return np.asarray(norm.cdf(mean / (self.doubt * sigma)), dtype=float)


@dataclass(frozen=True, slots=True)
class Surrogate:
    """The fitted models of one campaign; build it with :func:`fit_surrogate`.

    Attributes:
        elements: The columns of every fraction array, ``m`` of them.
        numeric: One model per numeric target that a validator decides.
        verdicts: One model per verdict.
        answers: How many materials it has learned from.
        targets: Those of the campaign that a prediction decides.
        elasticity: The model that predicts some of them; None where all are formulas.
    """

    elements: tuple[str, ...]
    numeric: tuple[_Numeric, ...]
    verdicts: tuple[_YesNo, ...]
    answers: int
    targets: Mapping[str, Target] = field(default_factory=dict)
    elasticity: ElasticModel | None = None

    def predicted(self, fractions: Array) -> dict[str, Estimate]:
        """Distribution of each target that a prediction decides; without spread where that is a formula.

        Args:
            fractions: ``n x m`` atomic fractions.
        """
        rows, names = _checked(fractions, self.elements), tuple(self.targets)
        if not names or not len(rows):
            return {name: Estimate(np.empty(0), np.empty(0)) for name in names}
        found = predicted(rows, self.elements, names, self.elasticity)
        return {name: Estimate(*pair) for name, pair in found.items()}

    def predicted_means(self, fractions: Array) -> dict[str, Array]:
        """The means of :meth:`predicted`, which are what a candidate is judged by; they cost less than both."""
        rows, names = _checked(fractions, self.elements), tuple(self.targets)
        if not names or not len(rows):
            return {name: np.empty(0) for name in names}
        return predicted_means(rows, self.elements, names, self.elasticity)

    def probability(self, fractions: Array) -> Array:
        """Probability that all holds that validators decide or that a model predicts with its uncertainty.

        The questions are taken as independent given the composition. What a formula predicts is not in it.

        Args:
            fractions: ``n x m`` atomic fractions.

        Returns:
            ``n`` numbers from 0 to 1.
        """
        rows = _checked(fractions, self.elements)
        out = np.ones(len(rows))
        if learned := learned_targets(tuple(self.targets), self.elasticity):
            distributions = self.predicted(rows)
            for name in learned:
                out *= _inside(self.targets[name], distributions[name])
        for model in self.numeric:
            out *= _inside(model.target, _numeric_estimate(model, rows, self.elements))
        for probability in self.verdict_probability(rows).values():
            out *= probability
        return out

    def estimates(self, fractions: Array) -> dict[str, Estimate]:
        """Distribution of each numeric target that validators decide.

        Args:
            fractions: ``n x m`` atomic fractions.

        Returns:
            By property.
        """
        rows = _checked(fractions, self.elements)
        return {m.name: _numeric_estimate(m, rows, self.elements) for m in self.numeric}

    def verdict_probability(self, fractions: Array) -> dict[str, Array]:
        """Probability of each verdict to hold at all its temperatures, ``n`` numbers each."""
        rows = _checked(fractions, self.elements)
        return {model.name: model.probability(rows) for model in self.verdicts}

    def condition_on_pending(self, fractions: Array) -> Surrogate:
        """Take in compositions that validators are still at work on, without their answers.

        Each counts as if the validators had answered what is expected of it (the kriging believer: Ginsbourger,
        Le Riche and Carraro 2010, doi 10.1007/978-3-642-10701-6_6): means stay, uncertainties shrink nearby, so
        that the next choice asks elsewhere. What has no answer at all yet stays as open as it was.

        Args:
            fractions: ``k x m`` atomic fractions; ``k`` may be zero.

        Returns:
            Another surrogate; this one stays as it is.
        """
        rows = _checked(fractions, self.elements)
        if len(rows) == 0:
            return self
        return replace(
            self,
            numeric=tuple(replace(m, process=_believing(m.process, rows)) for m in self.numeric),
            verdicts=tuple(replace(m, process=_believing(m.process, rows)) for m in self.verdicts),
        )


def fit_surrogate(
    campaign: Campaign,
    elements: Sequence[str],
    fractions: Array,
    answers: Sequence[Sequence[KnownValue]],
    elasticity: ElasticModel | None = None,
    reports: Sequence[PhaseReport] = (),
) -> Surrogate:
    """Learn from all answers so far.

    The fit has no random part: the same answers in the same order give the same surrogate.

    Args:
        campaign: Its targets and verdicts say what is to be learned; targets that are judged by a prediction
            (:meth:`hea_loop.campaign.Campaign.predictable`) are not.
        elements: ``m`` symbols, the columns of ``fractions``.
        fractions: ``n x m`` atomic fractions of the materials with an answer; ``n`` may be zero.
        answers: ``n`` collections of values, one per row, oldest material first. Predictions are no
            answers and are left out.
        elasticity: What predicts the elastic moduli of a campaign that says ``first-principles``.
        reports: Published phases, the lower fidelity of the verdict ``single_phase_bcc``.

    Raises:
        InputError: The shapes do not fit, an element has no pure-element values, or the model of the elastic moduli is
            missing or not asked for.
    """
    rows = np.asarray(fractions, dtype=float).reshape(-1, len(elements))
    if rows.shape[0] != len(answers):
        raise InputError(
            "answers", len(answers), f"do not fit {rows.shape[0]} compositions", "give one entry per row"
        )
    rows, kept = rows[-MOST_ANSWERS:], [_validated(values) for values in answers[-MOST_ANSWERS:]]
    if (elasticity is None) != (campaign.elasticity == "linear-combination"):
        raise InputError(
            "elasticity",
            campaign.elasticity,
            "does not go with the model given",
            "give one where it is learned",
        )
    symbols = tuple(elements)
    formulas = campaign.predictable()
    numeric = tuple(
        _fit_numeric(name, target, rows, symbols, kept)
        for name, target in campaign.targets.items()
        if name not in formulas
    )
    targets = {name: t for name, t in campaign.targets.items() if name in formulas}
    reported = ReportedPhases.fit(symbols, reports) if _REPORTED in campaign.verdicts else None
    verdicts = tuple(
        _fit_verdict(name, v, rows, symbols, kept, reported if name == _REPORTED else None)
        for name, v in campaign.verdicts.items()
    )
    return Surrogate(symbols, numeric, verdicts, len(kept), targets, elasticity)


def _validated(values: Sequence[KnownValue]) -> list[KnownValue]:
    return [v for v in values if v.fidelity != "prediction"]


def _inside(target: Target, estimate: Estimate) -> Array:
    low = -np.inf if target.min is None else target.min
    high = np.inf if target.max is None else target.max
    spread = np.maximum(estimate.sigma, 1e-300)
    return np.asarray(norm.cdf(high, estimate.mean, spread) - norm.cdf(low, estimate.mean, spread))


def _checked(fractions: Array, elements: tuple[str, ...]) -> Array:
    rows = np.asarray(fractions, dtype=float)
    if rows.ndim != 2 or rows.shape[1] != len(elements):
        raise InputError("fractions", rows.shape, f"is not n x {len(elements)}", "one column per element")
    return rows


def _believing(process: Any, rows: Array) -> Any:
    return None if process is None else process.condition_on_pending(rows)


def _prior_mean(baseline: str | None, fractions: Array, elements: tuple[str, ...]) -> Array:
    if len(fractions) == 0 or baseline is None:
        return np.zeros(len(fractions))
    return predict_array(fractions, elements, (baseline,))[baseline]


def _fit_numeric(
    name: str,
    target: Target,
    fractions: Array,
    elements: tuple[str, ...],
    answers: Sequence[Sequence[KnownValue]],
) -> _Numeric:
    prior = _PRIORS[name]
    found = [decisive_value(values, name) for values in answers]
    rows = [i for i, value in enumerate(found) if value is not None]
    y = np.array([value.value for value in found if value is not None])
    if len(rows) < 2:
        missed = y - _prior_mean(prior.baseline, fractions, elements)[rows]
        offset = float(missed.mean()) if rows else prior.offset
        return _Numeric(name, target, prior.baseline, None, offset, prior.spread)
    from hea_loop.surrogates.composition_gp import CompositionGP, LinearCombination

    mean = None
    if prior.baseline is not None:
        mean = LinearCombination(tuple(element_vector(elements, _BASELINES[prior.baseline])))
    # few answers say little about the spread: the prior's is mixed in with the weight of four answers
    process = CompositionGP.fit(elements, fractions[rows], y, prior_mean=mean, spread=prior.spread)
    if len(rows) >= _FEWEST_TO_CALIBRATE:
        process = process.calibrated([str(i) for i in range(len(rows))])
    return _Numeric(name, target, prior.baseline, process, process.offset, process.spread)


def _fit_verdict(
    name: str,
    verdict: Verdict,
    fractions: Array,
    elements: tuple[str, ...],
    answers: Sequence[Sequence[KnownValue]],
    reported: ReportedPhases | None,
) -> _YesNo:
    listed = len(verdict.temperatures_K)
    rows, latent, equilibria = [], [], []
    for i, values in enumerate(answers):
        decisive = [decisive_value(values, name, t) for t in verdict.temperatures_K]
        found = [value for value in decisive if value is not None]
        held = [value.value >= 0.5 for value in found]
        # a missing temperature leaves the whole open, unless another one has failed already
        if not held or (all(held) and len(held) < listed):
            continue
        rows.append(i)
        # zero lies midway between "all" and "all but one"
        latent.append((sum(held) - (listed - 0.5)) / (0.5 * listed))
        equilibria.append([PhaseAnswer(v.value >= 0.5, v.driving_forces) for v in found])
    if not rows:
        return _YesNo(name, verdict, reported)
    if len(rows) >= _FEWEST_TO_TUNE and all(a.driving_forces for row in equilibria for a in row):
        return _YesNo(name, verdict, PhaseCompetition.fit(elements, fractions[rows], equilibria))
    from hea_loop.surrogates.composition_gp import CompositionGP

    process = CompositionGP.fit(
        elements,
        fractions[rows],
        np.array(latent),
        prior_mean=None if reported is None else link(reported, fractions[rows], np.array(latent)),
        noise=_STEP_NOISE / listed if len(rows) >= _FEWEST_TO_TUNE else None,
        scales=_LATENT_SCALES,
        starting_noise=_LATENT_NOISE,
    )
    doubt = _doubt(process, np.array(latent) > 0) if len(rows) >= _FEWEST_TO_CALIBRATE else 1.0
    return _YesNo(name, verdict, process, doubt)


def _doubt(process: Any, held: NDArray[np.bool_]) -> float:
    """How much less sure of a verdict to be than the normal law of its latent value says.

    The values are steps, not normal: a process that has seen only yes nearby is surer than its left-out answers allow.
    The scale of the probit is the likeliest of the answers, each left out in turn (J. Platt, in Advances in Large
    Margin Classifiers, MIT Press 1999, p. 61, section 2, with a scale and no offset), under a log-normal prior.
    """
    mean, sigma = process.left_out([str(i) for i in range(len(held))])
    z = np.where(held, 1.0, -1.0) * mean / sigma

    def surprise(logarithm: float) -> float:
        said = norm.logcdf(z / np.exp(logarithm)).sum()
        return float(((logarithm - _DOUBT[0]) / _DOUBT[1]) ** 2 / 2 - said)

    found = minimize_scalar(surprise, bounds=(-1.0, 3.0), method="bounded")
    return float(np.exp(found.x))


def _numeric_estimate(model: _Numeric, fractions: Array, elements: tuple[str, ...]) -> Estimate:
    if model.process is not None and len(fractions):
        return Estimate(*model.process.predict(fractions))
    prior = _prior_mean(model.baseline, fractions, elements)
    return Estimate(prior + model.offset, np.full(len(fractions), model.spread))
