"""An application of a pod that says what reached it, or one that calls another. Run inside a network namespace.

It starts as root and then becomes the user it is told to be, since that user may not be able to read the interpreter.
"""

from __future__ import annotations

import argparse
import codecs
import json
import os
import socket
import sys
from http.client import HTTPConnection, HTTPException
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def become(uid: int) -> None:
    """Give up being root, for good."""
    codecs.lookup("idna")  # read now, while that is allowed
    os.setgroups([])
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)


class Application(BaseHTTPRequestHandler):
    """Answers with what it got; /status/NNN with that status."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        headers = {name.lower(): value for name, value in self.headers.items()}
        port = self.connection.getsockname()[1]
        body = json.dumps({"at": port, "peer": self.client_address[0], "path": self.path, "headers": headers}).encode()
        status = int(self.path.rpartition("/")[2]) if self.path.startswith("/status/") else 200
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nobody reads it."""


def serve(arguments: argparse.Namespace) -> None:
    server = ThreadingHTTPServer((arguments.host, arguments.port), Application)
    become(arguments.uid)
    say("ready")
    server.serve_forever()


def call(arguments: argparse.Namespace) -> None:
    """Send requests, one after another, on connections of their own; a line of JSON for each."""
    become(arguments.uid)
    headers = dict(each.split(": ", 1) for each in arguments.header)
    for _ in range(arguments.times):
        connection = HTTPConnection(arguments.host, arguments.port, timeout=10)
        try:
            connection.request("GET", arguments.path, headers=headers)
            answer = connection.getresponse()
            said = {"status": answer.status, "headers": dict(answer.getheaders()), "body": answer.read().decode()}
        except (OSError, HTTPException) as error:
            said = {"status": None, "headers": {}, "body": repr(error)}
        finally:
            connection.close()
        say(json.dumps(said))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--uid", type=int, required=True)
    parser.add_argument("--host", required=True)
    parser.add_argument("--port", type=int, required=True)
    commands = parser.add_subparsers(required=True)
    commands.add_parser("serve").set_defaults(run=serve)
    client = commands.add_parser("call")
    client.add_argument("--path", default="/")
    client.add_argument("--header", action="append", default=[])
    client.add_argument("--times", type=int, default=1)
    client.set_defaults(run=call)
    arguments = parser.parse_args(sys.argv[1:])
    socket.setdefaulttimeout(10)
    arguments.run(arguments)


main()
