"""The stand-in: this project's own double of the randomuser.me API, version 1.4.

It serves without the internet what the real service would: the same contract with the same traps, deterministic for a
seed and page, faces of its own drawing, and failures on demand. Run it with ``python -m pipeline.stand_in``.
"""

from __future__ import annotations

from pipeline.stand_in.faces import PORTRAIT_TYPE, portrait
from pipeline.stand_in.faults import KINDS as FAULT_KINDS
from pipeline.stand_in.people import some_people
from pipeline.stand_in.server import StandIn, serving

__all__ = ["FAULT_KINDS", "PORTRAIT_TYPE", "StandIn", "portrait", "serving", "some_people"]
