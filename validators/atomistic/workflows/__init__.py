"""The workflows: each a short recipe of structures, runs of the calculator, and a summary with its checks.

They are run through ``running.run_workflow(spec, engine, progress=None)``, which takes a
:class:`validators.atomistic.specification.JobSpec`, an engine and a callable that is told each calculation's label,
its number from 1 and how many are expected, and returns a :class:`validators.outcome.Outcome`.
"""
