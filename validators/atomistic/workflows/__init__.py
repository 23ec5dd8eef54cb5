"""The workflows: each a short recipe of structures, runs of the calculator, and a summary with its checks."""

from validators.atomistic.workflows.calculation import Progress
from validators.atomistic.workflows.running import fitted_spec, require_runnable, run_workflow

__all__ = ["Progress", "fitted_spec", "require_runnable", "run_workflow"]
