"""``python -m pipeline.api``: the process of the read API and the page."""

import sys

from pipeline.api.server import main

sys.exit(main())
