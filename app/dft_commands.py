"""The commands on atomistic calculators: what there is, run one job in the foreground, qualify one."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from app.options import Json, named_values
from app.output import note, number, print_json, print_table, print_text
from hea_loop.errors import InputError

if TYPE_CHECKING:
    from validators.atomistic.qualification import Qualification
    from validators.outcome import Outcome

__all__ = ["dft"]

dft = typer.Typer(
    help="Atomistic calculators: list them, run one job in the foreground, qualify one against the pure metals.",
    no_args_is_help=True,
)

Preset = Annotated[str, typer.Option("--preset", help="test, screening or production.")]
CalculatorOptions = Annotated[
    list[str] | None,
    typer.Option("--calculator-option", metavar="NAME=VALUE", help="An option of the calculator, as JSON."),
]


@dft.command()
def calculators(json: Json = False) -> None:
    """List the calculators, and whether each can run here."""
    from validators.atomistic.calculators import CALCULATORS, code_for
    from validators.atomistic.specification import CalculatorChoice, calculator_kind

    rows = []
    for name, what in CALCULATORS.items():
        state = "by its class"
        if name != "module:Class":
            try:
                state = code_for(CalculatorChoice(name)).method
            except InputError as error:
                state = f"not here: {error.problem}; {error.mend}"
        rows.append({"name": name, "kind": calculator_kind(name), "what": what, "here": state})
    if json:
        print_json({"calculators": rows})
        return
    print_table(
        "calculators",
        ["name!", "kind!", "what it is", "here"],
        [(r["name"], r["kind"], r["what"], r["here"]) for r in rows],
    )


@dft.command()
def presets(json: Json = False) -> None:
    """List the presets with their settings."""
    from validators.atomistic.presets import PRESETS

    if json:
        print_json({"presets": [preset.to_json() for preset in PRESETS.values()]})
        return
    print_table(
        "presets",
        ["name!", "k-density/A>", "smearing/eV>", "cut-offs/eV", "purpose"],
        [
            (
                p.name,
                number(p.k_density),
                number(p.smearing_eV),
                ", ".join(f"{code} {number(cutoff)}" for code, cutoff in p.cutoff_eV.items()),
                p.purpose,
            )
            for p in PRESETS.values()
        ],
    )


@dft.command()
def run(
    composition: Annotated[
        str, typer.Argument(metavar="COMPOSITION", help="An alloy or element, as NbMoTaW.")
    ],
    *,
    workflow: Annotated[str, typer.Option("--workflow", help="What is computed.")] = "elastic",
    calculator: Annotated[str, typer.Option("--calculator", help="What computes it.")] = "gpaw",
    preset: Preset = "screening",
    directory: Annotated[
        Path,
        typer.Option("--directory", help="Where inputs, logs and the result go; a second run goes on there."),
    ] = Path("dft-run"),
    atoms: Annotated[
        int | None,
        typer.Option("--atoms", help="Atoms of an alloy's cell; default is the smallest that holds it."),
    ] = None,
    seed: Annotated[int, typer.Option("--seed", help="Of the search for the cell.")] = 1,
    option: Annotated[
        list[str] | None, typer.Option("--option", metavar="NAME=VALUE", help="An option of the workflow.")
    ] = None,
    calculator_option: CalculatorOptions = None,
    accept_unqualified: Annotated[
        bool, typer.Option("--accept-unqualified", help="Insist on values that qualification refuses.")
    ] = False,
    json: Json = False,
) -> None:
    """Run one atomistic calculation here and now; exit code 1 where it gives no values."""
    from hea_loop.formula import parse_composition
    from validators.atomistic.engine import engine_for
    from validators.atomistic.qualification import require_usable, run_qualified
    from validators.atomistic.specification import CalculatorChoice
    from validators.atomistic.workflows import fitted_spec, require_runnable
    from validators.outcome import OutcomeStatus

    options = named_values(calculator_option or [], "--calculator-option")
    if accept_unqualified:
        options["accept_unqualified"] = True
    choice = CalculatorChoice(calculator, preset, options)
    spec = fitted_spec(
        workflow, parse_composition(composition), atoms, seed, choice, named_values(option or [], "--option")
    )
    require_runnable(spec)
    engine = engine_for(choice, directory)
    require_usable(spec, engine)
    _require_directory(directory)
    began = time.perf_counter()

    def tell(label: str, done: int, expected: int) -> None:
        note(f"{time.perf_counter() - began:7.1f} s  {done} of {expected}: {label}")

    cell = "primitive cell" if spec.is_pure else f"cell of {spec.atoms} atoms"
    note(f"{engine.method} ({choice.kind}), {cell}")
    outcome = run_qualified(spec, engine, tell)
    result = {"job": spec.to_json(), "settings": engine.settings, **outcome.to_json()}
    _write_result(directory / "result.json", result)
    if json:
        print_json(result)
    else:
        _print_outcome(composition, outcome, directory)
    if outcome.status is not OutcomeStatus.CONVERGED:
        raise typer.Exit(1)


def _require_directory(directory: Path, field: str = "--directory") -> None:
    """Make a directory and see that it can be written: before the calculation, not after it."""
    from tempfile import TemporaryFile

    try:
        directory.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=directory):
            pass
    except OSError as error:
        raise InputError(
            field, str(directory), f"cannot be written ({error.strerror})", "name another one"
        ) from None


def _write_result(path: Path, result: dict[str, Any]) -> None:
    import json

    part = path.with_suffix(".part")
    part.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    part.replace(path)


def _print_outcome(composition: str, outcome: Outcome, directory: Path) -> None:
    from hea_loop.properties import PROPERTIES

    if outcome.message:
        print_text(f"{outcome.status.value}: {outcome.message}")
    if outcome.values:
        print_table(
            f"{composition} ({outcome.method})",
            ["property!", "value>", "sigma>", "unit!", "qualification"],
            [
                (
                    v.property,
                    number(v.value, 5),
                    number(v.sigma, 2),
                    PROPERTIES[v.property].unit,
                    _qualification_text(v.detail.get("qualification")),
                )
                for v in outcome.values
            ],
        )
        for name, why in outcome.values[0].detail.get("refused_properties", {}).items():
            print_text(f"{name} refused: {why}")
    print_text(f"wall time {outcome.wall_s:.1f} s; logs and result in {directory}")


def _qualification_text(said: Any) -> str:
    if not isinstance(said, dict):
        return str(said or "")
    word = "REFUSED, kept as the user insisted" if said["refused"] else "qualified"
    return (
        f"{word}: off by {said['relative_error']:.1%} over {said['metals']} metals, bound {said['bound']:.0%}"
    )


@dft.command()
def qualify(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The calculator, see `dft calculators`.")],
    *,
    preset: Preset = "screening",
    elements: Annotated[
        str | None, typer.Option("--elements", metavar="V-Nb-...", help="Only these; default is all six.")
    ] = None,
    directory: Annotated[
        Path, typer.Option("--directory", help="Where the calculations are kept; a second run goes on there.")
    ] = Path("dft-qualification"),
    out: Annotated[
        Path | None,
        typer.Option("--out", help="Folder for the result; default is where it will be looked for."),
    ] = None,
    calculator_option: CalculatorOptions = None,
    json: Json = False,
) -> None:
    """Compute the pure bcc metals, compare with measurement, and keep the errors for later values."""
    from validators.atomistic.calculators import code_for
    from validators.atomistic.qualification import METALS, own_folder
    from validators.atomistic.qualification import qualify as compute
    from validators.atomistic.specification import CalculatorChoice

    choice = CalculatorChoice(name, preset, named_values(calculator_option or [], "--calculator-option"))
    chosen = METALS if elements is None else tuple(elements.replace(",", "-").split("-"))
    folder = out if out is not None else own_folder()
    code_for(choice)
    _require_directory(directory)
    _require_directory(folder, "--out")
    began = time.perf_counter()

    def tell(metal: str, label: str, done: int, expected: int) -> None:
        note(f"{time.perf_counter() - began:7.1f} s  {metal} {done} of {expected}: {label}")

    found = compute(
        choice, directory / preset, chosen, keep=lambda q: note(f"kept in {q.save(folder)}"), progress=tell
    )
    if json:
        print_json(found.to_json())
        return
    _print_qualification(found)


def _print_qualification(found: Qualification) -> None:
    from validators.atomistic.qualification import BOUNDS, COUNTED, FEWEST, references

    known = references()
    print_table(
        f"computed against measured at room temperature ({found.method})",
        ["metal!", "a/A>", "measured>", "B/GPa>", "measured>", "G/GPa>", "measured>", "s>", "remark"],
        [
            (
                metal,
                *(
                    cell
                    for name in ("lattice_parameter", "bulk_modulus", "shear_modulus")
                    for cell in (number(found.values.get(metal, {}).get(name)), number(known[metal][name]))
                ),
                number(found.wall_s.get(metal)),
                found.failures.get(metal, "" if metal in COUNTED else "not counted"),
            )
            for metal in (*found.values, *found.failures)
        ],
    )
    errors = [found.error(name) for name in BOUNDS]
    print_table(
        f"root mean square errors over the counted metals (at least {FEWEST})",
        ["property!", "error>", "relative>", "bound>", "worst!", "verdict"],
        [
            (
                e.name,
                number(e.rms, 3),
                f"{e.relative:.1%}" if e.metals else "-",
                f"{e.bound:.0%}",
                e.worst,
                f"refused: {e.reason()}" if e.refused else "counts",
            )
            for e in errors
        ],
    )
