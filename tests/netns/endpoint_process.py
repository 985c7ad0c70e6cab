"""A process at one end of a connection: it says where connections arrive, or asks. Run inside a network namespace.

It starts as root and then becomes the user it is told to be, since that user may not be able to read the interpreter.
"""

from __future__ import annotations

import argparse
import json
import os
import selectors
import socket
import struct
import sys

IP_TRANSPARENT = 19
SO_ORIGINAL_DST = 80


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def become(uid: int, gid: int) -> None:
    """Give up being root, for good; uid 0 keeps its capabilities."""
    os.setgroups([])
    os.setresgid(gid, gid, gid)
    os.setresuid(uid, uid, uid)


def original(connection: socket.socket) -> list[object] | None:
    """Where a connection was going; None where connections are not tracked."""
    v6 = connection.family == socket.AF_INET6
    try:
        raw = connection.getsockopt(socket.IPPROTO_IPV6 if v6 else socket.SOL_IP, SO_ORIGINAL_DST, 28 if v6 else 16)
    except OSError:
        return None
    (port,) = struct.unpack_from("!H", raw, 2)
    address = raw[8:24] if v6 else raw[4:8]
    return [socket.inet_ntop(connection.family, address), port]


def family_of(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET


def listen(host: str, port: int, kind: socket.SocketKind, *, transparent: bool) -> socket.socket:
    server = socket.socket(family_of(host), kind)
    server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if server.family == socket.AF_INET6:
        server.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    if transparent:
        server.setsockopt(socket.SOL_IP, IP_TRANSPARENT, 1)
    server.bind((host, port))
    if kind is socket.SOCK_STREAM:
        server.listen()
    return server


def serve(arguments: argparse.Namespace) -> None:
    """Answer each connection with what is known of it."""
    become(arguments.uid, arguments.gid)  # first: rules on owners look at who made a socket
    selector = selectors.DefaultSelector()
    for port in arguments.tcp:
        selector.register(
            listen(arguments.host, port, socket.SOCK_STREAM, transparent=arguments.transparent), selectors.EVENT_READ
        )
    for port in arguments.udp:
        selector.register(listen(arguments.host, port, socket.SOCK_DGRAM, transparent=False), selectors.EVENT_READ)
    say("ready")
    while True:
        for key, _ in selector.select():
            server = key.fileobj
            assert isinstance(server, socket.socket)
            if server.type == socket.SOCK_DGRAM:
                _, peer = server.recvfrom(512)
                server.sendto(json.dumps({"at": server.getsockname()[1]}).encode(), peer)
                continue
            connection, peer = server.accept()
            with connection:
                known = {"at": server.getsockname()[1], "peer": peer[0], "local": list(connection.getsockname()[:2])}
                connection.sendall(json.dumps({**known, "original": original(connection)}).encode())


def ask(arguments: argparse.Namespace) -> None:
    """Say what the other end says; `null` if nobody answers."""
    become(arguments.uid, arguments.gid)
    kind = socket.SOCK_DGRAM if arguments.over_udp else socket.SOCK_STREAM
    client = socket.socket(family_of(arguments.host), kind)
    client.settimeout(5)
    if arguments.source:
        client.bind((arguments.source, 0))
    try:
        if arguments.over_udp:
            client.sendto(b"?", (arguments.host, arguments.port))
            said, sender = client.recvfrom(4096)
            say(json.dumps({**json.loads(said), "from": list(sender[:2])}))
        else:
            client.connect((arguments.host, arguments.port))
            say(client.makefile("rb").read().decode())
    except OSError:
        say("null")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--uid", type=int, required=True)
    parser.add_argument("--gid", type=int, required=True)
    parser.add_argument("--host", required=True)
    commands = parser.add_subparsers(required=True)
    server = commands.add_parser("serve")
    server.add_argument("--tcp", type=int, nargs="*", default=[])
    server.add_argument("--udp", type=int, nargs="*", default=[])
    server.add_argument("--transparent", action="store_true")
    server.set_defaults(run=serve)
    client = commands.add_parser("ask")
    client.add_argument("--port", type=int, required=True)
    client.add_argument("--source")
    client.add_argument("--over-udp", action="store_true")
    client.set_defaults(run=ask)
    arguments = parser.parse_args(sys.argv[1:])
    arguments.run(arguments)


main()
