"""The composition root: constructs every part, connects them, and runs them as one service.

The only room that reads a clock, installs signal handlers, and knows all others. In order: load, listen, serve; on a
change of the files, load again and keep the last good set if that fails; at the end, report not ready, answer what is
in flight, stop.
"""

from extauthz.app.process import ready_line, run_service
from extauthz.app.service import Service

__all__ = ["Service", "ready_line", "run_service"]
