"""Strategy ``flow-matching``: a conditional flow over alloys, steered onto the condition. The default.

Two parts. A flow (:mod:`hea_loop.generators.velocity_field`) learns which alloys are made, given their properties: it
gives realism and variety. A model of the properties (:mod:`hea_loop.generators.property_models`) then moves each
draw of the flow, on its own elements and as little as needed, onto the wanted values
(:mod:`hea_loop.generators.steering`): it gives accuracy, also where data are thin.

A state of the flow is a point in the plain coordinates of the simplex (standardised fractions) with one more
coordinate an element, +1 present or -1 absent: fractions alone leave a blur around zero, in which presence is lost,
and "analog bits" (Chen, Zhang and Hinton 2023, arXiv:2208.04202) are generated sharply.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Final, Self

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from hea_loop.errors import InputError
from hea_loop.generators.alike import require_alike
from hea_loop.generators.allowed_region import AllowedRegion
from hea_loop.generators.answer_choice import Candidates, chosen, pair_tilt
from hea_loop.generators.assurance import Assurance, nearest
from hea_loop.generators.collapse import CollapseMonitor
from hea_loop.generators.conditioning import checked_conditions
from hea_loop.generators.property_models import PropertyModel, property_model
from hea_loop.generators.protocol import Progress, TrainingData, TrainingRecord
from hea_loop.generators.steering import steer
from hea_loop.generators.torch_execution import chosen_device, device_name, packed, unpacked
from hea_loop.generators.training_metrics import training_metrics
from hea_loop.generators.velocity_field import Batch, FieldSettings, VelocityField, flow, train_fields
from hea_loop.palette import Palette
from hea_loop.torch_threads import one_thread

__all__ = ["FlowMatching", "FlowMatchingOptions"]

Array = NDArray[np.float64]

_FORMAT: Final = "hea-loop flow-matching 1"
_CURVE_POINTS: Final = 40
_CHECK_EVERY: Final = 5  # points of the curve between two looks for collapse
_VARIED: Final = 20_000  # varied alloys that training draws from
_ROWS_AT_ONCE: Final = (
    1024  # draws that are steered together: their covariances with the data stay in the cache
)
_CONDITIONS_AT_ONCE: Final = 4096  # likewise, that are answered together
_NEAREST: Final = 20  # known alloys nearest to a condition that further starts are made of
_MORE: Final = 2  # times as many as are asked are moved apart
_SPREAD: Final = 0.2  # standard deviation of the logarithm of the factors by which they are varied


class FlowMatchingOptions(BaseModel):
    """Options of ``flow-matching``; the defaults are those of every figure in the documentation."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    width: Annotated[int, Field(ge=4, le=2048)] = 128
    """Units of each hidden layer."""
    layers: Annotated[int, Field(ge=1, le=8)] = 3
    """Hidden layers."""
    steps: Annotated[int, Field(ge=1, le=1_000_000)] = 3000
    """Updates."""
    batch_size: Annotated[int, Field(ge=2, le=65536)] = 256
    """Alloys per batch."""
    learning_rate: Annotated[float, Field(gt=0, le=1, allow_inf_nan=False)] = 2e-3
    """Greatest step size of Adam."""
    averaging: Annotated[float, Field(ge=0, lt=1, allow_inf_nan=False)] = 0.995
    """Decay of the exponential average of the weights."""
    hide_one: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)] = 0.1
    """Probability with which each condition is hidden in training."""
    hide_all: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)] = 0.1
    """Probability with which all conditions of an alloy are hidden."""
    jitter: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)] = 0.1
    """Standard deviation of the logarithm of the factors by which fractions of training alloys are varied."""
    blur: Annotated[float, Field(ge=0, le=2, allow_inf_nan=False)] = 0.5
    """Standard deviation of the noise on the conditions in training, in standard deviations of the property."""
    guidance: Annotated[float, Field(ge=0, le=10, allow_inf_nan=False)] = 1.0
    """Weight of classifier-free guidance; 1 is none."""
    flow_steps: Annotated[int, Field(ge=1, le=1000)] = 12
    """Steps of Heun's method from noise to alloy."""
    draws: Annotated[int, Field(ge=1, le=1000)] = 12
    """Alloys drawn for each answer, of which one is kept."""
    further_rounds: Annotated[int, Field(ge=0, le=20)] = 2
    """Times that conditions which too few draws meet are drawn for again."""
    steering_steps: Annotated[int, Field(ge=0, le=100)] = 10
    """Gauss-Newton steps onto the condition; 0 leaves the flow's own alloys."""
    tolerance: Annotated[float, Field(gt=0, le=1, allow_inf_nan=False)] = 0.01
    """Gap at which a condition counts as met, relative to it (of one near zero: to its spread in the data)."""
    reluctance: Annotated[float, Field(ge=0, le=1000, allow_inf_nan=False)] = 10.0
    """Among draws that meet the condition, one moved by steering by d (total variation) is kept with a weight
    exp(-reluctance d)."""
    variety: Annotated[float, Field(ge=0, le=1000, allow_inf_nan=False)] = 5.0
    """Likewise a weight exp(variety d), d the mean total variation to the answers chosen before for an equal
    condition."""
    caution: Annotated[float, Field(ge=0, le=1000, allow_inf_nan=False)] = 150.0
    """Likewise a weight exp(caution P), P the probability, by the learned models' own uncertainty, that its learned
    properties hold within the margin; 0 is none. Formulas have no uncertainty here."""
    margin: Annotated[float, Field(gt=0, le=1, allow_inf_nan=False)] = 0.05
    """Relative error within which a learned property is to hold."""
    exchange: Annotated[float, Field(ge=0, le=1000, allow_inf_nan=False)] = 1.8
    """Where properties are learned: the P that a unit of mean total variation to the answers before is worth."""
    climbed: Annotated[int, Field(ge=0, le=1000)] = 1
    """Where properties are learned: draws, for each answer, that are moved to where P is greater."""
    known: Annotated[int, Field(ge=0, le=1000)] = 20
    """Likewise, compositions near known alloys and between them, for each answer."""
    spreading: Annotated[int, Field(ge=0, le=100)] = 5
    """Likewise, times that twice as many as are asked for equal conditions are chosen and moved apart where P allows;
    0 leaves them where they are."""
    climbing_steps: Annotated[int, Field(ge=0, le=1000)] = 30
    """Steps of that at most; 0 leaves both out."""


@dataclass(frozen=True, slots=True)
class _Scales:
    """Origin and unit of the flow's coordinates.

    Attributes:
        fraction: Mean fraction of each element, shape ``m``.
        spread: One standard deviation for all fractions.
        middle: Mean of each property, shape ``p``, in its coordinate (its unit, or the logarithm).
        scale: Standard deviation of each property, likewise.
        least: Smallest standardised value of each property in the data, shape ``p``.
        most: Largest.
    """

    fraction: Array
    spread: float
    middle: Array
    scale: Array
    least: Array
    most: Array

    @classmethod
    def of(cls, data: TrainingData, model: PropertyModel) -> Self:
        x, c = data.fractions, model.to_coordinates(data.conditions)
        middle, scale = np.nanmean(c, axis=0), np.nanstd(c, axis=0)
        standard = (c - middle) / scale
        return cls(
            fraction=x.mean(axis=0),
            spread=max(float((x - x.mean(axis=0)).std()), 1e-3),
            middle=middle,
            scale=scale,
            least=np.nanmin(standard, axis=0),
            most=np.nanmax(standard, axis=0),
        )


@dataclass(frozen=True, slots=True)
class _Given:
    """What answers are made from."""

    data: TrainingData
    scales: _Scales
    region: AllowedRegion
    model: PropertyModel
    weights: torch.Tensor


class FlowMatching:
    """Conditional flow matching with steering; see the module's text.

    Args:
        options: See :class:`FlowMatchingOptions`.
    """

    name = "flow-matching"

    def __init__(self, options: FlowMatchingOptions | None = None) -> None:
        self.options = options or FlowMatchingOptions()
        self._data: TrainingData | None = None
        self._model: Any = None
        self._weights: Any = None

    def _field(self, data: TrainingData) -> VelocityField:
        return VelocityField(
            2 * len(data.elements), len(data.condition_names), self.options.width, self.options.layers
        )

    # -- training --------------------------------------------------------------------------------------------

    def fit(
        self, data: TrainingData, *, seed: int, device: str | None = None, progress: Progress | None = None
    ) -> TrainingRecord:
        """Train on alloys; see :meth:`hea_loop.generators.protocol.Generator.fit`.

        Rows of which some properties are unknown train as well. Weights start anew: a second call forgets the
        first. Nothing global is changed.

        Raises:
            InputError: A condition that is the same for all alloys, one said to be a formula that is none, or an
                unusable device.
        """
        return self.fit_together([self], [data], [seed], device=device, progress=progress)[0]

    @classmethod
    def fit_together(
        cls,
        members: Sequence[Self],
        data: Sequence[TrainingData],
        seeds: Sequence[int],
        *,
        device: str | None = None,
        progress: Progress | None = None,
    ) -> list[TrainingRecord]:
        """Train several at once, each on its own data from its own seed, as :meth:`fit` would.

        Args:
            members: Generators with the same options.
            data: One for each, with the same numbers of elements and of properties.
            seeds: One for each.
            device: See :meth:`fit`.
            progress: Called with the mean of the members' points.

        Returns:
            A record for each; ``seconds`` is the wall time of training and measuring all of them.

        Raises:
            InputError: As :meth:`fit`, or options or shapes that differ.
        """
        require_alike([member.options for member in members], data, seeds)
        where = chosen_device(device)
        started = time.perf_counter()
        o = members[0].options
        with one_thread():
            runs = [_Run(*given) for given in zip(members, data, seeds, strict=True)]
            every = max(1, o.steps // _CURVE_POINTS)

            def watch(step: int, losses: list[float], averages: torch.Tensor) -> None:
                look = (step // every) % _CHECK_EVERY == 0 or step == o.steps
                points = [
                    run.point(step, loss, average, look=look)
                    for run, loss, average in zip(runs, losses, averages, strict=True)
                ]
                if progress is not None:
                    progress(step, o.steps, {k: float(np.mean([p[k] for p in points])) for k in points[0]})

            weights = train_fields(
                runs[0].field,
                [run.batches(where) for run in runs],
                FieldSettings(
                    steps=o.steps,
                    batch_size=o.batch_size,
                    learning_rate=o.learning_rate,
                    averaging=o.averaging,
                    hide_one=o.hide_one,
                    hide_all=o.hide_all,
                ),
                seeds=seeds,
                device=where,
                every=every,
                watch=watch,
            )
            metrics = [run.finish(own.clone()) for run, own in zip(runs, weights, strict=True)]
        seconds = time.perf_counter() - started
        return [
            TrainingRecord(metrics=found, curve=run.curve, device=device_name(where), seconds=seconds)
            for run, found in zip(runs, metrics, strict=True)
        ]

    def _batches(
        self, data: TrainingData, scales: _Scales, model: PropertyModel, seed: int, where: Any
    ) -> Batch:
        """Batches of varied alloys.

        Every alloy stands several times, its fractions multiplied by random factors on its own elements and its
        properties moved by what the property model says of that change; an unknown one stays unknown. The flow
        then learns the neighbourhood of an alloy instead of the alloy by heart.
        """
        o, rng = self.options, np.random.default_rng(seed)
        copies = max(1, min(32, _VARIED // len(data.fractions)))
        x = np.repeat(data.fractions, copies, axis=0)
        varied = x * np.exp(o.jitter * rng.standard_normal(x.shape))
        varied /= varied.sum(axis=1, keepdims=True)
        with torch.no_grad():
            before = model.coordinates(torch.as_tensor(data.fractions)).numpy()
            after = model.coordinates(torch.as_tensor(varied)).numpy()
        change = np.nan_to_num(after - np.repeat(before, copies, axis=0), posinf=0.0, neginf=0.0)
        given = np.repeat(model.to_coordinates(data.conditions), copies, axis=0)
        wanted = (given + change - scales.middle) / scales.scale
        states = np.concatenate(
            [(varied - scales.fraction) / scales.spread, np.where(varied > 0, 1.0, -1.0)], axis=1
        )
        z = torch.as_tensor(states, dtype=torch.float32, device=where)
        c = torch.as_tensor(wanted, dtype=torch.float32, device=where)

        def batch(size: int, noise: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
            rows = torch.randint(len(z), (size,), generator=noise, device=where)
            blur = torch.randn(size, c.shape[1], generator=noise, device=where)
            return z[rows], c[rows] + o.blur * blur

        return batch

    # -- generation ------------------------------------------------------------------------------------------

    def generate(self, conditions: Array, *, seed: int, palette: Palette | None = None) -> Array:
        """Answer each condition with one composition; see the protocol. Runs on the CPU.

        Answers to equal conditions are chosen together. A condition that no draw can be steered onto is answered by
        the draw that came nearest.
        """
        data, model, weights = self._trained()
        given = _Given(data, _Scales.of(data, model), AllowedRegion.of(data, palette), model, weights)
        wanted = model.to_coordinates(checked_conditions(data, conditions))
        rng, noise = np.random.default_rng(seed), torch.Generator().manual_seed(seed)
        with one_thread():
            parts = [
                self._answers(given, wanted[i : i + _CONDITIONS_AT_ONCE], noise, rng)
                for i in range(0, len(wanted), _CONDITIONS_AT_ONCE)
            ]
        out = np.concatenate(parts) if parts else np.empty((0, len(data.elements)))
        return given.region.rounded(out)

    def _unsteered(
        self, data: TrainingData, scales: _Scales, weights: torch.Tensor, wanted: Array, seed: int
    ) -> Array:
        """The flow's own alloys while it trains, ``n x m``."""
        noise = torch.randn(
            len(wanted), 2 * len(data.elements), generator=torch.Generator().manual_seed(seed)
        )
        region = AllowedRegion.of(data, None)
        return region.placed(*self._drawn(data, scales, weights, wanted, noise))[0]

    def _drawn(
        self, data: TrainingData, scales: _Scales, weights: torch.Tensor, wanted: Array, noise: torch.Tensor
    ) -> tuple[Array, Array]:
        """Draws of the flow: raw fractions and presence (above zero: present), each ``n x m``."""
        # beyond the data the network knows nothing: there the nearest known value is asked of it
        asked = np.clip((wanted - scales.middle) / scales.scale, scales.least, scales.most)
        z = flow(
            self._field(data),
            weights,
            noise,
            torch.as_tensor(asked, dtype=torch.float32),
            guidance=self.options.guidance,
            steps=self.options.flow_steps,
        )
        state = z.double().numpy()
        m = len(data.elements)
        return state[:, :m] * scales.spread + scales.fraction, state[:, m:]

    def _answers(
        self, given: _Given, wanted: Array, noise: torch.Generator, rng: np.random.Generator
    ) -> Array:
        """One answer to each of a few conditions, ``k x m``."""
        o = self.options
        if not o.steering_steps:
            return self._starts(given, wanted, noise)[0]
        # an open condition is a number here, for equal ones to be found
        rows = np.unique(np.nan_to_num(wanted, nan=-np.inf), axis=0, return_index=True, return_inverse=True)
        different, of = wanted[rows[1]], rows[2].reshape(-1)
        number = np.bincount(of)
        sure = self._assurance(given, different)
        assured = sure is not None and o.climbing_steps > 0
        # where properties are learned, most of what is chosen starts from known alloys below
        draws = -(-o.draws // 3) if assured else o.draws
        drawn = self._starts(given, np.repeat(wanted, draws, axis=0), noise)
        found = self._steered(given, different, np.repeat(of, draws), drawn, sure)
        for _ in range(0 if assured else o.further_rounds):
            short = number - np.bincount(
                found.condition[found.tiers(o.tolerance) == 0], minlength=len(number)
            )
            if not (short > 0).any():
                break
            more = np.repeat(np.arange(len(number)), np.where(short > 0, o.draws * (4 + short // 4), 0))
            starts = self._further_starts(given, different[more], noise, rng)
            found = Candidates.joined([found, self._steered(given, different, more, starts, sure)])
        if sure is not None and assured:
            best = sure.surest(found, number, o.climbed)
            climbed = sure.climbed(found.fractions[best], found.condition[best], found.moved[best])
            known = sure.from_known(number, o.known, rng)
            found = Candidates.joined([found, climbed, known])
        tier = found.tiers(o.tolerance)
        liking = -o.reluctance * found.moved
        met = np.flatnonzero(found.gap <= o.tolerance)
        if len(met):
            has = np.isin(of, found.condition[met])
            like = drawn[0][np.repeat(has, draws)]
            liking[met] += pair_tilt(found.fractions[met], liking[met], found.condition[met], like, rng)
        liking += o.caution * np.exp(-found.doubt)  # after the tilt, which would else work against it
        variety = o.variety + (o.caution * o.exchange if sure else 0.0)
        if sure is not None and assured and (number > 1).any():
            found, liking = self._spread_out(found, liking, number, sure, variety, rng)
            tier = found.tiers(o.tolerance)
        out = np.empty_like(drawn[0][: len(wanted)])
        for k, taken in enumerate(chosen(found, tier, liking, number, variety=variety, rng=rng)):
            out[of == k] = found.fractions[taken]
        return out

    def _spread_out(
        self,
        found: Candidates,
        liking: Array,
        number: NDArray[np.intp],
        sure: Assurance,
        variety: float,
        rng: np.random.Generator,
    ) -> tuple[Candidates, Array]:
        """Further candidates, and the liking of each: more than asked are chosen, moved apart, and join the others."""
        o = self.options
        for _ in range(o.spreading):
            asked = np.where(number > 1, _MORE * number, 0)
            asked = np.minimum(asked, np.bincount(found.condition, minlength=len(number)))
            taken = chosen(found, found.tiers(o.tolerance), liking, asked, variety=variety, rng=rng)
            rows = np.concatenate(taken)
            moved, of = sure.apart(found.where(rows), 2 * o.exchange)
            parents = rows[of]
            # the elements are the same, and with them all else that made up the liking
            further = o.reluctance * (moved.moved - found.moved[parents])
            surer = o.caution * (np.exp(-moved.doubt) - np.exp(-found.doubt[parents]))
            liking = np.concatenate([liking, liking[parents] - further + surer])
            found = Candidates.joined([found, moved])
        return found, liking

    def _starts(self, given: _Given, wanted: Array, noise: torch.Generator) -> tuple[Array, Array, Array]:
        """Draws of the flow as compositions of the region, and their bounds, each ``n x m``."""
        z = torch.randn(len(wanted), 2 * len(given.data.elements), generator=noise)
        return given.region.placed(*self._drawn(given.data, given.scales, given.weights, wanted, z))

    def _further_starts(
        self, given: _Given, wanted: Array, noise: torch.Generator, rng: np.random.Generator
    ) -> tuple[Array, Array, Array]:
        """Starts for conditions that the first draws did not meet: known alloys nearest to them, a little varied, and
        draws of the flow for conditions thereabouts, in turn.
        """  # noqa: D205 - one sentence
        blurred = wanted + given.scales.scale * rng.standard_normal(wanted.shape)
        starts, low, high = self._starts(given, blurred, noise)
        known = given.model.to_coordinates(given.data.conditions)
        away = np.nan_to_num((wanted[::2, None, :] - known[None]) / given.scales.scale) ** 2
        rank = rng.integers(_NEAREST, size=len(away))
        order = np.argsort(away.sum(axis=2), axis=1, kind="stable")
        near = order[np.arange(len(away)), np.minimum(rank, len(known) - 1)]
        x = given.data.fractions[near]
        varied = x * np.exp(_SPREAD * rng.standard_normal(x.shape))
        varied /= varied.sum(axis=1, keepdims=True)
        starts[::2], low[::2], high[::2] = given.region.placed(varied, np.where(x > 0, x, -1.0))
        return starts, low, high

    def _steered(
        self,
        given: _Given,
        conditions: Array,
        of: NDArray[np.intp],
        starts: tuple[Array, Array, Array],
        sure: Assurance | None,
    ) -> Candidates:
        """Steer starts onto the conditions of the numbers ``of``."""
        parts = []
        for i in range(0, len(of), _ROWS_AT_ONCE):
            rows = slice(i, i + _ROWS_AT_ONCE)
            start, low, high = (part[rows] for part in starts)
            wanted = conditions[of[rows]]
            steered, gap = steer(
                given.model.coordinates,
                torch.as_tensor(start),
                torch.as_tensor(wanted),
                torch.as_tensor(_units(given.model, given.scales, wanted)),
                low=torch.as_tensor(low),
                high=torch.as_tensor(high),
                steps=self.options.steering_steps,
            )
            x, doubt = steered.numpy(), np.zeros(len(steered))
            if sure is not None:
                met = np.flatnonzero(gap.numpy() <= self.options.tolerance)
                doubt[met] = sure.doubt(x[met], of[rows][met])
            parts.append(
                Candidates(
                    fractions=x,
                    condition=of[rows],
                    gap=gap.numpy(),
                    moved=0.5 * np.abs(x - start).sum(axis=1),
                    nearest=nearest(given.data, x),
                    doubt=doubt,
                )
            )
        return Candidates.joined(parts)

    def _assurance(self, given: _Given, conditions: Array) -> Assurance | None:
        """None where all properties are formulas."""
        o, model = self.options, given.model
        if set(model.names) <= set(model.closed_form):
            return None
        units = _units(model, given.scales, conditions)
        return Assurance(
            model, given.data, given.region, units, conditions, o.tolerance, o.margin, o.climbing_steps
        )

    def _trained(self) -> tuple[TrainingData, PropertyModel, torch.Tensor]:
        if self._data is None:
            raise InputError("strategy", self.name, "is not trained yet", "call fit() or from_checkpoint()")
        return self._data, self._model, self._weights

    # -- checkpoint ------------------------------------------------------------------------------------------

    def checkpoint(self) -> bytes:
        """Weights, options, property models and the data that scales and novelty come from."""
        data, model, weights = self._trained()
        return packed(
            _FORMAT,
            {
                "options": self.options.model_dump(),
                "elements": list(data.elements),
                "condition_names": list(data.condition_names),
                "closed_form": list(data.closed_form),
                "fractions": torch.from_numpy(data.fractions),
                "conditions": torch.from_numpy(data.conditions),
                "properties": model.state(),
                "weights": weights,
            },
        )

    @classmethod
    def from_checkpoint(cls, content: bytes) -> Self:
        """Return the generator of a checkpoint; only tensors and plain values are loaded."""
        state = unpacked(_FORMAT, content)
        out = cls(FlowMatchingOptions(**state["options"]))
        out._data = TrainingData(
            tuple(state["elements"]),
            state["fractions"].numpy(),
            state["conditions"].numpy(),
            tuple(state["condition_names"]),
            closed_form=tuple(state["closed_form"]),
        )
        out._model = PropertyModel.from_state(state["properties"])
        out._weights = state["weights"]
        return out


class _Run:
    """The training of one member: what it learns from, and what was seen on the way."""

    def __init__(self, member: FlowMatching, data: TrainingData, seed: int) -> None:
        _require_spread(data)
        self._member, self._data, self._seed = member, data, seed
        self._model = property_model(data, seed=seed)
        self._scales = _Scales.of(data, self._model)
        self._monitor = CollapseMonitor.for_data(data, seed=seed)
        self.curve: list[dict[str, float]] = []
        self.field = member._field(data)  # noqa: SLF001 - this is a part of it

    def batches(self, where: Any) -> Batch:
        """Of varied alloys."""
        return self._member._batches(self._data, self._scales, self._model, self._seed, where)  # noqa: SLF001 - as above

    def point(self, step: int, loss: float, weights: torch.Tensor, *, look: bool) -> dict[str, float]:
        """The next point of the curve, with a look for collapse or without."""
        point = {"step": float(step), "loss": loss}
        if look:
            point |= self._monitor.observe(
                step,
                lambda c, seed: self._member._unsteered(  # noqa: SLF001 - as above
                    self._data, self._scales, weights, self._model.to_coordinates(c), seed
                ),
            )
        self.curve.append(point)
        return point

    def finish(self, weights: torch.Tensor) -> dict[str, Any]:
        """Make the member the trained generator; its metrics."""
        member, monitor = self._member, self._monitor
        member._data, member._model, member._weights = self._data, self._model, weights  # noqa: SLF001 - as above
        metrics = training_metrics(member, self._data, seed=self._seed)
        return metrics | monitor.metrics() | {"collapsed": metrics["collapsed"] or monitor.collapsed}


def _units(model: PropertyModel, scales: _Scales, wanted: Array) -> Array:
    """What a gap of each condition is measured in, ``n x p``: its value, or one where it is a logarithm.

    Between a tenth and thrice the standard deviation, so that the unit of a property that crosses zero is none.
    """
    size = np.clip(np.nan_to_num(np.abs(wanted)), 0.1 * scales.scale, 3 * scales.scale)
    return np.where([name in model.logarithmic for name in model.names], 1.0, size)


def _require_spread(data: TrainingData) -> None:
    c = data.conditions
    flat = np.nanstd(c, axis=0) <= 1e-9 * np.nanmax(np.abs(c), axis=0)
    if flat.any():
        raise InputError(
            "conditions",
            [name for name, is_flat in zip(data.condition_names, flat, strict=True) if is_flat],
            "are the same for all alloys",
            "leave out a property that is constant",
        )
