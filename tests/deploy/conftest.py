import asyncio
import datetime as dt
import tempfile
from pathlib import Path

import grpc
import httpx
import pytest
from cryptography import x509
from prometheus_client.parser import text_string_to_metric_families

from extauthz.app import Service
from extauthz.demo.envoy import envoy_binary
from extauthz.demo.issuer import DevelopmentIssuer
from extauthz.errors import EnvironmentUnfitError
from extauthz.lowering.address import TcpAddress, UnixAddress
from extauthz.server.check_method import CHECK_PATH
from extauthz.settings import Settings
from tests.harness.asgi_call import check_message
from tests.harness.certificates import CertificateAuthority
from tests.harness.required import skip_unless_required

DEPLOY = Path(__file__).parents[2] / "deploy"

POLICY = """\
version: 1
name: guarded
providers:
  corp:
    issuer: {issuer}
    audiences: [shop]
    algorithms: [ES256]
    jwks: {{uri: "{issuer}/jwks.json"}}
routes:
  - {{name: guarded, path: /guarded, allow: [{{authenticated: true}}]}}
"""


@pytest.fixture(scope="session")
def deploy():
    return DEPLOY


@pytest.fixture(scope="session")
def exposition():
    """What a service with a policy, a key set, workers, a certificate and a decision says at /metrics."""
    with tempfile.TemporaryDirectory(prefix="scraped-") as folder:  # not pytest's: the paths of Unix sockets are short
        return _scrape(Path(folder))


def _scrape(folder):
    certificate = CertificateAuthority(folder, dt.datetime.now(dt.UTC)).issue(x509.DNSName("localhost"))  # noqa: TID251
    any_port = TcpAddress("127.0.0.1", 0)

    async def scrape():
        settings = Settings(
            paths=(str(folder / "policy.yaml"),),
            listen=(any_port, UnixAddress(str(folder / "authz.sock"))),  # the second in clear text
            admin=any_port,
            decision_log=str(folder / "decisions.log"),
            workers=2,
            tls_cert=str(certificate),
            tls_key=str(certificate),
            log_level="error",
        )
        async with Service(settings) as service, httpx.AsyncClient(trust_env=False) as client:
            async with asyncio.timeout(20):
                while True:
                    await _decide_something(service)
                    text = (await client.get(f"http://{service.admin_address}/metrics")).text
                    if "extauthz_key_set_age_seconds{" in text:
                        return text

    with DevelopmentIssuer() as issuer:
        (folder / "policy.yaml").write_text(POLICY.format(issuer=issuer.url))
        return asyncio.run(scrape())


async def _decide_something(service):
    async with grpc.aio.insecure_channel(str(service.addresses[1])) as channel:
        await channel.unary_unary(CHECK_PATH)(check_message("/guarded"), timeout=10)


@pytest.fixture(scope="session")
def exposed(exposition):
    """The label names of every sample, by its name."""
    labels: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(exposition):
        for sample in family.samples:
            labels.setdefault(sample.name, set()).update(sample.labels)
    return labels


@pytest.fixture(scope="session")
def envoy():
    """The embedded Envoy's executable; without one the test is skipped, or fails where the run must have it."""
    try:
        return envoy_binary()
    except EnvironmentUnfitError as error:
        skip_unless_required("envoy", str(error))
