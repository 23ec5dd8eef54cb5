"""What a campaign asks of the atomistic validator, checked before anything is started."""

from __future__ import annotations

from typing import Final

from db.jobs import JobRequest
from hea_loop.campaign import AtomisticValidator, Campaign
from hea_loop.composition import RESOLUTION, Composition
from hea_loop.errors import InputError
from validators.atomistic.runners import check_runner
from validators.atomistic.specification import CalculatorChoice, JobSpec

__all__ = ["FIELD", "atomistic_request", "check_atomistic", "job_spec"]

FIELD: Final = "validators.atomistic"


def job_spec(validator: AtomisticValidator, composition: Composition) -> JobSpec:
    """What a campaign asks of the atomistic validator about one composition.

    Raises:
        InputError: A part of it cannot be asked, by its field in the campaign file.
    """
    options = dict(validator.calculator_options)
    if validator.accept_unqualified:
        options["accept_unqualified"] = True
    try:
        return JobSpec(
            validator.workflow,
            composition,
            validator.atoms,
            validator.seed,
            CalculatorChoice(validator.calculator, validator.preset, options),
            dict(validator.options),
        )
    except InputError as error:
        raise InputError(f"{FIELD}.{error.field}", error.value, error.problem, error.mend) from None


def check_atomistic(campaign: Campaign) -> None:
    """Refuse what would fail in every job: an unknown workflow, option, cell or runner.

    Raises:
        InputError: The first thing that cannot work, by its field.
    """
    validator = campaign.validators.atomistic
    if validator is None:
        return
    _example(campaign, validator)
    check_runner(validator.runner.name, validator.runner.options, f"{FIELD}.runner.options")
    if validator.only_approved and campaign.review != "required":
        raise InputError(
            f"{FIELD}.only_approved",
            True,
            "would send nothing, as nobody approves candidates of this campaign",
            "set review: required, or remove it",
        )


def atomistic_request(campaign: Campaign, validator: AtomisticValidator) -> JobRequest:
    """The job that every chosen candidate of the campaign gets."""
    spec = _example(campaign, validator)
    return JobRequest(
        validator="atomistic",
        fidelity="dft",
        configuration=spec.configuration(),
        configuration_hash=spec.configuration_hash(),
        budget=validator.budget,
    )


def _example(campaign: Campaign, validator: AtomisticValidator) -> JobSpec:
    """The job of one element of the palette: the configuration does not depend on the composition."""
    return job_spec(validator, Composition.from_key(f"{campaign.design_space().elements[0]}:{RESOLUTION}"))
