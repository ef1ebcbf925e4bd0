"""``python -m pipeline.ledger``: what Administrator_scripts/Ledger.sh runs."""

import sys

from pipeline.ledger.command import main

sys.exit(main())
