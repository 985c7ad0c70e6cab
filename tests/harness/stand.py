"""All that a run needs, built when it is first asked for and taken down at the end: sites, services, Envoy."""

from __future__ import annotations

import datetime as dt
import shutil
import tempfile
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from functools import cached_property
from pathlib import Path
from typing import Self, TypeVar

from extauthz.demo.envoy import envoy_binary
from extauthz.demo.upstream import echo_upstream
from extauthz.errors import EnvironmentUnfitError, PolicyError
from extauthz.lowering.address import Address
from tests.harness.async_host import AsyncHost
from tests.harness.case import CaseSet
from tests.harness.certificates import CertificateAuthority
from tests.harness.engines import Engine, PdpEngine, ServedEngine, Services
from tests.harness.front import EnvoyEngine
from tests.harness.native import NativeEngine
from tests.harness.required import skip_unless_required
from tests.harness.site import Site
from tests.harness.wasm import WasmEngine

_Front = TypeVar("_Front", bound=EnvoyEngine)


def envoy_or_skip(stand: Stand) -> EnvoyEngine:
    """The stand's Envoy; without one the test is skipped, or fails where the run must have it."""
    return _or_skip(lambda: stand.envoy)


def native_or_skip(stand: Stand) -> NativeEngine:
    """The stand's Envoy that enforces the sets natively; without an Envoy as `envoy_or_skip`."""
    return _or_skip(lambda: stand.native)


def wasm_or_skip(stand: Stand) -> WasmEngine:
    """The stand's Envoy that runs the sets as modules; without an Envoy as `envoy_or_skip`."""
    return _or_skip(lambda: stand.wasm)


def _or_skip(start: Callable[[], _Front]) -> _Front:
    try:
        return start()
    except EnvironmentUnfitError as error:
        skip_unless_required("envoy", str(error))


class Stand:
    """The engines over one collection of sites."""

    def __init__(self, case_sets: Iterable[CaseSet]) -> None:
        self._exit = ExitStack()
        # Not pytest's tmp_path: the paths of Unix sockets must be short.
        self._directory = Path(tempfile.mkdtemp(prefix="stand-"))
        self._exit.callback(shutil.rmtree, self._directory)
        self._sites = {
            id(case_set): Site(f"site-{number}", case_set, self._directory / f"site-{number}")
            for number, case_set in enumerate(case_sets)
        }

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._exit.close()

    def site(self, case_set: CaseSet) -> Site:
        return self._sites[id(case_set)]

    def engine(self, name: str) -> Engine:
        """The engine of this name."""
        engine: Engine = getattr(self, name)
        return engine

    @cached_property
    def pdp(self) -> PdpEngine:
        return PdpEngine()

    @cached_property
    def h2corn(self) -> ServedEngine:
        engine = ServedEngine(self.services)
        self._exit.callback(engine.close)
        return engine

    @cached_property
    def grpcio(self) -> ServedEngine:
        engine = ServedEngine(Services(self._host, self._directory, "grpcio"))
        self._exit.callback(engine.close)
        return engine

    @cached_property
    def envoy(self) -> EnvoyEngine:
        """
        Raises:
            EnvironmentUnfitError: there is no Envoy, or it does not start.
        """  # noqa: D205, D212 - the class says what it is
        return self.front(EnvoyEngine, "envoy")

    @cached_property
    def native(self) -> NativeEngine:
        """
        Raises:
            EnvironmentUnfitError: there is no Envoy, or it does not start.
        """  # noqa: D205, D212 - the class says what it is
        return self.front(NativeEngine, "native")

    @cached_property
    def wasm(self) -> WasmEngine:
        """
        Raises:
            EnvironmentUnfitError: there is no Envoy, or it does not start.
        """  # noqa: D205, D212 - the class says what it is
        return self.front(WasmEngine, "wasm")

    def front(self, engine_type: type[_Front], name: str) -> _Front:
        """An Envoy before all sites, configured in the engine's way; its files are in a folder of this name.

        Raises:
            EnvironmentUnfitError: there is no Envoy, or it does not start.
        """
        envoy_binary()
        now = dt.datetime.now(dt.UTC)  # noqa: TID251 - tests have no app.py
        directory = self._directory / name
        directory.mkdir()
        authority = CertificateAuthority(directory, now)
        sites = [site for site in self._sites.values() if _loads(site)]
        engine = engine_type(sites, self.services.address, self._upstream, directory, authority)
        self._exit.callback(engine.close)
        return engine

    @cached_property
    def _upstream(self) -> Address:
        return self._host.enter(echo_upstream)

    @cached_property
    def _host(self) -> AsyncHost:
        return self._exit.enter_context(AsyncHost())

    @cached_property
    def services(self) -> Services:
        return Services(self._host, self._directory)


def _loads(site: Site) -> bool:
    """Whether the set loads: one that does not fails its own cases, not everyone's."""
    try:
        return bool(site.policy_set.routes)
    except PolicyError:
        return False
