"""Atomistic validation through ASE: structures, workflows, calculators, and jobs that survive.

Importing this package imports neither ASE nor any calculator: the first calculation does.
"""
