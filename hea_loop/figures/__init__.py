"""Figures, made without a display and without global state."""
