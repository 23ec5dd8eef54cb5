"""Figures: matplotlib, arrays in and a Figure out."""
