import asyncio

import pytest

from extauthz.sources import opa_bundles
from extauthz.sources.opa_bundles import BundleError, BundleFetcher, fetch_bundle
from extauthz.sources.opa_config import OpaBundle, OpaService
from tests.harness.scripted_http import ScriptedServer, replies


def bundle_of(server, **service):
    made = OpaService("s", f"http://127.0.0.1:{server.port}/v1", **service)
    return OpaBundle("authz", made, "b.tar.gz", min_delay_seconds=0.01, max_delay_seconds=0.02)


def fetch(answer, etag=None, **service):
    async def scenario():
        async with ScriptedServer(replies(*answer)).serving() as server:
            return await fetch_bundle(bundle_of(server, **service), etag), server.asked

    return asyncio.run(scenario())


def test_one_bundle(tmp_path):
    """Its content and ETag; the credentials and headers of the service go with the request, and the last ETag."""
    (tmp_path / "token").write_text("secret\n")
    found, requests = fetch(
        (200, b"bytes", b'etag: "2"'),
        etag='"1"',
        headers={"X-Tenant": "a"},
        token_path=str(tmp_path / "token"),
        scheme="Token",
    )
    assert found == (b"bytes", '"2"')
    (request,) = requests
    assert request.target == "/v1/b.tar.gz"
    sent = [request.header(name) for name in ("authorization", "x-tenant", "if-none-match")]
    assert sent == ["Token secret", "a", '"1"']


def test_the_same_bundle():
    """Nothing new."""
    assert fetch((304, b""), etag='"1"')[0] is None


@pytest.mark.parametrize(
    ("answer", "service", "message"),
    [
        ((404, b""), {}, "status 404"),
        ((302, b"", b"location: http://127.0.0.1:1/"), {}, "status 302"),
        ((200, b"x" * 2000), {}, "more than"),
        ((200, b""), {"token_path": "/nowhere/token"}, "No such file"),
        ((200, b""), {"ca_file": "/nowhere/ca"}, "No such file"),
        ((200, b""), {"token": "secret\nx"}, "the header authorization holds"),
    ],
)
def test_bundles_that_cannot_be_had(monkeypatch, answer, service, message):
    """Each says why, and no secret."""
    monkeypatch.setattr(opa_bundles, "MAX_BUNDLE_BYTES", 1000)
    with pytest.raises(BundleError, match=message) as failed:
        fetch(answer, **service)
    assert "secret" not in str(failed.value)


def test_nobody_listens():
    """The server's name, and what was wrong."""
    service = OpaService("s", "http://127.0.0.1:1")
    with pytest.raises(BundleError, match=r"GET http://127\.0\.0\.1:1/b: "):
        asyncio.run(fetch_bundle(OpaBundle("b", service, "b"), None))


def test_following(monkeypatch):
    """What is new is told once; failures are told, and what came before is not asked for again."""
    monkeypatch.setattr(opa_bundles, "FIRST_RETRY_SECONDS", 0.01)
    answers = [replies(200, b"one", b'etag: "1"'), replies(304, b""), replies(500, b""), replies(200, b"two")]

    async def scenario():
        told: list[tuple[str, bytes | str]] = []
        done = asyncio.Event()

        async def answer(asked, writer):
            await (answers.pop(0) if answers else replies(304, b""))(asked, writer)

        def on_bundle(name, content):
            told.append((name, content))
            if content == b"two":
                done.set()

        async with ScriptedServer(answer).serving() as server:
            fetcher = BundleFetcher(
                [bundle_of(server)], on_bundle=on_bundle, on_failed=lambda name, error: told.append((name, str(error)))
            )
            async with asyncio.timeout(20), asyncio.TaskGroup() as tasks:
                following = tasks.create_task(fetcher.run())
                await done.wait()
                following.cancel()
            return told, [asked.header("if-none-match") for asked in server.asked[:4]]

    told, etags = asyncio.run(scenario())
    assert [told[0], told[2]] == [("authz", b"one"), ("authz", b"two")]
    assert "status 500" in str(told[1][1])
    assert etags == [None, '"1"', '"1"', '"1"']
