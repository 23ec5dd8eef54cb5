"""``python -m app`` is ``hea-loop``."""

import sys

from app.command_line import main

if __name__ == "__main__":
    sys.exit(main())
