"""NocoDB as the pipeline uses it. This package is the only place that speaks to it, over its HTTP API.

Where a rule here comes from NocoDB's behaviour rather than from its documentation, it was found by asking release
0.301.3, which the project pins.
"""

from pipeline.nocodb.base import bootstrap, ready
from pipeline.nocodb.columns import UserRow
from pipeline.nocodb.users import Users

__all__ = ["UserRow", "Users", "bootstrap", "ready"]
