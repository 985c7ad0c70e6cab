"""The command as a cluster would run it: a process, asked over TLS."""

from __future__ import annotations

import datetime as dt
import http.client
import json
import signal
import socket
import ssl
import subprocess
import sys
import time
from contextlib import closing, contextmanager

import pytest
from cryptography import x509

from tests.harness.certificates import CertificateAuthority

POD = {"spec": {"containers": [{"name": "app", "image": "x:1"}]}}


@pytest.fixture
def authority(tmp_path):
    return CertificateAuthority(tmp_path, dt.datetime.now(dt.UTC))  # noqa: TID251 - a test's own clock


def install(authority, tmp_path):
    """A new certificate for localhost, in the two files that the webhook reads."""
    content = authority.issue(x509.DNSName("localhost")).read_bytes()
    start = content.index(b"-----BEGIN PRIVATE KEY-----")
    (tmp_path / "tls.crt").write_bytes(content[:start])
    (tmp_path / "tls.key").write_bytes(content[start:])
    return x509.load_pem_x509_certificate(content).serial_number


@contextmanager
def webhook(tmp_path):
    """The process and its port."""
    command = [sys.executable, "-m", "extauthz", "mesh", "webhook", "--listen", "127.0.0.1:0"]
    command += ["--tls-cert", str(tmp_path / "tls.crt"), "--tls-key", str(tmp_path / "tls.key")]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr is not None
            line = process.stderr.readline()
            assert line.startswith("extauthz mesh webhook at https://127.0.0.1:"), line
            yield process, int(line.rpartition(":")[2])
        finally:
            if process.poll() is None:
                process.kill()


def ask(authority, port, path, body=None):
    """Status and body of the reply."""
    context = ssl.create_default_context(cafile=str(authority.certificate))
    connection = http.client.HTTPSConnection("localhost", port, context=context, timeout=20)
    with closing(connection):
        connection.request("POST" if body else "GET", path, body, {"content-type": "application/json"} if body else {})
        reply = connection.getresponse()
        return reply.status, reply.read()


def serial(authority, port):
    """Of the certificate that is served."""
    context = ssl.create_default_context(cafile=str(authority.certificate))
    with (
        socket.create_connection(("127.0.0.1", port), 20) as plain,
        context.wrap_socket(plain, server_hostname="localhost") as tls,
    ):
        content = tls.getpeercert(binary_form=True)
        assert content is not None
        return x509.load_der_x509_certificate(content).serial_number


def test_it_answers_over_tls_and_serves_a_new_certificate(authority, tmp_path):
    """What is asked for is answered before and after; the end is clean."""
    first = install(authority, tmp_path)
    with webhook(tmp_path) as (process, port):
        assert serial(authority, port) == first
        assert ask(authority, port, "/healthz") == (200, b"ok\n")
        request = {"uid": "u", "kind": {"kind": "Pod"}, "operation": "CREATE", "namespace": "shop", "object": POD}
        review = {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request}
        status, body = ask(authority, port, "/inject", json.dumps(review))
        assert status == 200
        assert json.loads(body)["response"]["patchType"] == "JSONPatch"
        second = install(authority, tmp_path)
        deadline = time.monotonic() + 30
        while serial(authority, port) != second:
            assert time.monotonic() < deadline, "the new certificate was never served"
            time.sleep(0.1)
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
        assert "Traceback" not in process.stderr.read()


@pytest.mark.parametrize("content", [b"", b"not a certificate"])
def test_a_certificate_that_cannot_be_served_is_one_line(authority, tmp_path, content):
    """Nothing listens then."""
    install(authority, tmp_path)
    (tmp_path / "tls.crt").write_bytes(content)
    command = [sys.executable, "-m", "extauthz", "mesh", "webhook", "--listen", "127.0.0.1:0"]
    command += ["--tls-cert", str(tmp_path / "tls.crt"), "--tls-key", str(tmp_path / "tls.key")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 3
    assert done.stderr.startswith("extauthz: ")
    assert done.stderr.count("\n") == 1
