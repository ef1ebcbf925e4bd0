"""The ledger: what became of everybody who was ever fetched, in each store, by comparing sets of uuids.

``look`` finds out where everybody is, ``account`` tells it, ``places`` finds the last place of whoever is missing.
"""

from pipeline.ledger.account import Entry, Ledger, Totals, missing_of, opened
from pipeline.ledger.look import Choice, Look

__all__ = ["Choice", "Entry", "Ledger", "Look", "Totals", "missing_of", "opened"]
