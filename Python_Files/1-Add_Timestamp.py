#!/usr/bin/env python3
"""First stage: adds when a person was fetched. Reads users.fetched, writes users.timestamped."""

import sys

from pipeline import entry, stages

if __name__ == "__main__":
    sys.exit(entry.main("1-Add_Timestamp", stages.add_timestamp))
