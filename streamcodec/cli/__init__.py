"""The ``streamcodec`` command: a thin shell over the library, one module a subcommand."""
