"""The report of a campaign: one HTML file that opens offline and needs nothing else."""

from app.report.build import build_report

__all__ = ["build_report"]
