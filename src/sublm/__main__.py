"""`python -m sublm` is the command `sublm`."""

import sys

from sublm.cli import main

sys.exit(main())
