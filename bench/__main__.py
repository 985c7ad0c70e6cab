"""`python -m bench`: what a decision costs; and further commands, by name.

`compare A.json B.json` sets two runs side by side, `tail` measures latency at fixed rates, `peer-files DIR` writes what
another authorizer needs to decide as ours does, `soak` asks at a steady rate for a long time, `envoy` measures what
each way to enforce a set costs at a real Envoy.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Final

from bench.compare import compare
from bench.costs import costs
from bench.envoy import envoy
from bench.peers import peer_files
from bench.soak import soak
from bench.tail import tail
from bench.workloads import WrongReplyError
from extauthz.errors import ConfigurationError, EnvironmentUnfitError

COMMANDS: Final[dict[str, Callable[[Sequence[str]], str]]] = {
    "compare": compare,
    "envoy": envoy,
    "peer-files": peer_files,
    "soak": soak,
    "tail": tail,
}
"""By name; each returns what it has to say, in Markdown."""


def main(arguments: Sequence[str]) -> int:
    """Run a command; the exit code is 1 when nothing could be measured or a reply was wrong, 3 for wrong input."""
    command = COMMANDS.get(arguments[0]) if arguments else None
    try:
        print(costs(arguments) if command is None else command(arguments[1:]), end="")
    except ConfigurationError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 3
    except (EnvironmentUnfitError, WrongReplyError, OSError) as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
