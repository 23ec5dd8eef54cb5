"""What a campaign asks of the atomistic validator, checked before anything is started."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Final

from db.jobs import JobRequest, source_of
from hea_loop.campaign import AtomisticValidator, Campaign
from hea_loop.composition import RESOLUTION, Composition
from hea_loop.errors import InputError
from validators.atomistic.engine import engine_for
from validators.atomistic.qualification import require_usable
from validators.atomistic.runners import check_runner
from validators.atomistic.specification import CELL_SIZES, CalculatorChoice, JobSpec
from validators.atomistic.workflows import fitted_spec

__all__ = ["FIELD", "atomistic_request", "check_atomistic", "job_spec", "own_sources"]

FIELD: Final = "validators.atomistic"


def job_spec(validator: AtomisticValidator, composition: Composition) -> JobSpec:
    """What a campaign asks of the atomistic validator about one composition.

    Raises:
        InputError: A part of it cannot be asked, by its field in the campaign file; or the campaign states no number
            of atoms and no cell holds the composition.
    """
    options = dict(validator.calculator_options)
    if validator.accept_unqualified:
        options["accept_unqualified"] = True
    try:
        return fitted_spec(
            validator.workflow,
            composition,
            validator.atoms,
            validator.seed,
            CalculatorChoice(validator.calculator, validator.preset, options),
            dict(validator.options),
        )
    except InputError as error:
        if error.field == "composition":
            raise
        raise InputError(f"{FIELD}.{error.field}", error.value, error.problem, error.mend) from None


def check_atomistic(campaign: Campaign) -> None:
    """Refuse what would fail in every job: an unknown workflow, option, cell or runner, or a useless calculator.

    A calculator is looked at where jobs run on this machine; elsewhere another installation decides.

    Raises:
        InputError: The first thing that cannot work, by its field.
    """
    validator = campaign.validators.atomistic
    if validator is None:
        return
    example = _example(campaign, validator)
    check_runner(validator.runner.name, validator.runner.options, f"{FIELD}.runner.options")
    if validator.only_approved and campaign.review != "required":
        raise InputError(
            f"{FIELD}.only_approved",
            True,
            "would send nothing, as nobody approves candidates of this campaign",
            "set review: required, or remove it",
        )
    if validator.runner.name == "local":
        try:
            require_usable(example, engine_for(example.calculator, Path()), campaign.design_space().elements)
        except InputError as error:
            raise InputError(f"{FIELD}.{error.field}", error.value, error.problem, error.mend) from None


def atomistic_request(validator: AtomisticValidator, composition: Composition) -> JobRequest:
    """The job that a candidate of this composition gets.

    Raises:
        InputError: As :func:`job_spec`.
    """
    return _request(validator, job_spec(validator, composition))


def own_sources(campaign: Campaign) -> tuple[str, ...]:
    """What the sources of the values begin with that the campaign's own atomistic configuration gives.

    One for each size of cell that its candidates may get; none where it asks for no atomistic values.
    """
    validator = campaign.validators.atomistic
    if validator is None:
        return ()
    example = _example(campaign, validator)
    sizes = CELL_SIZES[example.lattice] if validator.atoms is None else (example.atoms,)
    return tuple(source_of(_request(validator, replace(example, atoms=n))) for n in sizes)


def _request(validator: AtomisticValidator, spec: JobSpec) -> JobRequest:
    return JobRequest(
        validator="atomistic",
        fidelity="dft",
        configuration=spec.configuration(),
        configuration_hash=spec.configuration_hash(),
        budget=validator.budget,
    )


def _example(campaign: Campaign, validator: AtomisticValidator) -> JobSpec:
    """The job of one element of the palette: of the configuration only the atoms may depend on the composition."""
    return job_spec(validator, Composition.from_key(f"{campaign.design_space().elements[0]}:{RESOLUTION}"))
