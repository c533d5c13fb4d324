"""``python -m graphmi`` is the command ``graphmi``; ``torchrun -m graphmi`` starts it in several processes."""

import sys

from graphmi.cli import main

if __name__ == "__main__":
    sys.exit(main())
