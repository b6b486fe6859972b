"""Streaming layers and the networks of the codec: encoder, generator, prior, vocoder."""
