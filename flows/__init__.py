"""Prefect flows and tasks. Thin: nothing scientific is decided here."""
