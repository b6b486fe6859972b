"""The speech codec: front end, encoder and decoder streams, phase, concealment."""
