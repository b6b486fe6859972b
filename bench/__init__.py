"""Measurements: every figure that the documentation gives comes from a command in here."""
