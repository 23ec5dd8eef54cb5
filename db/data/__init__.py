"""Packaged data; see the README beside it."""
