import asyncio
import contextlib
import json
import threading

import pytest

from extauthz.authn.authenticator import KeySets, NeedKeySet
from extauthz.authn.keyset import STALE_LIMIT_SECONDS, Phase
from extauthz.errors import ConfigurationError, KeySetUnavailableError, KeyUnknownError, TokenExpiredError
from extauthz.model.provider import RemoteKeys
from extauthz.sources.jwks import (
    DEFAULT_FRESH_SECONDS,
    MAXIMUM_FRESH_SECONDS,
    MINIMUM_FRESH_SECONDS,
    KeySetEvent,
    KeySetEventKind,
    KeySetFetcher,
    metadata_urls,
)
from tests.harness.authn import CORP, NOW, bearer, caller, jwks, make_authenticator, make_provider, signing_key, token
from tests.harness.http_server import serving

OTHER = signing_key("other")
FETCHED, FAILED, KEPT, STALE = (
    KeySetEventKind.FETCHED,
    KeySetEventKind.FAILED,
    KeySetEventKind.KEPT,
    KeySetEventKind.STALE,
)


class Process:
    """A fetcher and an authenticator around the same key sets, on a clock that the test moves."""

    def __init__(self, *providers, state_dir=None, resolver=None):
        self.now = NOW
        self.events: list[KeySetEvent] = []
        self.key_sets = KeySets()
        options = {} if resolver is None else {"resolver": resolver}
        self.fetcher = KeySetFetcher(
            self.key_sets, state_dir=state_dir, on_event=self.events.append, clock=lambda: self.now, **options
        )
        self.provider = providers[0]
        self.authenticator = make_authenticator(*providers, key_sets=self.key_sets)
        self.fetcher.reconfigure(providers)

    @property
    def kinds(self):
        return [event.kind for event in self.events]

    async def authenticate(self, request):
        """As the service does it: fetch what is needed, once, and ask again."""
        answer = self.authenticator.authenticate(request, self.now)
        if isinstance(answer, NeedKeySet):
            await self.fetcher.fetch(answer)
        return caller(self.authenticator, request, self.now)

    @contextlib.asynccontextmanager
    async def running(self):
        task = asyncio.ensure_future(self.fetcher.run())
        await asyncio.sleep(0)  # it starts
        try:
            yield
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def until(self, condition):
        """Wait for what the background does; the fetcher looks at the clock again on each turn."""
        async with asyncio.timeout(10):
            while not condition():
                self.fetcher._look_again.set()
                await asyncio.sleep(0.005)


def publish(server, *keys, path="/jwks.json", **headers):
    body = json.dumps(jwks(*keys)).encode()
    server.answers[path] = lambda handler: handler.reply(body=body, **headers)


def provider_at(server, path="/jwks.json", **changes):
    return make_provider(keys=RemoteKeys(server.url(path)), **changes)


@pytest.fixture
def server():
    with serving() as server:
        publish(server, CORP)
        yield server


def test_keys_are_fetched_for_the_request_that_needs_them(server):
    """Once; later requests find them."""
    process = Process(provider_at(server))

    async def scenario():
        assert (await process.authenticate(bearer(token()))).subject == "alice"
        assert (await process.authenticate(bearer(token(sub="bob")))).subject == "bob"

    asyncio.run(scenario())
    assert server.seen == ["/jwks.json"]
    (event,) = process.events
    assert (event.kind, event.provider, event.keys, event.changed) == (FETCHED, "corp", 1, True)


@pytest.mark.parametrize("in_background", [True, False])
def test_requests_share_a_fetch(server, in_background):
    """A hundred requests that need the same keys are one request to the issuer."""
    process = Process(provider_at(server))

    async def scenario():
        async with process.running() if in_background else contextlib.nullcontext():
            need = NeedKeySet(process.provider, None)
            async with asyncio.TaskGroup() as group:
                for _ in range(100):
                    group.create_task(process.fetcher.fetch(need))
            assert (await process.authenticate(bearer(token()))).subject == "alice"

    asyncio.run(scenario())
    assert server.seen == ["/jwks.json"]


def test_a_request_that_gives_up_does_not_stop_the_fetch(server):
    """The next one profits from it."""
    process, go = Process(provider_at(server)), threading.Event()
    body = json.dumps(jwks(CORP)).encode()

    def slow(handler):
        go.wait(10)
        handler.reply(body=body)

    server.answers["/jwks.json"] = slow

    async def scenario():
        async with process.running():
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.05):
                    await process.fetcher.fetch(NeedKeySet(process.provider, None))
            go.set()
            assert (await process.authenticate(bearer(token()))).subject == "alice"

    asyncio.run(scenario())
    assert server.seen == ["/jwks.json"]


def test_a_fetch_that_is_cancelled_can_be_repeated(server):
    """Without the background, a deadline ends the fetch, and the next request starts another."""
    process, go = Process(provider_at(server)), threading.Event()
    server.answers["/jwks.json"] = lambda handler: go.wait(10)

    async def scenario():
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await process.fetcher.fetch(NeedKeySet(process.provider, None))
        go.set()
        publish(server, CORP)
        assert (await process.authenticate(bearer(token()))).subject == "alice"

    asyncio.run(scenario())


def test_the_background_fetches_ahead_and_again(server):
    """At start, and when the set is due; requests never wait."""
    process = Process(provider_at(server))

    async def scenario():
        async with process.running():
            await process.until(lambda: len(process.events) == 1)
            assert caller(process.authenticator, bearer(token()), process.now).subject == "alice"
            process.now += DEFAULT_FRESH_SECONDS * 0.89
            process.fetcher.reconfigure([process.provider])
            await asyncio.sleep(0.05)
            assert len(process.events) == 1
            process.now = NOW + DEFAULT_FRESH_SECONDS
            await process.until(lambda: len(process.events) == 2)

    asyncio.run(scenario())
    assert process.kinds == [FETCHED, FETCHED]
    assert [event.changed for event in process.events] == [True, False]


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("max-age=600", 600.0),
        ("max-age=5", MINIMUM_FRESH_SECONDS),
        ("no-store", MINIMUM_FRESH_SECONDS),
        ("max-age=999999999", MAXIMUM_FRESH_SECONDS),
        ("private", DEFAULT_FRESH_SECONDS),
    ],
)
def test_freshness_is_the_issuers_within_bounds(server, header, seconds):
    """And never exactly it, so that replicas do not fetch together."""
    publish(server, CORP, cache_control=header)
    process = Process(provider_at(server))
    asyncio.run(process.fetcher.fetch(NeedKeySet(process.provider, None)))
    state = process.key_sets.state_of(process.provider)
    assert seconds * 0.9 <= state.refresh_at - NOW <= seconds


def test_rotation_while_serving(server):
    """A token of the new key is accepted at once, one of a withdrawn key no longer."""
    process = Process(provider_at(server))

    async def scenario():
        old, new = bearer(token()), bearer(token(OTHER))
        await process.authenticate(old)
        publish(server, CORP, OTHER)
        process.now += 15
        assert (await process.authenticate(new)).subject == "alice"
        assert (await process.authenticate(old)).subject == "alice"
        publish(server, OTHER)
        async with process.running():
            process.now += 600
            await process.until(lambda: len(process.events) == 3)
            # This second is before the next fetch that an unknown key could bring about.
            with pytest.raises((KeyUnknownError, TokenExpiredError)):
                await process.authenticate(old)
            assert (await process.authenticate(bearer(token(OTHER, sub="bob", exp=NOW + 9999)))).subject == "bob"

    asyncio.run(scenario())


def test_rotation_of_an_issuer_that_names_no_keys(server):
    """Tokens without a key id are followed too."""
    process = Process(provider_at(server))

    async def scenario():
        await process.authenticate(bearer(token(header={"kid": ...})))
        publish(server, OTHER)
        process.now += 15
        assert (await process.authenticate(bearer(token(OTHER, header={"kid": ...})))).subject == "alice"

    asyncio.run(scenario())


def test_invented_key_ids_do_not_flood_the_issuer(server):
    """One fetch per interval, and none again for an id that was shown to be absent."""
    process = Process(provider_at(server))

    async def scenario():
        await process.authenticate(bearer(token()))
        for number in range(100):
            process.now = NOW + number * 0.5
            with pytest.raises(KeyUnknownError):
                await process.authenticate(bearer(token(header={"kid": f"invented-{number}"})))
        count = len(server.seen)
        assert 2 <= count <= 6
        process.now += 30
        with pytest.raises(KeyUnknownError):
            await process.authenticate(bearer(token(header={"kid": "again"})))
        process.now += 30
        with pytest.raises(KeyUnknownError):
            await process.authenticate(bearer(token(header={"kid": "again"})))
        assert len(server.seen) == count + 1

    asyncio.run(scenario())


def test_an_issuer_that_is_down_at_start(server):
    """Its tokens cannot be decided, with a pause between attempts; others are; and it is found when it comes up."""
    down = provider_at(server, "/down")
    up = provider_at(server, name="up", issuer="https://up.example")
    process = Process(down, up)

    async def scenario():
        async with process.running():
            await process.until(lambda: len(process.events) == 2)
            with pytest.raises(KeySetUnavailableError):
                await process.authenticate(bearer(token()))
            assert (await process.authenticate(bearer(token(iss="https://up.example")))).provider == "up"
            first, second = process.fetcher.status()
            assert (first.provider, first.phase, first.usable) == ("corp", Phase.COOLING, False)
            assert "status 404" in (first.last_failure or "")
            assert (first.fetched_at, second.usable, second.fetched_at) == (None, True, NOW)
            publish(server, CORP, path="/down")
            process.now += 1.0
            await process.until(lambda: process.fetcher.status()[0].usable)
            assert (await process.authenticate(bearer(token()))).subject == "alice"

    asyncio.run(scenario())
    assert sorted(process.kinds) == [FAILED, FETCHED, FETCHED]


def test_failures_back_off(server):
    """From a second to a minute, each pause with jitter."""
    server.answers["/jwks.json"] = lambda handler: handler.reply(500)
    process = Process(provider_at(server))
    state = process.key_sets.state_of(process.provider)

    async def scenario():
        pauses = []
        for _ in range(9):
            await process.fetcher.fetch(NeedKeySet(process.provider, None))
            pauses.append(state.next_fetch_at(process.now) - process.now)
            process.now = state.next_fetch_at(process.now)
        return pauses

    pauses = asyncio.run(scenario())
    for number, pause in enumerate(pauses):
        longest = min(2.0**number, 60.0)
        assert longest / 2 <= pause <= longest
    assert len(server.seen) == 9


def test_stale_keys_are_served_for_a_while(server):
    """When the issuer goes down its tokens stay good for a day past freshness, and it is said once."""
    process = Process(provider_at(server))

    async def scenario():
        await process.fetcher.fetch(NeedKeySet(process.provider, None))
        server.answers["/jwks.json"] = lambda handler: handler.reply(503)
        request = bearer(token(exp=NOW + 1e6))
        async with process.running():
            process.now += 400
            await process.until(lambda: process.kinds.count(FAILED) >= 1)
            process.now += 100
            await process.until(lambda: process.kinds.count(FAILED) >= 2)
            assert (await process.authenticate(request)).subject == "alice"
        process.now = NOW + DEFAULT_FRESH_SECONDS + STALE_LIMIT_SECONDS
        with pytest.raises(KeySetUnavailableError):
            await process.authenticate(request)

    asyncio.run(scenario())
    assert process.kinds.count(STALE) == 1


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"", "the answer is refused: not JSON"),
        (b"{}", "the key set is no JWK Set"),
        (b'{"keys": []}', "the key set has no key"),
        (b'{"keys": [{"kty": "oct", "k": "c2VjcmV0"}]}', "key 1 is a shared secret"),
    ],
)
def test_a_bad_set_does_not_replace_a_good_one(server, body, why):
    """Empty, broken, or full of what must not be believed."""
    process = Process(provider_at(server))

    async def scenario():
        await process.authenticate(bearer(token()))
        server.answers["/jwks.json"] = lambda handler: handler.reply(body=body)
        process.now += 15
        with pytest.raises(KeyUnknownError):
            await process.authenticate(bearer(token(OTHER)))
        assert (await process.authenticate(bearer(token()))).subject == "alice"

    asyncio.run(scenario())
    assert process.kinds == [FETCHED, FAILED]
    assert why in process.events[1].detail


def test_refused_keys_are_reported(server):
    """A set with a bad key is used, and the bad key is said."""
    server.answers["/jwks.json"] = lambda h: h.reply(
        body=json.dumps({"keys": [CORP.public_jwk, {"kty": "oct"}]}).encode()
    )
    process = Process(provider_at(server))
    asyncio.run(process.fetcher.fetch(NeedKeySet(process.provider, None)))
    (event,) = process.events
    assert (event.kind, event.keys) == (FETCHED, 1)
    assert event.detail.startswith("key 2 is a shared secret")


# --- discovery -----------------------------------------------------------------------------------------------------


def discovered(server, path="", **metadata):
    """A provider whose keys are found by its metadata, which `metadata` changes."""
    issuer = server.url(path)
    content = {"issuer": issuer, "jwks_uri": server.url("/jwks.json"), **metadata}
    return make_provider(issuer=issuer, keys=RemoteKeys(None)), lambda h: h.reply(body=json.dumps(content).encode())


@pytest.mark.parametrize(
    ("issuer_path", "metadata_path"),
    [
        ("", "/.well-known/openid-configuration"),
        ("/", "/.well-known/openid-configuration"),
        ("/realms/shop", "/realms/shop/.well-known/openid-configuration"),
        ("", "/.well-known/oauth-authorization-server"),
        ("/realms/shop", "/.well-known/oauth-authorization-server/realms/shop"),
    ],
)
def test_keys_are_discovered(server, issuer_path, metadata_path):
    """By OpenID Connect's metadata, else by OAuth's."""
    provider, answer = discovered(server, issuer_path)
    server.answers[metadata_path] = answer
    process = Process(provider)
    assert asyncio.run(process.authenticate(bearer(token(iss=provider.issuer)))).subject == "alice"


def test_where_metadata_is():
    """OpenID Connect Discovery 1.0 section 4.1 appends, RFC 8414 section 3.1 inserts."""
    assert metadata_urls("https://a.example/t/") == (
        "https://a.example/t/.well-known/openid-configuration",
        "https://a.example/.well-known/oauth-authorization-server/t",
    )


@pytest.mark.parametrize(
    ("metadata", "why"),
    [
        ({"issuer": "https://evil.example"}, "another issuer's"),
        ({"issuer": None}, "another issuer's"),
        ({"jwks_uri": None}, "names no jwks_uri"),
        ({"jwks_uri": 7}, "names no jwks_uri"),
        ({"jwks_uri": "http://evil.example/jwks"}, "must be https"),
        ({"jwks_uri": "https://169.254.169.254/jwks"}, "169.254.169.254 is a link-local"),
        ({"jwks_uri": "file:///etc/passwd"}, "names no host"),
        ({"jwks_uri": "jwks.json"}, "names no host"),
    ],
)
def test_metadata_is_not_believed_further_than_the_policy(server, metadata, why):
    """It must be this issuer's, and its URI obeys the rules of a written one."""
    provider, server.answers["/.well-known/openid-configuration"] = discovered(server, **metadata)
    process = Process(provider)
    asyncio.run(process.fetcher.fetch(NeedKeySet(provider, None)))
    (event,) = process.events
    assert event.kind is FAILED
    assert why in event.detail


def test_metadata_from_elsewhere_may_not_point_to_this_machine(server):
    """An issuer in the network must not make us ask a service on loopback."""
    provider = make_provider(issuer=server.url(host="issuer.svc"), keys=RemoteKeys(None, allow_http=True))
    metadata = {"issuer": provider.issuer, "jwks_uri": server.url("/jwks.json")}
    server.answers["/.well-known/openid-configuration"] = lambda h: h.reply(body=json.dumps(metadata).encode())

    async def resolve(host, port):
        return ["127.0.0.1"]

    process = Process(provider, resolver=resolve)
    asyncio.run(process.fetcher.fetch(NeedKeySet(provider, None)))
    assert "names a jwks_uri on loopback" in process.events[0].detail
    assert "/jwks.json" not in server.seen


def test_no_metadata_anywhere(server):
    """Both places are named in the failure."""
    provider, _ = discovered(server)
    process = Process(provider)
    asyncio.run(process.fetcher.fetch(NeedKeySet(provider, None)))
    assert "openid-configuration: status 404" in process.events[0].detail
    assert "oauth-authorization-server: status 404" in process.events[0].detail


# --- kept sets -----------------------------------------------------------------------------------------------------


def test_kept_keys_serve_while_the_issuer_is_down(server, tmp_path):
    """After a restart, at once; and they are replaced as soon as the issuer answers."""
    folder = tmp_path / "state"
    first = Process(provider_at(server), state_dir=folder)
    asyncio.run(first.fetcher.fetch(NeedKeySet(first.provider, None)))

    server.answers["/jwks.json"] = lambda handler: handler.reply(503)
    second = Process(provider_at(server), state_dir=folder)
    assert second.kinds == [KEPT]
    assert second.events[0].keys == 1
    assert caller(second.authenticator, bearer(token())).subject == "alice"

    async def scenario():
        second.now += 400
        async with second.running():
            await second.until(lambda: STALE in second.kinds)
            publish(server, OTHER)
            second.now += 60
            await second.until(lambda: FETCHED in second.kinds)
            assert (await second.authenticate(bearer(token(OTHER)))).subject == "alice"

    asyncio.run(scenario())


def test_kept_keys_of_another_uri_are_not_used(server, tmp_path):
    """Nor is a file that somebody changed: it is said, and the issuer is asked."""
    folder = tmp_path / "state"
    first = Process(provider_at(server), state_dir=folder)
    asyncio.run(first.fetcher.fetch(NeedKeySet(first.provider, None)))
    assert Process(provider_at(server, "/other.json"), state_dir=folder).events == []
    (path,) = folder.iterdir()
    path.chmod(0o666)
    third = Process(provider_at(server), state_dir=folder)
    assert third.kinds == [FAILED]
    assert "kept keys are not used" in third.events[0].detail
    assert asyncio.run(third.authenticate(bearer(token()))).subject == "alice"


def test_a_folder_that_cannot_be_written_is_reported(server, tmp_path):
    """The keys are served all the same."""
    folder = tmp_path / "state"
    process = Process(provider_at(server), state_dir=folder)
    folder.rmdir()
    assert asyncio.run(process.authenticate(bearer(token()))).subject == "alice"
    assert process.kinds == [FETCHED, FAILED]
    assert process.events[1].detail == "the key set cannot be kept: No such file or directory"


def test_an_open_folder_is_refused(server, tmp_path):
    """At start, before anything is fetched."""
    tmp_path.chmod(0o755)
    with pytest.raises(ConfigurationError):
        Process(provider_at(server), state_dir=tmp_path)


# --- reload --------------------------------------------------------------------------------------------------------


def test_a_reload_keeps_keys_and_fetches_new_ones(server):
    """A provider that stays is not fetched again; one that goes is no longer fetched."""
    publish(server, OTHER, path="/partner.json")
    corp = provider_at(server)
    partner = provider_at(server, "/partner.json", name="partner", issuer="https://partner.example")
    process = Process(corp)

    async def scenario():
        async with process.running():
            await process.until(lambda: len(process.events) == 1)
            process.fetcher.reconfigure([provider_at(server, audiences=None), partner])
            await process.until(lambda: len(process.events) == 2)
            assert server.seen == ["/jwks.json", "/partner.json"]
            process.fetcher.reconfigure([partner])
            process.now += 400
            await process.until(lambda: len(process.events) == 3)
        assert server.seen == ["/jwks.json", "/partner.json", "/partner.json"]
        assert [status.provider for status in process.fetcher.status()] == ["partner"]

    asyncio.run(scenario())


def test_a_need_of_the_set_before_is_still_met(server):
    """A request that began under the old policy set ends under it."""
    process = Process(provider_at(server))
    process.fetcher.reconfigure([])
    assert asyncio.run(process.authenticate(bearer(token()))).subject == "alice"


def test_providers_with_keys_of_their_own_need_no_fetch(server):
    """Nothing is fetched for them, and asking for it is no error."""
    process = Process(make_provider())
    assert process.fetcher.status() == []
    asyncio.run(process.fetcher.fetch(NeedKeySet(process.provider, "any")))
    assert (process.events, server.seen) == ([], [])


def test_a_bug_in_one_fetch_does_not_end_the_others(server):
    """Whatever a resolver or library raises is that provider's failure alone."""

    async def resolve(host, port):
        raise LookupError("a bug, with details that may be secret")

    process = Process(provider_at(server), resolver=resolve)

    async def scenario():
        async with process.running():
            await process.until(lambda: process.events)
            process.now += 10
            await process.until(lambda: len(process.events) == 2)

    asyncio.run(scenario())
    assert {event.detail for event in process.events} == {"unexpected LookupError"}
