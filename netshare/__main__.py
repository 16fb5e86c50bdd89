"""`python -m netshare`: the command line, where the installed command is not on the path."""

import sys

from netshare.commands.main import main

sys.exit(main())
