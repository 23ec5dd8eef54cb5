"""Validators: each answers one question on a composition, with one of three outcomes.

This package knows no Prefect and no SQL: it takes compositions and settings and returns outcomes.
"""

from validators.outcome import Outcome, OutcomeStatus, OutcomeValue

__all__ = ["Outcome", "OutcomeStatus", "OutcomeValue"]
