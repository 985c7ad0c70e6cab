"""The process in which modules are compiled by `regopy`: started with limits, asked once, gone.

A compiler in native code may crash, hang or take all memory on a hostile module; here that is one process less. It is
run as a file, knows nothing of this package, and speaks JSON: a request on standard input, an answer on standard
output.

The request is `{"modules": [[name, text], ...], "query": text or null, "entry_points": [...], "memory": bytes,
"seconds": CPU time}`; the answer is `{"plan": document}` or `{"error": text}`.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

_SHARED_MEMORY = "/dev/shm"  # noqa: S108 - the folder is made as safely as anywhere

OUT_OF_MEMORY = 3
"""The exit status of a compiler that took more memory than it may."""


def answer(request: dict[str, Any]) -> dict[str, Any]:
    """The plan of a request's modules, or why there is none."""
    try:
        from regopy import BundleFormat, Interpreter, RegoError  # noqa: PLC0415 - after the limits are set
    except ImportError as error:  # a library of the system is missing: it needs libatomic
        return {"error": f"the compiler of Rego cannot be loaded: {error}"}
    try:
        compiler = Interpreter()
        for name, text in request["modules"]:
            compiler.add_module(name, text)
        bundle = compiler.build(request["query"], request["entry_points"])
        with temporary_folder() as folder:
            target = Path(folder) / "bundle"
            compiler.save_bundle(str(target), bundle, BundleFormat.JSON)
            return {"plan": _unquoted(json.loads((target / "plan.json").read_text()))}
    except (RegoError, OSError, ValueError) as error:
        return {"error": str(error)}


def temporary_folder() -> tempfile.TemporaryDirectory[str]:
    """A folder for a moment; in memory where no disk may be written to, as in a container with a read-only root."""
    try:
        return tempfile.TemporaryDirectory()
    except FileNotFoundError:  # of all the usual places none can be written to
        return tempfile.TemporaryDirectory(dir=_SHARED_MEMORY)


def _unquoted(plan: dict[str, Any]) -> dict[str, Any]:
    """The plan with its strings as they are: this compiler leaves them as written, some in quotes and some without."""
    for string in plan["static"]["strings"]:
        written = string["value"]
        is_quoted = len(written) > 1 and written[0] == written[-1] == '"'
        string["value"] = json.loads(written if is_quoted else f'"{written}"', strict=False)
    return {**plan, "compiler": "regopy"}


def _watch_memory(limit: int) -> None:
    """End the process when it has taken more memory than it may.

    A limit of the kernel is no use: the compiler's allocator reserves hundreds of gigabytes of addresses at once.
    """
    while _peak_bytes() < limit:
        time.sleep(0.02)
    os._exit(OUT_OF_MEMORY)


def _peak_bytes() -> int:
    """The most memory that this program has had.

    Not getrusage(2) where it can be helped: Linux counts there what the process that started this one had.
    """
    try:
        status = Path("/proc/self/status").read_bytes()
    except FileNotFoundError:
        unit = 1 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    return int(status.partition(b"VmHWM:")[2].split(None, 1)[0]) * 1024


def main() -> None:
    """Answer the one request."""
    request = json.load(sys.stdin)
    # The compiler prints what it finds wrong; standard output is for the answer alone.
    output = os.dup(1)
    os.dup2(2, 1)
    threading.Thread(target=_watch_memory, args=(request["memory"],), daemon=True).start()
    # The soft limit ends it with SIGXCPU, which tells that it was the time; at the hard one it would be SIGKILL.
    resource.setrlimit(resource.RLIMIT_CPU, (request["seconds"], request["seconds"] + 1))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with os.fdopen(output, "w", encoding="utf-8") as stream:
        json.dump(answer(request), stream)


if __name__ == "__main__":
    main()
