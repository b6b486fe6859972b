"""``python -m streamcodec`` is the ``streamcodec`` command."""

import sys

from .cli.main import main

if __name__ == "__main__":
    sys.exit(main())
