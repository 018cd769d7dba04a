"""`python -m burnish`: the command line, where the script of that name is not on the path."""

import sys

from burnish.cli.main import main

sys.exit(main())
