"""Trained weights of streamcodec, their cards, and the system that trains them."""
