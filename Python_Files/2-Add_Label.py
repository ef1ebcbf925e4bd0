#!/usr/bin/env python3
"""Second stage: adds a company. Reads users.timestamped, writes users.labelled."""

import sys

from pipeline import entry, stages

if __name__ == "__main__":
    sys.exit(entry.main("2-Add_Label", stages.add_label))
