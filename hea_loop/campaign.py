"""The campaign file: the one stateful thing a person defines, as a frozen, checked specification.

Unknown keys are refused. ``Campaign.json_schema()`` is the schema of the file.
"""

from __future__ import annotations

import hashlib
import json
import math
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

from hea_loop.composition import RESOLUTION
from hea_loop.errors import InputError
from hea_loop.palette import Palette
from hea_loop.properties import CALPHAD_TARGETS, PROPERTIES, property_named

__all__ = [
    "AtomisticValidator",
    "Bounds",
    "CalphadValidator",
    "Campaign",
    "ElementCount",
    "JobRunner",
    "StopRules",
    "StrategyChoice",
    "Target",
    "Validators",
    "Verdict",
    "load_campaign",
    "parse_campaign",
]


def _no_bool(value: Any) -> Any:
    """YAML's ``yes`` is not a number."""
    if isinstance(value, bool):
        raise ValueError("a yes or no stands where a number is needed")  # noqa: TRY004 - pydantic collects ValueError
    return value


Number = Annotated[float, BeforeValidator(_no_bool), Field(allow_inf_nan=False)]
Count = Annotated[int, BeforeValidator(_no_bool)]
Fraction = Annotated[float, BeforeValidator(_no_bool), Field(ge=0, le=1, allow_inf_nan=False)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=False)


class Bounds(_Part):
    """Bounds of one element, in atomic fraction."""

    min: Fraction = 0.0
    """Least fraction when the element is present."""
    max: Fraction = 1.0
    """Most."""
    required: bool = False
    """Whether every alloy has it."""

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.min > self.max:
            raise ValueError(f"min {self.min:g} is above max {self.max:g}")
        if self.max * RESOLUTION < 1:
            raise ValueError(f"max {self.max:g} leaves nothing of the element; remove it from the palette")
        return self


class ElementCount(_Part):
    """How many elements one alloy has."""

    min: Annotated[Count, Field(ge=1)] = 1
    max: Annotated[Count, Field(ge=1)] | None = None
    """None: all of the palette."""


class PaletteSpec(_Part):
    """Elements with their bounds, and how many of them in one alloy."""

    elements: dict[str, Bounds] = Field(min_length=1)
    number_of_elements: ElementCount = ElementCount()

    @field_validator("elements", mode="before")
    @classmethod
    def _list_is_unbounded(cls, value: Any) -> Any:
        """A plain list of symbols means no bounds; an empty entry likewise."""
        if isinstance(value, list):
            if len({str(e) for e in value}) != len(value):
                raise ValueError("lists an element twice")
            return {str(e): {} for e in value}
        if isinstance(value, dict):
            return {str(e): ({} if b is None else b) for e, b in value.items()}
        return value

    @field_validator("elements")
    @classmethod
    def _real_elements(cls, value: dict[str, Bounds]) -> dict[str, Bounds]:
        from hea_loop.composition import require_element

        for symbol in value:
            require_element(symbol, f"palette.elements.{symbol}", symbol)
        return value


class Target(_Part):
    """A closed interval on a property, open on one side if need be."""

    min: Number | None = None
    max: Number | None = None
    unit: str | None = None
    """If stated it has to be the property's canonical unit: a check that both mean the same."""

    @model_validator(mode="after")
    def _interval(self) -> Self:
        if self.min is None and self.max is None:
            raise ValueError("needs min, max or both: a target is an interval")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError(f"min {self.min:g} is above max {self.max:g}")
        return self

    def holds(self, value: float) -> bool:
        """Whether the value lies in the closed interval; NaN never does."""
        low = -math.inf if self.min is None else self.min
        high = math.inf if self.max is None else self.max
        return low <= value <= high


class Verdict(_Part):
    """A yes-or-no answer that has to be yes at each temperature."""

    temperatures_K: Annotated[list[Annotated[Number, Field(ge=298.15, le=6000)]], Field(min_length=1)]

    @field_validator("temperatures_K")
    @classmethod
    def _distinct(cls, value: list[float]) -> list[float]:
        return sorted(set(value))


class CalphadValidator(_Part):
    """Phase stability by pycalphad."""

    budget: Annotated[Count, Field(ge=1)]
    """How many candidates the campaign may send, over all iterations."""
    database: str = "refractory10"
    """Name of a packaged database, or the path of a TDB (relative to the campaign file)."""
    allow_missing_binaries: bool = False
    """Take binaries that the database does not describe as ideal solutions, in place of refusing the palette."""
    processing: str = "as cast"
    """State of the material that a target on ``single_phase_bcc_probability`` is for; of no other effect."""
    cost: Annotated[Number, Field(gt=0)] = 1.0
    """Cost of one answer, in a unit shared by all validators: decides what is sent where."""


class JobRunner(_Part):
    """Where atomistic jobs run, and within which limits."""

    name: Literal["local", "dask", "slurm", "export"] = "local"
    options: dict[str, Any] = {}
    """Of the runner, checked by it."""
    folder: str | None = None
    """Where the directories of jobs go (relative to the campaign file); the default is ``jobs`` beside the store."""
    wall_limit_s: Annotated[Number, Field(gt=0)] = 86_400.0
    """Seconds after which a calculation is ended."""
    lease_s: Annotated[Number, Field(gt=0)] = 120.0
    """Seconds without a sign of life after which a worker counts as dead."""
    attempts: Annotated[Count, Field(ge=1, le=100)] = 3
    """How often a job is begun whose worker dies."""
    settle_s: Annotated[Number, Field(ge=0)] = 60.0
    """Seconds between missing a job and giving its attempt up: a file server may be that late."""


class AtomisticValidator(_Part):
    """First-principles values of the alloys that CALPHAD lets pass, by ASE."""

    budget: Annotated[Count, Field(ge=1)]
    """How many candidates the campaign may send, over all iterations."""
    calculator: str = "gpaw"
    """``gpaw``, ``abinit``, ``espresso``, ``vasp``, or ``module:Class`` of any ASE calculator."""
    preset: Literal["test", "screening", "production"] = "screening"
    """K-point density, cut-off and smearing."""
    calculator_options: dict[str, Any] = {}
    """Options of the calculator, over the preset's."""
    workflow: str = "elastic"
    """What is computed, as in ``hea-loop dft``."""
    options: dict[str, Any] = {}
    """Options of the workflow."""
    atoms: Annotated[Count, Field(ge=1)] | None = None
    """Atoms of an alloy's cell; null takes, for each alloy, the smallest cell that holds it within
    ``options.max_rounding``."""
    seed: Annotated[Count, Field(ge=0, lt=2**32)] = 1
    """Of the search for the cell."""
    cost: Annotated[Number, Field(gt=0)] = 100.0
    """Cost of one answer, in a unit shared by all validators: decides what is sent where."""
    only_approved: bool = False
    """Send only candidates that a person approved."""
    accept_unqualified: bool = False
    """Take values of a calculator that is not qualified for them; every one then says so."""
    runner: JobRunner = JobRunner()
    """Where the jobs run; may change while the campaign goes on."""


class Validators(_Part):
    """The validators of the campaign with their budgets."""

    calphad: CalphadValidator | None = None
    atomistic: AtomisticValidator | None = None


class StrategyChoice(_Part):
    """Which generator proposes."""

    name: str = "flow-matching"
    options: dict[str, Any] = {}
    """Options of that strategy, checked by it."""
    conditions: Annotated[list[str], Field(min_length=1)] = []
    """Properties that the generator is conditioned on: of the vocabulary, or columns of ``data``. The default is the
    campaign's targets that a prediction decides (the seed's two where there is none)."""
    wanted: dict[str, Target] = {}
    """Intervals asked of the generator on conditions that are no targets: nothing judges them."""
    data: str | None = None
    """Path of a CSV of alloys of yours (relative to the campaign file): a column ``composition``, and numbers in
    columns of any names. The generator learns from them too."""
    oversample: Annotated[Count, Field(ge=1, le=1000)] = 40
    """Generated compositions per candidate that selection keeps."""
    diversity: Fraction = 0.1
    """Share of the strategy's candidates from combinations of elements that the batch has not yet."""

    @field_validator("conditions")
    @classmethod
    def _different(cls, value: list[str]) -> list[str]:
        if len(set(value)) != len(value):
            raise ValueError("names a property twice")
        return value

    @model_validator(mode="after")
    def _conditions_exist(self) -> Self:
        for name in self.conditions:
            if self.data is None or name in PROPERTIES:
                _require_number(name, "strategy.conditions")
        for name in self.wanted:
            if name not in self.conditions:
                raise InputError(
                    f"strategy.wanted.{name}",
                    name,
                    "is not among strategy.conditions",
                    "add it there, or remove it here",
                )
        return self


def _require_number(name: str, field: str) -> None:
    """Refuse what is not a number of the vocabulary."""
    entry = property_named(name, field=field)
    if entry.is_text or entry.is_verdict:
        raise InputError(field, name, "is no number", "name a property that has a unit")


class StopRules(_Part):
    """When to stop before the last iteration; the first that holds decides."""

    hits: Annotated[Count, Field(ge=1)] | None = None
    """Enough hits over all iterations."""
    hit_rate: Annotated[Number, Field(gt=0, le=1)] | None = None
    """Hit rate of one iteration that is enough."""
    iterations_without_improvement: Annotated[Count, Field(ge=1)] | None = None
    """Stop after so many iterations whose hit rate did not exceed the best before."""


_SEED_CONDITIONS: Final = ("shear_modulus", "fracture_toughness_rice")
"""What the seed conditions on, where the campaign has no target that a prediction decides."""

_NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$"


class Campaign(_Part):
    """A campaign: palette, targets, validators with budgets, strategy, stop rules, seed."""

    name: Annotated[str, Field(pattern=_NAME)]
    description: str = ""
    seed: Annotated[Count, Field(ge=0, lt=2**32)] = 1
    palette: PaletteSpec
    targets: dict[str, Target] = {}
    verdicts: dict[str, Verdict] = {}
    objectives: dict[str, Literal["maximize", "minimize"]] = {}
    """Properties to make as large or as small as possible under the targets and verdicts."""
    elasticity: Literal["linear-combination", "first-principles"] = "linear-combination"
    """Who predicts G, B and nu, and Rice's toughness from them: the average of the elements' values, or a model that
    learned the first-principles data of the store, with its uncertainty."""
    validators: Validators
    strategy: StrategyChoice = StrategyChoice()
    iterations: Annotated[Count, Field(ge=1, le=1000)] = 5
    batch_size: Annotated[Count, Field(ge=1, le=10_000)] = 50
    """Candidates per iteration, the random share included."""
    random_share: Annotated[Fraction, Field(lt=1)] = 0.1
    """Share of uniform random compositions in each iteration: the base rate, measured."""
    minimum_distance: Fraction = 0.02
    """Least total-variation distance to every known material and among the chosen."""
    review: Literal["none", "required"] = "none"
    """``required``: candidates wait as queued until a person approves them."""
    stop: StopRules = StopRules()
    feasibility: Literal["refuse", "warn"] = "refuse"
    """Whether a campaign is refused whose predicted targets no composition of the palette meets."""

    @model_validator(mode="before")
    @classmethod
    def _conditions_are_the_targets(cls, data: Any) -> Any:
        """Write the default conditions out, so that the stored specification says what was meant."""
        from hea_loop.elasticity import predictable

        if not isinstance(data, dict) or not isinstance(targets := data.get("targets") or {}, dict):
            return data
        strategy = data.get("strategy", {})
        if isinstance(strategy, StrategyChoice):
            strategy = strategy.model_dump(exclude_unset=True)
        if not isinstance(strategy, dict) or "conditions" in strategy:
            return data
        learned = data.get("elasticity") == "first-principles"
        names = predictable("first-principles" if learned else "linear-combination")
        predicted = [name for name in names if name in targets]
        return {**data, "strategy": {**strategy, "conditions": predicted or list(_SEED_CONDITIONS)}}

    @field_validator("targets")
    @classmethod
    def _known_targets(cls, value: dict[str, Target]) -> dict[str, Target]:
        for name, target in value.items():
            entry = property_named(name, field=f"targets.{name}")
            if entry.is_text or entry.is_verdict:
                raise ValueError(f"{name} has no interval; a yes-or-no answer stands under verdicts")
            if target.unit is not None and target.unit != entry.unit:
                raise InputError(
                    f"targets.{name}.unit",
                    target.unit,
                    "is not the unit of the property",
                    f"give the target in {entry.unit}",
                )
        return value

    @field_validator("verdicts")
    @classmethod
    def _known_verdicts(cls, value: dict[str, Verdict]) -> dict[str, Verdict]:
        for name in value:
            if not property_named(name, field=f"verdicts.{name}").is_verdict:
                known = ", ".join(n for n, p in PROPERTIES.items() if p.is_verdict)
                raise InputError(
                    f"verdicts.{name}", name, "is not a yes-or-no answer", f"use {known}, or a target"
                )
        return value

    @field_validator("objectives")
    @classmethod
    def _known_objectives(cls, value: dict[str, str]) -> dict[str, str]:
        for name in value:
            _require_number(name, f"objectives.{name}")
        return value

    @model_validator(mode="after")
    def _something_to_do(self) -> Self:
        if not self.targets and not self.verdicts:
            raise ValueError("has neither targets nor verdicts: there is nothing to hit")
        if self.validators.calphad is None:
            raise InputError(
                "validators.calphad", None, "is missing", "add it with a budget: every candidate is validated"
            )
        self._require_answerable()
        self.design_space()
        return self

    def _require_answerable(self) -> None:
        answered = (*self.predictable(), *CALPHAD_TARGETS)
        for field, names in (("targets", self.targets), ("objectives", self.objectives)):
            for name in names:
                if name not in answered:
                    raise InputError(
                        f"{field}.{name}",
                        name,
                        "is answered by no prediction and no validator of the campaign",
                        f"set {field} on {', '.join(answered)}",
                    )
        if not self.verdicts and not {*self.targets, *self.objectives} & set(CALPHAD_TARGETS):
            raise InputError(
                "validators.calphad",
                "calphad",
                "has nothing to answer",
                f"add verdicts.single_phase_bcc, or a target on {', '.join(CALPHAD_TARGETS)}",
            )

    def predictable(self) -> tuple[str, ...]:
        """The properties that a prediction decides in this campaign."""
        from hea_loop.elasticity import predictable

        return predictable(self.elasticity)

    def questions(self) -> tuple[str, ...]:
        """Numbers that validators have to answer: in targets and objectives, in the order of the vocabulary."""
        return tuple(name for name in CALPHAD_TARGETS if name in self.targets or name in self.objectives)

    def design_space(self) -> Palette:
        """The palette as a set of compositions."""
        symbols = tuple(sorted(self.palette.elements))
        bounds = [self.palette.elements[e] for e in symbols]
        count = self.palette.number_of_elements
        return Palette(
            elements=symbols,
            lower=tuple(max(1, math.ceil(round(b.min * RESOLUTION, 6))) for b in bounds),
            upper=tuple(math.floor(round(b.max * RESOLUTION, 6)) for b in bounds),
            required=tuple(b.required for b in bounds),
            min_elements=count.min,
            max_elements=len(symbols) if count.max is None else count.max,
        )

    def canonical_json(self) -> str:
        """The specification as one canonical text, for the store and for the hash."""
        return json.dumps(self.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))

    @property
    def spec_hash(self) -> str:
        """SHA-256 of the canonical text: two files that mean the same have the same hash."""
        return hashlib.sha256(self.canonical_json().encode()).hexdigest()

    @classmethod
    def json_schema(cls) -> dict[str, Any]:
        """JSON schema of the campaign file."""
        return cls.model_json_schema()


def parse_campaign(data: Any, *, source: str = "campaign") -> Campaign:
    """Check a mapping as a campaign.

    Args:
        data: What the file or the flow parameter holds.
        source: How the error names the origin.

    Raises:
        InputError: The first thing wrong, by its field.
    """
    if not isinstance(data, dict):
        raise InputError(
            source,
            data,
            "is not a campaign",
            "a campaign is a mapping with name, palette, targets and validators",
        )
    try:
        return Campaign.model_validate(data)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        cause = first.get("ctx", {}).get("error")
        if isinstance(cause, InputError):
            raise cause from None
        field = ".".join(str(part) for part in first["loc"]) or source
        raise InputError(*_explain(field, first)) from None


def _explain(field: str, error: Any) -> tuple[str, object, str, str]:
    kind, value, message = error["type"], error.get("input"), str(error["msg"])
    if kind == "extra_forbidden":
        import difflib

        known = _keys_at(error["loc"][:-1])
        near = difflib.get_close_matches(str(error["loc"][-1]), known, n=1)
        mend = f"did you mean {near[0]}?" if near else f"known here are {', '.join(known)}"
        return field, value, "is not a known key", mend
    if kind == "missing":
        return field, None, "is missing", f"add {error['loc'][-1]} to the campaign"
    text = message.removeprefix("Value error, ")
    return field, value, text, "see the JSON schema with `hea-loop doctor --schema`"


def _keys_at(location: tuple[Any, ...]) -> list[str]:
    """Names allowed at a place of the campaign, walking the models."""
    model: Any = Campaign
    for part in location:
        fields = getattr(model, "model_fields", {})
        if part in fields:
            args = _model_arguments(fields[part].annotation)
            model = args[0] if args else None
    return sorted(getattr(model, "model_fields", {}))


def _model_arguments(annotation: Any) -> list[Any]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [m for a in getattr(annotation, "__args__", ()) for m in _model_arguments(a)]


def load_campaign(path: str | Path) -> Campaign:
    """Read a campaign file.

    Args:
        path: A YAML file. A relative TDB path in it is taken from the file's folder.

    Raises:
        InputError: The file cannot be read, is no YAML, names a key twice, or is no campaign.
    """
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    where = Path(path)
    try:
        text = where.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise InputError(
            "campaign", str(path), "does not exist", "give the path of a campaign file (YAML)"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            "campaign", str(path), f"cannot be read ({error})", "give a readable YAML file in UTF-8"
        ) from None
    try:
        data = YAML(typ="safe", pure=True).load(text)
    except YAMLError as error:
        first = " ".join(str(error).split())
        raise InputError(
            "campaign", str(path), f"is not valid YAML ({first[:160]})", "mend the file at that line"
        ) from None
    campaign = parse_campaign(data, source=str(path))
    return _with_absolute_paths(campaign, where.parent)


def _with_absolute_paths(campaign: Campaign, folder: Path) -> Campaign:
    """Take relative paths in a campaign from the folder of its file."""
    calphad, own = campaign.validators.calphad, campaign.strategy.data
    if (
        calphad is not None
        and calphad.database.lower().endswith(".tdb")
        and not Path(calphad.database).is_absolute()
    ):
        changed = calphad.model_copy(update={"database": str((folder / calphad.database).resolve())})
        validators = campaign.validators.model_copy(update={"calphad": changed})
        campaign = campaign.model_copy(update={"validators": validators})
    atomistic = campaign.validators.atomistic
    if atomistic is not None and atomistic.runner.folder is not None:
        runner = atomistic.runner.model_copy(
            update={"folder": str((folder / atomistic.runner.folder).resolve())}
        )
        changed_jobs = atomistic.model_copy(update={"runner": runner})
        validators = campaign.validators.model_copy(update={"atomistic": changed_jobs})
        campaign = campaign.model_copy(update={"validators": validators})
    if own is not None and not Path(own).is_absolute():
        strategy = campaign.strategy.model_copy(update={"data": str((folder / own).resolve())})
        campaign = campaign.model_copy(update={"strategy": strategy})
    return campaign
