"""Names of the ways back from mel frames to sound."""

VOCODERS = ("griffin-lim", "neural")
"""Both end in the same phase search; ``"neural"`` starts it from a network's spectra."""

DEFAULT_VOCODER = "griffin-lim"
"""Ahead of ``"neural"`` on held-out speakers in PESQ, ViSQOL and DistillMOS, and cheaper."""
