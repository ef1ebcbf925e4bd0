#!/usr/bin/env python3
"""Stage 0: fetch people and publish them to users.fetched. ``--help`` tells how."""

import sys

from pipeline.feed.command import main

if __name__ == "__main__":
    sys.exit(main())
