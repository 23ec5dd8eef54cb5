"""Benchmarks: what the figures in README and docs come from. Each is a command that anyone can run again."""
