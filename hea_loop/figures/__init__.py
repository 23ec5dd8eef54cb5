"""Figures: arrays in, matplotlib figures out; nothing is read from or written to a file here."""
