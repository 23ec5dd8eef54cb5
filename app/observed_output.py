"""What ``check --observed`` prints: how probably an alloy is reported as single-phase bcc."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from app.output import number, print_table

if TYPE_CHECKING:
    from hea_loop.composition import Composition
    from validators.calphad import CalphadDatabase
    from validators.calphad.observed import Against

__all__ = ["observed_rows", "print_observed"]


def observed_rows(
    compositions: Sequence[Composition], database: CalphadDatabase, processing: str | None
) -> dict[str, dict[str, Any]]:
    """One row for each alloy by its formula, with what speaks against it in words; none if no state is given.

    Raises:
        InputError: A database that the model was not trained with, an unknown processing state.
    """
    from hea_loop.errors import InputError
    from validators.calphad.observed import observed_probability, require_state

    if processing is None:
        return {}
    try:
        require_state(processing)
    except InputError as error:
        raise InputError("--observed", error.value, error.problem, error.mend) from None
    return {
        answer.composition.formula: {
            "composition": answer.composition.formula,
            "outcome": answer.status.value,
            "single_phase_bcc_probability": answer.probability,
            **answer.detail(),
            "message": answer.message,
            "text": "; ".join(_text(a) for a in answer.against if a.phase),
        }
        for answer in observed_probability(compositions, database, processing=processing)
    }


def _text(against: Against) -> str:
    return (
        f"{against.phase} up to {against.stable_up_to_K:.0f} K" if against.stable_up_to_K else against.phase
    )


def print_observed(found: Mapping[str, dict[str, Any]]) -> None:
    """The rows as a table; nothing if there are none."""
    rows = list(found.values())
    if not rows:
        return

    def share(value: float | None) -> str:
        return "-" if value is None else number(100 * value, 2)

    print_table(
        f"reported as single-phase BCC, {rows[0]['processing']} (learned from the literature)",
        ["composition!", "probability/%>", "5-95%>", "rivals of BCC", "outcome"],
        [
            (
                r["composition"],
                share(r["single_phase_bcc_probability"]),
                f"{share(r['low'])}-{share(r['high'])}",
                r["text"],
                "; ".join(
                    part
                    for part in (
                        r["outcome"],
                        r["message"],
                        "" if r["in_domain"] else "unlike what was learned from",
                    )
                    if part
                ),
            )
            for r in rows
        ],
    )
