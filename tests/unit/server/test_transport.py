"""What every transport does alike."""

import asyncio
import contextlib
import datetime as dt
import shutil
import socket
import ssl
import stat
import tempfile
import time
from pathlib import Path

import grpc
import pytest
from cryptography import x509
from envoy.service.auth.v3 import external_auth_pb2
from grpc_health.v1 import health_pb2

from extauthz.authn.authenticator import NeedKeySet
from extauthz.errors import EnvironmentUnfitError
from extauthz.lowering.address import TcpAddress, UnixAddress
from extauthz.model.decision import Reason
from extauthz.server.check_method import CHECK_PATH, CheckLimits
from extauthz.server.grpc_aio import MAX_PENDING_CALLS, GrpcioTransport
from extauthz.server.h2corn_transport import H2cornTransport
from extauthz.server.health import WATCH_PATH, Health
from extauthz.server.sockets import listen_all
from extauthz.server.sounding import Sounding
from extauthz.server.streams import MAX_STREAMS
from extauthz.tls import CredentialFiles, load_credentials
from tests.harness.asgi_call import check_message
from tests.harness.authn import make_provider
from tests.harness.certificates import CertificateAuthority
from tests.harness.frames import DATA, END_HEADERS, END_STREAM, HEADERS, call_headers, connect, frame

LOCAL = TcpAddress("127.0.0.1", 0)
UNLIMITED = [("grpc.max_send_message_length", -1)]
HEALTH_PATH = "/grpc.health.v1.Health/Check"
NAME = [("grpc.ssl_target_name_override", "localhost")]


@pytest.fixture(params=["h2corn", "grpcio"])
def transport(request):
    return request.param


@pytest.fixture
def folder():
    """Not pytest's tmp_path: the paths of Unix sockets must be short."""
    path = Path(tempfile.mkdtemp(prefix="transport-"))
    yield path
    shutil.rmtree(path)


@pytest.fixture
def authority(tmp_path):
    return CertificateAuthority(tmp_path, dt.datetime.now(dt.UTC))  # noqa: TID251 - tests have no app.py


@contextlib.asynccontextmanager
async def opened(transport, methods, addresses=(LOCAL,), credentials=None, drain=5.0):
    """Listening, and not running."""
    if transport == "grpcio":
        server = GrpcioTransport(methods, drain_timeout_seconds=drain, credentials=credentials)
        async with server.listening(addresses):
            yield server
        return
    sockets = listen_all(addresses)
    try:
        yield H2cornTransport(methods, sockets, drain_timeout_seconds=drain, credentials=credentials)
    finally:
        for each in sockets:
            each.close()


@contextlib.asynccontextmanager
async def served(transport, methods, addresses=(LOCAL,), credentials=None, drain=5.0):
    """Running."""
    async with opened(transport, methods, addresses, credentials, drain) as server, asyncio.TaskGroup() as tasks:
        tasks.create_task(server.run())
        await server.started()
        try:
            yield server
        finally:
            server.stop()


def check_methods(bench):
    return {CHECK_PATH: bench.method(), **Health(lambda: True).methods}


def channel(address, credentials=None):
    if credentials is None:
        return grpc.aio.insecure_channel(str(address), options=UNLIMITED)
    return grpc.aio.secure_channel(str(address), credentials, options=[*UNLIMITED, *NAME])


async def ask(address, message=None, path=CHECK_PATH, credentials=None, **options):
    async with channel(address, credentials) as client:
        reply = await client.unary_unary(path)(check_message() if message is None else message, timeout=10, **options)
    return external_auth_pb2.CheckResponse.FromString(reply)


async def status_of(address, **options):
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await ask(address, **options)
    return caught.value.code()


def large_message(mebibytes):
    message = external_auth_pb2.CheckRequest.FromString(check_message())
    message.attributes.request.http.raw_body = b"x" * (mebibytes << 20)
    return message.SerializeToString()


def reason(response):
    return response.dynamic_metadata["reason"]


def test_calls_are_answered_at_every_address(transport, bench, folder):
    """TCP, twice, and a Unix socket whose mode lets owner and group in; at the end its file is gone."""
    path = folder / "x.sock"

    async def main():
        async with served(transport, check_methods(bench), (LOCAL, LOCAL, UnixAddress(str(path)))) as server:
            assert len(set(server.addresses)) == 3
            assert stat.S_IMODE(path.stat().st_mode) == 0o660
            for address in server.addresses:
                assert (await ask(address)).WhichOneof("http_response") == "ok_response"

    asyncio.run(main())
    assert not path.exists()


def test_a_socket_that_nobody_listens_behind_is_replaced(transport, bench, folder):
    """Left behind by a process that was killed."""
    path = folder / "x.sock"
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(path))

    async def main():
        async with served(transport, check_methods(bench), (UnixAddress(str(path)),)) as server:
            assert (await ask(server.addresses[0])).status.code == 0

    asyncio.run(main())


def test_an_address_in_use_is_refused(transport, bench, folder):
    """A live socket, a port, another file: nothing of another process is taken over or removed."""
    plain = folder / "plain"
    plain.touch()
    live = folder / "live.sock"

    async def main():
        with socket.create_server(("127.0.0.1", 0)) as port, socket.socket(socket.AF_UNIX) as unix:
            unix.bind(str(live))
            unix.listen()
            cases = [
                (TcpAddress("127.0.0.1", port.getsockname()[1]), "another process listens there"),
                (UnixAddress(str(live)), "another process listens there"),
                (UnixAddress(str(plain)), "a file that is no socket is there"),
                (UnixAddress(str(folder / "absent" / "x")), "its folder does not exist"),
                (TcpAddress("no-such-host.invalid", 1), "the host is unknown"),
            ]
            for address, problem in cases:
                with pytest.raises(EnvironmentUnfitError, match=problem):
                    async with opened(transport, check_methods(bench), (address,)):
                        pytest.fail("listening")

    asyncio.run(main())
    assert plain.exists()
    assert live.exists()


def test_two_services_do_not_share_a_port(transport, bench):
    """The second is told, instead of getting half of the calls."""

    async def main():
        async with served(transport, check_methods(bench)) as server:
            with pytest.raises(EnvironmentUnfitError, match="another process listens there"):
                async with opened(transport, check_methods(bench), server.addresses):
                    pytest.fail("listening")

    asyncio.run(main())


def test_health_is_answered(transport, bench):
    """Beside Check, on the same connection."""

    async def main():
        async with served(transport, check_methods(bench)) as server, channel(server.addresses[0]) as client:
            return await client.unary_unary(HEALTH_PATH)(b"", timeout=10)

    reply = health_pb2.HealthCheckResponse.FromString(asyncio.run(main()))
    assert reply.status == health_pb2.HealthCheckResponse.SERVING


@pytest.mark.parametrize("transport", ["h2corn"], indirect=True)
def test_the_end_of_a_call_waits_in_turn_with_calls_that_arrive(transport):
    """That is what tells how long those wait, and what another version of the library may change."""
    order: list[int | str] = []
    done = asyncio.Event()
    crowd = b"".join(
        frame(HEADERS, END_HEADERS, each, call_headers(CHECK_PATH)) + frame(DATA, END_STREAM, each, bytes(5))
        for each in range(1, 2001, 2)
    )

    async def answer(call):
        number = len(order)
        order.append(number)
        if number != 100:
            await call.reply(b"")
            return
        async with Sounding(time.perf_counter).taken(call.over()):
            # Nothing else runs in this process while it sleeps, but what reads from and writes to the connection.
            time.sleep(0.3)  # noqa: ASYNC251
            await call.reply(b"")
            time.sleep(0.3)  # noqa: ASYNC251
        order.append("over")
        done.set()

    async def main():
        async with served(transport, {CHECK_PATH: answer}) as server:
            with connect(server.addresses[0]) as connection:
                connection.sendall(crowd)
                async with asyncio.timeout(20):
                    await done.wait()

    asyncio.run(main())
    assert order.index("over") > 900, "all calls that had arrived before went first"


def test_an_answered_call_is_over(transport):
    """Soon after its caller has the answer."""
    over = asyncio.Event()

    async def answer(call):
        async with Sounding(time.perf_counter).taken(call.over()):
            await call.reply(b"")
        over.set()

    async def main():
        async with served(transport, {CHECK_PATH: answer}) as server, channel(server.addresses[0]) as client:
            await client.unary_unary(CHECK_PATH)(b"", timeout=10)
            async with asyncio.timeout(10):
                await over.wait()

    asyncio.run(main())


class Watching:
    """A service whose state the test sets, and its health, served."""

    def __init__(self):
        self.is_ready = True
        self.health = Health(lambda: self.is_ready)

    def become(self, *, ready):
        self.is_ready = ready
        self.health.announce()


async def told(watch):
    async with asyncio.timeout(10):
        return health_pb2.HealthCheckResponse.FromString(await watch.read()).status


async def end_of(watch):
    """The status of a stream that ends; what is still told before does not matter."""
    async with asyncio.timeout(10):
        with contextlib.suppress(grpc.aio.AioRpcError):
            while await watch.read() is not grpc.aio.EOF:
                pass
        return await watch.code()


class TestWatch:
    """Of the health: an answer that goes on."""

    def test_each_state_is_told_at_once(self, transport):
        """The first, and each change, to every watcher."""
        watching = Watching()

        async def main():
            async with served(transport, watching.health.methods) as server, channel(server.addresses[0]) as client:
                watches = [client.unary_stream(WATCH_PATH)(b"") for _ in range(3)]
                statuses = [[await told(each) for each in watches]]
                for ready in (False, True):
                    watching.become(ready=ready)
                    statuses.append([await told(each) for each in watches])
                return statuses

        serving, not_serving = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING
        assert asyncio.run(main()) == [[serving] * 3, [not_serving] * 3, [serving] * 3]

    def test_an_unknown_service_is_told_as_such(self, transport):
        """And the stream stays open, as its documentation asks."""
        request = health_pb2.HealthCheckRequest(service="other").SerializeToString()

        async def main():
            watching = Watching()
            async with served(transport, watching.health.methods) as server, channel(server.addresses[0]) as client:
                watch = client.unary_stream(WATCH_PATH)(request)
                assert await told(watch) == health_pb2.HealthCheckResponse.SERVICE_UNKNOWN
                assert not watch.done()

        asyncio.run(main())

    def test_a_broken_request_has_a_status(self, transport):
        """And no message."""

        async def main():
            watching = Watching()
            async with served(transport, watching.health.methods) as server, channel(server.addresses[0]) as client:
                return await end_of(client.unary_stream(WATCH_PATH)(b"\xff\xff"))

        assert asyncio.run(main()) is grpc.StatusCode.INTERNAL

    def test_watchers_do_not_hold_up_the_end(self, transport):
        """They are told to call again, elsewhere; the drain would last longer."""

        async def main():
            watching = Watching()
            async with opened(transport, watching.health.methods, drain=30.0) as server:
                running = asyncio.ensure_future(server.run())
                await server.started()
                async with channel(server.addresses[0]) as client:
                    watch = client.unary_stream(WATCH_PATH)(b"")
                    await told(watch)
                    watching.become(ready=False)
                    assert await told(watch) == health_pb2.HealthCheckResponse.NOT_SERVING
                    server.stop()
                    async with asyncio.timeout(10):
                        status = await end_of(watch)
                        await running
                return status

        assert asyncio.run(main()) is grpc.StatusCode.UNAVAILABLE

    def test_watchers_do_not_hold_up_a_new_certificate(self, transport, authority):
        """Those on connections under the old one call again, or stay."""

        async def main():
            watching = Watching()
            credentials = credentials_of(authority)
            async with served(transport, watching.health.methods, credentials=credentials, drain=30.0) as server:
                address = server.addresses[0]
                async with channel(address, trusting(authority)) as client:
                    await told(client.unary_stream(WATCH_PATH)(b""))
                    async with asyncio.timeout(10):
                        await server.replace_credentials(credentials_of(authority))
                    return await told(client.unary_stream(WATCH_PATH)(b""))

        assert asyncio.run(main()) == health_pb2.HealthCheckResponse.SERVING

    def test_a_watcher_that_goes_leaves_nothing_behind(self, transport):
        """Its room is free again: many more come and go than may watch at once."""

        async def main():
            watching = Watching()
            async with served(transport, watching.health.methods) as server:
                for _ in range(3):
                    async with channel(server.addresses[0]) as client:
                        watches = [client.unary_stream(WATCH_PATH)(b"") for _ in range(MAX_STREAMS // 2)]
                        await asyncio.gather(*(told(each) for each in watches))
                        for each in watches:
                            each.cancel()

        asyncio.run(main())


@pytest.mark.parametrize(
    ("message", "status", "expected"),
    [
        (b"\xff\xff", 400, Reason.REQUEST_MALFORMED),
        (external_auth_pb2.CheckRequest().SerializeToString(), 400, Reason.REQUEST_MALFORMED),
        (large_message(5), 413, Reason.REQUEST_TOO_LARGE),
        (large_message(8), 413, Reason.REQUEST_TOO_LARGE),
        (large_message(60), 413, Reason.REQUEST_TOO_LARGE),
    ],
    ids=["garbage", "empty", "5M", "8M", "60M"],
)
def test_what_a_request_provokes_is_a_denial(transport, bench, message, status, expected):
    """Never a status that a proxy may take for an error, never an allow."""

    async def main():
        async with served(transport, check_methods(bench)) as server:
            return await ask(server.addresses[0], message)

    reply = asyncio.run(main())
    assert (reply.status.code, reply.denied_response.status.code, reason(reply)) == (7, status, expected)


def test_a_message_just_below_the_limit_is_read(transport, bench):
    """Four mebibytes are the limit, and three are below."""

    async def main():
        async with served(transport, check_methods(bench)) as server:
            return await ask(server.addresses[0], large_message(3))

    assert asyncio.run(main()).status.code == 0


def test_what_is_no_call_of_ours_is_unimplemented(transport, bench):
    """Another method, another service, a compressed message."""

    async def main():
        async with served(transport, check_methods(bench)) as server:
            address = server.addresses[0]
            return [
                await status_of(address, path=CHECK_PATH + "s"),
                await status_of(address, path="/other/Method"),
                await status_of(address, message=large_message(1), compression=grpc.Compression.Gzip),
            ]

    assert asyncio.run(main()) == [grpc.StatusCode.UNIMPLEMENTED] * 3


def test_many_large_headers_are_no_error(transport, bench):
    """A client can have a proxy pass them on as tracing baggage."""
    baggage = tuple((f"uberctx-{number}", "x" * 1000) for number in range(300))

    async def main():
        async with served(transport, check_methods(bench)) as server:
            return await ask(server.addresses[0], metadata=baggage)

    assert asyncio.run(main()).status.code == 0


def test_a_burst_on_a_new_connection_is_not_refused(transport, bench):
    """Proxies send before they know our limits."""
    count = 2000 if transport == "h2corn" else MAX_PENDING_CALLS

    async def main():
        async with served(transport, check_methods(bench)) as server, channel(server.addresses[0]) as client:
            call = client.unary_unary(CHECK_PATH)
            return await asyncio.gather(*[call(check_message(), timeout=30) for _ in range(count)])

    assert len(asyncio.run(main())) == count


def test_the_callers_timeout_is_kept(transport, bench):
    """A key set that does not come is could-not-decide before the caller gives up."""

    async def never(_need):
        await asyncio.Event().wait()

    bench.fetch = never
    bench.limits = CheckLimits(deadline_seconds=10.0, capacity=100)
    bench.answerer.answer = lambda *_: NeedKeySet(make_provider(), kid="k")

    async def main():
        async with served(transport, check_methods(bench)) as server, channel(server.addresses[0]) as client:
            return await client.unary_unary(CHECK_PATH)(check_message(), timeout=0.4)

    reply = external_auth_pb2.CheckResponse.FromString(asyncio.run(main()))
    assert (reply.denied_response.status.code, reason(reply)) == (503, Reason.DEADLINE_EXCEEDED)


def test_a_caller_that_goes_away_ends_its_call(transport, bench):
    """And nobody else's."""
    waiting, cancelled = asyncio.Event(), asyncio.Event()

    async def fetch(_need):
        waiting.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.set()
            raise

    bench.fetch = fetch
    at_once = bench.answerer.answer
    bench.answerer.answer = lambda message, *rest: (
        at_once(message, *rest) if message == check_message() else NeedKeySet(make_provider(), kid="k")
    )

    async def main():
        async with served(transport, check_methods(bench)) as server, channel(server.addresses[0]) as client:
            call = client.unary_unary(CHECK_PATH)
            gone = call(check_message("/guarded"), timeout=10)
            async with asyncio.timeout(10):
                await waiting.wait()
                gone.cancel()
                await cancelled.wait()
            return await call(check_message(), timeout=10)

    assert external_auth_pb2.CheckResponse.FromString(asyncio.run(main())).status.code == 0


class Load:
    """Clients that call again as soon as they have an answer, with a short pause."""

    def __init__(self, client, count):
        self._call = client.unary_unary(CHECK_PATH)
        self._count = count
        self._stopped = False
        self._new = asyncio.Condition()
        self._answered = 0
        self.lost = []

    async def __aenter__(self):
        self._tasks = [asyncio.ensure_future(self._ask()) for _ in range(self._count)]
        return self

    async def __aexit__(self, *_):
        self._stopped = True
        await asyncio.gather(*self._tasks)

    async def _ask(self):
        while not self._stopped:
            try:
                await self._call(check_message(), timeout=10)
            except grpc.aio.AioRpcError as error:
                self.lost.append(error.details())
            self._answered += 1
            async with self._new:
                self._new.notify_all()
            await asyncio.sleep(0.01)

    async def answers(self, count):
        """Wait for so many more."""
        until = self._answered + count
        async with asyncio.timeout(30), self._new:
            await self._new.wait_for(lambda: self._answered >= until)


class TestDrain:
    """Every accepted call is answered."""

    def test_what_is_in_flight_is_answered_and_nothing_new_accepted(self, transport, bench):
        """However long it takes, within the drain."""
        waiting, released = asyncio.Event(), asyncio.Event()

        async def fetch(_need):
            waiting.set()
            await released.wait()

        bench.fetch = fetch
        bench.answerer.answer = lambda *_: NeedKeySet(make_provider(), kid="k")

        async def main():
            async with served(transport, check_methods(bench)) as server, channel(server.addresses[0]) as client:
                call = asyncio.ensure_future(client.unary_unary(CHECK_PATH)(check_message(), timeout=10))
                await waiting.wait()
                server.stop()
                async with asyncio.timeout(10):
                    while await connects(server.addresses[0]):  # noqa: ASYNC110 - the kernel tells nobody
                        await asyncio.sleep(0.01)
                released.set()
                return external_auth_pb2.CheckResponse.FromString(await call)

        assert reason(asyncio.run(main())) == Reason.KEY_SET_UNAVAILABLE

    def test_calls_that_keep_coming_go_elsewhere(self, transport, bench):
        """As a proxy with two replicas sends them: none is lost when one of them stops."""

        async def main():
            methods = check_methods(bench)
            async with served(transport, methods) as first, served(transport, methods) as second:
                target = "ipv4:" + ",".join(str(each.addresses[0]) for each in (first, second))
                options = [("grpc.lb_policy_name", "round_robin"), ("grpc.default_authority", "localhost")]
                async with grpc.aio.insecure_channel(target, options=options) as client, Load(client, 4) as load:
                    await load.answers(100)
                    first.stop()
                    await load.answers(400)
                return load.lost

        assert asyncio.run(main()) == []

    def test_a_call_that_outlasts_the_drain_does_not_hold_up_the_end(self, transport, bench):
        """It is cut off, and `run` returns or says so."""

        async def fetch(_need):
            waiting.set()
            await asyncio.Event().wait()

        waiting = asyncio.Event()
        bench.fetch = fetch
        bench.limits = CheckLimits(deadline_seconds=60.0, capacity=100)
        bench.answerer.answer = lambda *_: NeedKeySet(make_provider(), kid="k")

        async def main():
            async with opened(transport, check_methods(bench), drain=0.2) as server:
                running = asyncio.ensure_future(server.run())
                await server.started()
                async with channel(server.addresses[0]) as client:
                    call = asyncio.ensure_future(client.unary_unary(CHECK_PATH)(check_message(), timeout=60))
                    await waiting.wait()
                    started = time.perf_counter()
                    server.stop()
                    await asyncio.wait([running])
                    assert time.perf_counter() - started < 5
                    with pytest.raises(grpc.aio.AioRpcError):
                        await call

        asyncio.run(main())


async def connects(address):
    try:
        _, writer = await asyncio.open_connection(address.host, address.port)
    except OSError:
        return False
    writer.close()
    return True


class TestTls:
    """With a certificate, and with certificates of clients."""

    def test_calls_are_answered_with_tls(self, transport, bench, authority):
        """Nothing is said in clear text, but at a Unix socket."""
        credentials = credentials_of(authority)

        async def main():
            async with served(transport, check_methods(bench), credentials=credentials) as server:
                address = server.addresses[0]
                assert (await ask(address, credentials=trusting(authority))).status.code == 0
                assert await status_of(address) is grpc.StatusCode.UNAVAILABLE

        asyncio.run(main())

    def test_a_unix_socket_stays_in_clear_text(self, transport, bench, authority, folder):
        """Its mode guards it."""
        addresses = (UnixAddress(str(folder / "x.sock")), LOCAL)

        async def main():
            methods = check_methods(bench)
            async with served(
                transport, methods, addresses, credentials_of(authority, client_ca=authority.certificate)
            ) as server:
                assert (await ask(server.addresses[0])).status.code == 0
                assert await status_of(server.addresses[1]) is grpc.StatusCode.UNAVAILABLE

        asyncio.run(main())

    def test_only_clients_of_the_authority_are_let_in(self, transport, bench, authority, tmp_path):
        """A good certificate; not none, not an expired one, not one that another authority made."""
        other_folder = tmp_path / "other"
        other_folder.mkdir()
        other = CertificateAuthority(other_folder, dt.datetime.now(dt.UTC))  # noqa: TID251 - tests have no app.py
        spiffe = x509.UniformResourceIdentifier("spiffe://cluster.local/ns/edge/sa/envoy")
        expired = authority.issue(spiffe, until=-dt.timedelta(hours=1))
        early = authority.issue(spiffe, since=dt.timedelta(hours=1))

        async def main():
            credentials = credentials_of(authority, client_ca=authority.certificate)
            async with served(transport, check_methods(bench), credentials=credentials) as server:
                address = server.addresses[0]
                assert (await ask(address, credentials=trusting(authority, authority.issue(spiffe)))).status.code == 0
                for wrong in (None, expired, early, other.issue(spiffe)):
                    status = await status_of(address, credentials=trusting(authority, wrong))
                    assert status is grpc.StatusCode.UNAVAILABLE, wrong

        asyncio.run(main())

    def test_a_certificate_is_replaced_without_a_lost_call(self, transport, bench, authority):
        """New connections see the new one; no client notices, but by looking."""

        async def main():
            credentials = credentials_of(authority)
            async with served(transport, check_methods(bench), credentials=credentials) as server:
                address = server.addresses[0]
                seen = [await serial(address, authority)]
                async with channel(address, trusting(authority)) as client, Load(client, 20) as load:
                    for _ in range(5):
                        await server.replace_credentials(credentials_of(authority))
                        seen.append(await serial(address, authority))
                        await load.answers(100)
                return load.lost, seen

        lost, seen = asyncio.run(main())
        assert lost == []
        assert len(set(seen)) == len(seen) == 6

    def test_other_authorities_of_clients_replace_the_old_ones(self, transport, bench, authority, tmp_path):
        """Whoever was let in only by them is not any more."""
        other_folder = tmp_path / "other"
        other_folder.mkdir()
        other = CertificateAuthority(other_folder, dt.datetime.now(dt.UTC))  # noqa: TID251 - tests have no app.py
        name = x509.DNSName("envoy")

        async def main():
            first = credentials_of(authority, client_ca=authority.certificate)
            async with served(transport, check_methods(bench), credentials=first) as server:
                await server.replace_credentials(credentials_of(authority, client_ca=other.certificate))
                address = server.addresses[0]
                assert (await ask(address, credentials=trusting(authority, other.issue(name)))).status.code == 0
                status = await status_of(address, credentials=trusting(authority, authority.issue(name)))
                assert status is grpc.StatusCode.UNAVAILABLE

        asyncio.run(main())


def credentials_of(authority, client_ca=None):
    """Credentials for localhost, of a new certificate."""
    own = str(authority.issue(x509.DNSName("localhost")))
    files = CredentialFiles(own, own, None if client_ca is None else str(client_ca))
    return load_credentials(files, time.time())  # noqa: TID251 - tests have no app.py


def trusting(authority, own=None):
    """A client's credentials."""
    proof = None if own is None else own.read_bytes()
    return grpc.ssl_channel_credentials(authority.certificate.read_bytes(), proof, proof)


async def serial(address, authority):
    """The number of the certificate that a new connection gets."""
    context = ssl.create_default_context(cafile=str(authority.certificate))
    context.set_alpn_protocols(["h2"])
    _, writer = await asyncio.open_connection(address.host, address.port, ssl=context, server_hostname="localhost")
    certificate = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    writer.close()
    return x509.load_der_x509_certificate(certificate).serial_number
