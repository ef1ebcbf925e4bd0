"""Project_Stop.sh: the batch at hand is finished, everything ends, the data stays."""

from __future__ import annotations

import time

from pipeline.operations import leftovers, servers, supervision
from pipeline.operations.telling import tell
from pipeline.settings import Settings


def stop(settings: Settings) -> None:
    """End everything within 30 seconds; says so when nothing runs. Raises PipelineError when a process stays."""
    if not settings.run.is_dir():
        tell("Pipeline", "does not run")
        return
    with servers.alone(settings):
        begin = time.monotonic()
        if supervision.daemon(settings) is None and not leftovers.living(settings):
            tell("Pipeline", "does not run")
            return
        servers.bring_down(settings)
        tell("Pipeline", "ended, no process is left", time.monotonic() - begin)
