"""Pictures: tiles with halo, joint search, region decoding."""
