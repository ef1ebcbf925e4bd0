#!/usr/bin/env python3
"""Last stage: stores people. Reads users.labelled, writes PostgreSQL or NocoDB: each store has a process of its own."""

import argparse
import sys

from pipeline import entry, stages

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--to", required=True, choices=sorted(stages.SINKS), help="the store to write to")
    store = parser.parse_args().to
    sys.exit(entry.main(f"3-Add_Database-{store}", stages.SINKS[store]))
