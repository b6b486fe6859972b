"""The codec core: it knows lattices, symbols and bytes, and no modality."""
