"""The command ``feasibility``: targets judged before any budget is spent."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from app.options import DatabaseUrl, Json
from app.output import note, number, percent, print_json, print_table, print_text
from app.targets_input import Elements, Targets

if TYPE_CHECKING:
    from hea_loop.campaign import Campaign
    from hea_loop.elasticity import ElasticModel
    from hea_loop.feasibility_report import Feasibility, Share, TargetFeasibility
    from hea_loop.palette import Palette

__all__ = ["elasticity_of", "feasibility", "judge", "print_feasibility", "summary_line"]


def feasibility(
    campaign: Annotated[
        Path | None,
        typer.Argument(metavar="CAMPAIGN.yaml", help="The campaign file; default is the quickstart."),
    ] = None,
    *,
    target: Targets = None,
    elements: Elements = None,
    number_of_compositions: Annotated[
        int, typer.Option("--number", min=100, max=200_000, help="Uniform random compositions to count on.")
    ] = 4000,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of their draw.")] = 0,
    figure: Annotated[
        Path | None, typer.Option("--figure", help="Draw the targets on the ridge of the data (PNG).")
    ] = None,
    database_url: DatabaseUrl = None,
    json: Json = False,
) -> None:
    """Say what targets ask for: how rare they are, what costs most, and what cannot be met.

    Of a campaign file, or of targets given here. Nothing is validated and nothing is stored.
    """
    from app.campaign_run import check_report_path, quickstart_file
    from app.targets_input import elements_palette, parse_targets, targets_of
    from hea_loop.campaign import load_campaign
    from hea_loop.elasticity import predictable
    from hea_loop.errors import InputError

    if campaign is not None and (target or elements):
        name, value = ("--target", (target or [""])[0]) if target else ("--elements", elements)
        raise InputError(name, value, "stands beside a campaign file", "give one of the two")
    if figure is not None:
        if figure.suffix.lower() != ".png":
            raise InputError("--figure", str(figure), "is no PNG file", "let the name end in .png")
        check_report_path(figure, "--figure")
    spec: Campaign | None = None
    if target:
        targets, palette = parse_targets(target), elements_palette(elements)
        _refuse_unanswerable(targets)
    elif elements:
        raise InputError("--elements", elements, "stands without a target", "add --target NAME=LOW:HIGH")
    else:
        spec = load_campaign(quickstart_file() if campaign is None else campaign)
        targets, palette = targets_of(spec), spec.design_space()
    decided = predictable("linear-combination" if spec is None else spec.elasticity)
    if figure is not None and not set(targets) & set(decided):
        raise InputError("--figure", str(figure), "has no predicted target to draw", "leave it out")
    found = judge(
        palette,
        targets,
        database_url,
        campaign=spec,
        number_of_compositions=number_of_compositions,
        seed=seed,
    )
    if figure is not None:
        _draw(figure, palette, targets, database_url, spec)
    if json:
        shown = {"campaign": None if spec is None else spec.name, "elements": list(palette.elements)}
        print_json(
            {**shown, "seed": seed, **found.to_json(), "figure": None if figure is None else str(figure)}
        )
        return
    print_feasibility(found, "targets" if spec is None else spec.name)
    if figure is not None:
        note(f"figure: {figure}")


def _refuse_unanswerable(targets: dict[str, Any]) -> None:
    from hea_loop.errors import InputError
    from hea_loop.prediction import PREDICTED_PROPERTIES
    from hea_loop.properties import CALPHAD_TARGETS

    for name in targets:
        if name not in (*PREDICTED_PROPERTIES, *CALPHAD_TARGETS):
            raise InputError(
                "--target",
                name,
                "is answered by no prediction and no validator",
                f"use {', '.join((*PREDICTED_PROPERTIES, *CALPHAD_TARGETS))}",
            )


def judge(
    palette: Palette,
    targets: dict[str, tuple[float | None, float | None]],
    database_url: str | None,
    *,
    campaign: Campaign | None = None,
    number_of_compositions: int = 4000,
    seed: int = 0,
) -> Feasibility:
    """Judge targets by the store's alloys and, of a campaign, by its validators' answers.

    Without a store the packaged alloys are the known ones.
    """
    import numpy as np

    from app.store_access import open_existing_store, store_file
    from app.targets_input import known_alloys
    from flows.feasibility import learned_chances
    from hea_loop.feasibility import judge_targets

    file = store_file(database_url)
    learned, answers, elasticity = {}, 0, None
    if campaign is not None:
        elasticity = elasticity_of(campaign, database_url)
        if database_url is not None or file is None or file.exists():
            with open_existing_store(database_url) as store, store.read() as session:
                learned, answers = learned_chances(session, campaign, elasticity)
    known = [c.fraction_vector(palette.elements) for c in known_alloys(palette, database_url)]
    return judge_targets(
        palette,
        targets,
        np.array(known, dtype=float).reshape(-1, len(palette.elements)),
        learned=learned,
        undecided=() if campaign is None else tuple(campaign.verdicts),
        answers=answers,
        number=number_of_compositions,
        seed=seed,
        elasticity=elasticity,
    )


def elasticity_of(campaign: Campaign, database_url: str | None) -> ElasticModel | None:
    """The campaign's elastic model from the store, without one from the packaged alloys; None for the formulas."""
    if campaign.elasticity == "linear-combination":
        return None
    from app.store_access import open_existing_store, store_file
    from flows.planning import elastic_model, packaged_elastic_model

    file = store_file(database_url)
    if database_url is None and file is not None and not file.exists():
        return packaged_elastic_model(campaign, note)
    with open_existing_store(database_url) as store, store.read() as session:
        return elastic_model(session, campaign, note)


def _share(share: Share) -> str:
    if share.share is None:
        return "-"
    if share.low is None or share.high is None:
        return percent(share.share)
    return f"{percent(share.share)} ({100 * share.low:.1f}-{100 * share.high:.1f})"


def _row(target: TargetFeasibility) -> tuple[object, ...]:
    from hea_loop.target_intervals import describe_interval

    open_ = target.low is None and target.high is None
    reach = "-"
    if target.reachable_low is not None:
        high = "unbounded" if target.reachable_high is None else number(target.reachable_high)
        reach = f"{number(target.reachable_low)} to {high if high != '-' else 'unbounded'}"
        reach += "" if target.exact else " *"
    return (
        target.name,
        "yes" if open_ else describe_interval(target.name, target.low, target.high),
        target.judged_by,
        reach,
        _share(target.random),
        _share(target.given_others),
        percent(target.data.share),
        target.verdict or "",
    )


def print_feasibility(found: Feasibility, title: str) -> None:
    """Print the report as tables and lines."""
    print_table(
        f"{title}: {found.verdict}",
        ["target", "wanted", "judged by", "palette", "random>", "given others>", "data>", "verdict"],
        [_row(t) for t in found.targets],
    )
    if any(t.reachable_low is not None and not t.exact for t in found.targets):
        print_text("* as far as a search from many starts reached; the other ranges are exact")
    print_text(f"{found.verdict}: {found.reason}")
    if found.composition is not None:
        known = f"; {found.data.inside} of {found.data.of} known alloys do" if found.data.of else ""
        print_text(f"random compositions inside all predicted targets: {_share(found.random)}{known}")
    if found.verdict == "infeasible":
        print_text("that is proved" if found.proved else "that is the outcome of a search, no proof")
        for relaxation in found.relaxations:
            can = "can be met" if relaxation.reachable else "still cannot be met"
            print_text(
                f"without {relaxation.dropped} the others {can}: {_share(relaxation.random)} at random"
            )
    if found.costliest is not None:
        print_text(f"costliest target: {found.costliest.name}; {found.costliest.reason}")
    for pair in found.ridge:
        if abs(pair.correlation_random) >= 0.9 or pair.off_ridge > 0:
            known = "" if pair.correlation_data is None else f" ({pair.correlation_data:.2f} in the data)"
            print_text(
                f"{pair.first} and {pair.second} correlate at {pair.correlation_random:.2f}{known}; the targets lie "
                + (
                    f"{pair.off_ridge:.1f} standard deviations off that ridge"
                    if pair.off_ridge
                    else "on that ridge"
                )
            )
    if found.left_out:
        print_text(f"left out, as nobody can tell before validation: {', '.join(found.left_out)}")
    if found.expected_rate is not None and found.answers:
        print_text(
            f"expected hits among random compositions: {found.expected_rate:.2%}, by a surrogate of {found.answers} "
            "validated alloys"
        )


def summary_line(found: Feasibility) -> str:
    """The report in one line."""
    costliest = "" if found.costliest is None else f"; costliest target: {found.costliest.name}"
    return f"feasibility: {found.verdict}: {found.reason}{costliest}"


def _draw(
    path: Path,
    palette: Palette,
    targets: dict[str, tuple[float | None, float | None]],
    database_url: str | None,
    campaign: Campaign | None,
) -> None:
    import io

    import numpy as np

    from app.campaign_run import write_to
    from app.targets_input import known_alloys
    from hea_loop.figures.feasibility import draw_targets
    from hea_loop.target_intervals import checked_intervals

    known = [c.fraction_vector(palette.elements) for c in known_alloys(palette, database_url)]
    sheet = draw_targets(
        palette,
        checked_intervals(targets),
        np.array(known, dtype=float).reshape(-1, len(palette.elements)),
        None if campaign is None else elasticity_of(campaign, database_url),
    )
    buffer = io.BytesIO()
    sheet.savefig(buffer, format="png", dpi=150)
    write_to(path, buffer.getvalue(), field="--figure")
