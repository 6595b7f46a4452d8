"""`python -m clearsight` is the command `clearsight`."""

import sys

from clearsight.cli import main

sys.exit(main())
