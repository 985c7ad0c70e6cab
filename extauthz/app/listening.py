"""Where calls are answered: the sockets and the transport that the settings ask for."""

from __future__ import annotations

from contextlib import AsyncExitStack

from extauthz.server.call import Methods
from extauthz.server.h2corn_transport import H2cornTransport
from extauthz.server.sockets import ListeningSocket, listen_all
from extauthz.server.transport import Transport
from extauthz.settings import Settings
from extauthz.tls import CredentialFiles, Credentials


def open_sockets(stack: AsyncExitStack, settings: Settings) -> list[ListeningSocket]:
    """Sockets for h2corn, in this process or in workers; closed with the stack.

    Raises:
        EnvironmentUnfitError: an address cannot be listened at.
    """
    sockets = listen_all(settings.listen)
    for each in sockets:
        stack.callback(each.close)
    return sockets


async def open_transport(
    stack: AsyncExitStack,
    settings: Settings,
    methods: Methods,
    credentials: Credentials | None,
) -> Transport:
    """Listen, to answer calls in this process; until the stack is left.

    Raises:
        ConfigurationError: the credentials cannot be used.
        EnvironmentUnfitError: an address cannot be listened at.
    """
    drain = settings.drain_timeout_seconds
    if settings.transport == "h2corn":
        sockets = open_sockets(stack, settings)
        return H2cornTransport(methods, sockets, drain_timeout_seconds=drain, credentials=credentials)
    from extauthz.server.grpc_aio import GrpcioTransport  # noqa: PLC0415 - a library that h2corn does without

    transport = GrpcioTransport(methods, drain_timeout_seconds=drain, credentials=credentials)
    return await stack.enter_async_context(transport.listening(settings.listen))


def credential_files(settings: Settings) -> CredentialFiles | None:
    """What callers are answered with over TLS; None where they come in clear text."""
    if settings.tls_cert is None or settings.tls_key is None:
        return None
    return CredentialFiles(settings.tls_cert, settings.tls_key, settings.client_ca)
