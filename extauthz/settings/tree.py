"""What `extauthz serve` can be told, and what of it does not go together.

One tree, flat but for `engine`, whose names are the flags' names with `_` for `-`; validated once, then frozen.
Constructing `Settings` reads nothing but its arguments. A secret's value is in no message.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from ipaddress import ip_address
from typing import Annotated, Final, Literal, Self, TypeAlias, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    SecretStr,
    WithJsonSchema,
    model_validator,
)
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from extauthz.errors import ConfigurationError
from extauthz.languages.policy_yaml.nodes import plain_value
from extauthz.languages.policy_yaml.reader import read_document
from extauthz.languages.policy_yaml.report import Report
from extauthz.lowering.address import Address, TcpAddress, UnixAddress, parse_address
from extauthz.model.engine import OpaEngine

_Item = TypeVar("_Item")

ENVIRONMENT_PREFIX: Final = "EXTAUTHZ_"
MIN_KEY_BYTES: Final = 16
"""Of the key of pseudonyms: enough that subjects cannot be confirmed by trying keys."""


class Unavailable(StrEnum):
    """How Envoy is told that a request could not be decided."""

    DENY = "deny"
    """A denial with 503, which nothing turns into an allow."""
    ERROR = "error"
    """An error: the filter's `failure_mode_allow` and `status_on_error` decide, so a caller may provoke an allow."""


def _parse_address(value: object) -> object:
    if not isinstance(value, str):
        return value
    try:
        return parse_address(value)
    except ConfigurationError as error:
        raise ValueError(str(error)) from None


def _split_commas(value: object) -> object:
    """Lists are written with commas where there is only text: in the environment."""
    return [part.strip() for part in value.split(",")] if isinstance(value, str) else value


def _parse_map(value: object) -> object:
    """Maps are written as YAML where there is only text: on the command line and in the environment; `off`: none."""
    if not isinstance(value, str):
        return value
    if value == "off":
        return None
    report = Report()
    node = read_document("", value.encode(), report) if value.strip() else None
    if report.has_errors:
        raise ValueError("; ".join(found.message for found in report.diagnostics([] if node is None else [node])))
    found = None if node is None else plain_value(node)
    if not isinstance(found, dict):
        raise ValueError("it is a map, as in {opa: {url: http://127.0.0.1:8181, path: shop/allow}}")  # noqa: TRY004 - pydantic's protocol
    return found


def _refuse_none(value: tuple[_Item, ...]) -> tuple[_Item, ...]:
    # Not a length constraint of pydantic's: that one also complains when items are wrong.
    if not value:
        raise ValueError("at least one is needed")
    return value


AddressSetting: TypeAlias = Annotated[
    Address,
    BeforeValidator(_parse_address),
    PlainSerializer(str),
    WithJsonSchema({"type": "string", "pattern": r"^(unix:/.+|.+:[0-9]+)$"}),
]
FileName: TypeAlias = Annotated[str, Field(min_length=1)]


class OpaSettings(BaseModel):
    """A remote OPA that must allow, too, what the policy set allows."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    url: str = Field(description="Its root, as in https://opa.example:8181; plain http to loopback, or by allow_http.")
    path: str = Field(description="Of the decision below `data`, as in shop/allow: a boolean.")
    timeout_ms: int = Field(default=100, ge=1, le=10_000, description="Its time; what is left of deadline_ms, if less.")
    connections: int = Field(default=64, ge=1, le=10_000, description="At most so many at once, per process.")
    allow_http: bool = Field(default=False, description="Whether plain http may leave this machine.")
    token_file: FileName | None = Field(default=None, description="Holds a bearer token; read again when it is old.")
    ca_file: FileName | None = Field(default=None, description="The only authorities (PEM) to believe.")
    client_cert: FileName | None = Field(
        default=None, description="Our certificate chain (PEM), where it asks for one."
    )
    client_key: FileName | None = Field(default=None, description="The key of client_cert (PEM, without passphrase).")


class EngineSettings(BaseModel):
    """A remote engine."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    opa: OpaSettings


class Settings(BaseSettings):
    """Everything that `extauthz serve` can be told."""

    model_config = SettingsConfigDict(
        env_prefix=ENVIRONMENT_PREFIX,
        extra="forbid",
        frozen=True,
        enable_decoding=False,  # a list in the environment is written with commas, not as JSON
        hide_input_in_errors=True,
        arbitrary_types_allowed=True,
    )

    paths: Annotated[tuple[FileName, ...], BeforeValidator(_split_commas)] = Field(
        description="Policy files and folders; together one policy set. With opa_config: Rego, data and bundles."
    )
    engine: Annotated[EngineSettings | None, BeforeValidator(_parse_map)] = Field(
        default=None,
        description="A remote engine that must allow, too, what the policy set allows: {opa: {url: URL, path: NAMES}}, "
        "or `off`.",
    )
    opa_config: FileName | None = Field(
        default=None,
        description="OPA's configuration file: serve as a drop-in for opa-envoy-plugin, by the Rego in paths and by "
        "the bundles that it names, at the address that it names.",
    )
    policy: Annotated[tuple[FileName, ...], BeforeValidator(_split_commas)] = Field(
        default=(),
        description="With opa_config: a policy set that vouches for callers; its providers verify tokens, and Rego "
        "finds input.principal, input.claims and input.path.",
    )
    strict: bool = Field(
        default=False,
        description="With opa_config: what Rego does not decide is denied whatever the proxy's failure_mode_allow "
        "says, and errors of built-ins count.",
    )
    values: FileName | None = Field(default=None, description="YAML map of what ${NAME} stands for in the policy.")
    listen: Annotated[tuple[AddressSetting, ...], BeforeValidator(_split_commas), AfterValidator(_refuse_none)] = Field(
        default=(TcpAddress("127.0.0.1", 9000),),
        description="Where Envoy's calls arrive: host:port or unix:/path.",
    )
    transport: Literal["h2corn", "grpcio"] = Field(
        default="h2corn",
        description="The library that speaks gRPC: h2corn for speed, grpcio where h2corn does not run, and for "
        "reflection; one process only, and wildcard addresses mean both IP versions.",
    )
    tls_cert: FileName | None = Field(
        default=None,
        description="Certificate chain (PEM) with which TCP addresses speak TLS; Unix sockets stay in clear text. "
        "It is read again when it changes.",
    )
    tls_key: FileName | None = Field(default=None, description="The key of tls_cert (PEM, without a passphrase).")
    client_ca: FileName | None = Field(
        default=None,
        description="Authorities (PEM) of callers; with it, callers at TCP addresses need a certificate of theirs.",
    )
    admin: AddressSetting = Field(
        default=TcpAddress("127.0.0.1", 9180),
        description="The private listener: probes, metrics, and, if it is private indeed, /v1/policy and /v1/decide.",
    )
    admin_api: bool = Field(
        default=True,
        description="Whether the private listener serves /v1/*; off loopback it must be false, or need a certificate.",
    )
    admin_tls_cert: FileName | None = Field(
        default=None, description="Certificate chain (PEM) of the private listener; read again when it changes."
    )
    admin_tls_key: FileName | None = Field(default=None, description="The key of admin_tls_cert (PEM).")
    admin_client_ca: FileName | None = Field(
        default=None,
        description="Authorities (PEM) of those who may use /v1/*; probes and metrics need no certificate.",
    )
    workers: int = Field(
        default=1,
        ge=1,
        le=256,
        description="Processes that answer calls; with more than one, another supervises them. They take connections "
        "as they come: more workers than the proxies have connections are idle.",
    )
    state: FileName | None = Field(
        default=None, description="Folder, 0700, that keeps the last good key sets over restarts."
    )
    decision_log: FileName = Field(
        default="off",
        description="A file, `stdout`, `otlp` or `off`. `otlp`: log records, by OTLP over HTTP as OTEL_* say; needs "
        "the extra `otel`.",
    )
    decision_log_max_bytes: int | None = Field(
        default=None,
        ge=2 * 1024 * 1024,
        description="The decision log is put aside when it would grow beyond this; null leaves that to others.",
    )
    decision_log_keep: int = Field(
        default=5, ge=1, le=1000, description="How many logs put aside at that size are kept, as FILE.1, FILE.2."
    )
    decision_log_sample_allow: float = Field(
        default=1.0, ge=0, le=1, description="The part of the allows that is logged; each line names it."
    )
    decision_log_sample_deny: float = Field(
        default=1.0, ge=0, le=1, description="The same for denials; could-not-decide is a denial."
    )
    decision_log_subject: Literal["plain", "hmac", "off"] = Field(
        default="off", description="How the decision log names callers."
    )
    decision_log_key: SecretStr | None = Field(
        default=None, description="Key of the pseudonyms in the decision log; needed for `hmac`."
    )
    record: FileName | None = Field(
        default=None,
        description="A file, 0600, that takes whole requests with their decisions, for `extauthz replay`: verified "
        "claims in place of tokens, other secrets replaced.",
    )
    traces: Literal["off", "otlp"] = Field(
        default="off",
        description="`otlp`: a span for every decision, by OTLP over HTTP as OTEL_* say; needs the extra `otel`.",
    )
    log_format: Literal["auto", "json", "console"] = Field(
        default="auto", description="How the service's own log looks; `auto` is `console` on a terminal, else `json`."
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="The least severe events that are logged."
    )
    unavailable: Unavailable = Field(
        default=Unavailable.DENY, description="How Envoy is told that a request could not be decided."
    )
    deadline_ms: int = Field(
        default=150, ge=1, le=10_000, description="A decision's time; three quarters of the caller's, if that is less."
    )
    max_waiting: int = Field(default=2048, ge=1, le=1_000_000, description="Requests that may wait; more are refused.")
    drain_delay_seconds: float = Field(
        default=0.0, ge=0, le=600, description="After SIGTERM: how long to report not ready and still serve."
    )
    drain_timeout_seconds: float = Field(
        default=10.0, gt=0, le=600, description="How long requests in flight may take to finish at the end."
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003 - pydantic-settings' signature
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Only the arguments: `load_settings` has merged the other sources already."""
        return (init_settings,)

    @model_validator(mode="after")
    def _fit_together(self) -> Self:
        misfits = [
            *self._plugin_misfits(),
            *self._listener_misfits(),
            *self._admin_misfits(),
            *self._decision_log_misfits(),
        ]
        if misfits:
            raise ValueError("\n".join(misfits))
        return self

    def _plugin_misfits(self) -> Iterator[str]:
        if self.opa_config is None:
            if not self.paths:
                yield "PATH: at least one is needed"
            if self.policy or self.strict:
                yield "policy and strict are for a drop-in: give opa_config, too, or leave them out"
            return
        others = {
            "engine": self.engine is not None,
            "record": self.record is not None,
            "traces": self.traces != "off",
            "decision_log: otlp": self.decision_log == "otlp",
        }
        for name in (name for name, is_given in others.items() if is_given):
            yield f"{name} cannot be used with opa_config: leave one of them out"

    def _listener_misfits(self) -> Iterator[str]:
        yield from self._pair_misfits("")
        if self.tls_cert is not None and not any(isinstance(each, TcpAddress) for each in self.listen):
            yield "tls_cert: no address in listen is host:port, and Unix sockets stay in clear text"
        if self.transport == "grpcio" and self.workers > 1:
            yield "workers: grpcio cannot share its addresses: use transport h2corn, or one worker"

    def _admin_misfits(self) -> Iterator[str]:
        yield from self._pair_misfits("admin_")
        if self.admin_tls_cert is not None and isinstance(self.admin, UnixAddress):
            yield f"admin_tls_cert: {self.admin} stays in clear text, its mode guards it: leave this out"
        if self.serves_api and not is_private(self.admin) and self.admin_client_ca is None:
            yield (
                f"admin: {self.admin} is reachable from other machines, and /v1/policy and /v1/decide would be too: "
                "use a loopback address or unix:/path, ask their callers for a certificate by admin_client_ca, or set "
                f"admin_api: false ({ENVIRONMENT_PREFIX}ADMIN_API=false) to serve only probes and metrics there"
            )

    def _pair_misfits(self, prefix: Literal["", "admin_"]) -> Iterator[str]:
        certificate, key, client_ca = (getattr(self, prefix + name) for name in ("tls_cert", "tls_key", "client_ca"))
        if (certificate is None) != (key is None):
            yield f"{prefix}tls_cert and {prefix}tls_key go together: give both, or neither"
        if client_ca is not None and certificate is None:
            yield (
                f"{prefix}client_ca needs {prefix}tls_cert and {prefix}tls_key: callers prove themselves over TLS only"
            )

    def _decision_log_misfits(self) -> Iterator[str]:
        if self.decision_log_max_bytes is not None and self.decision_log in {"off", "otlp", "stdout"}:
            yield (
                f"decision_log_max_bytes: {self.decision_log} is no file to be put aside: name one in decision_log, or "
                "leave this out"
            )
        if self.decision_log_subject == "hmac" and len(self.decision_log_secret) < MIN_KEY_BYTES:
            yield (
                f"decision_log_subject: hmac needs decision_log_key ({ENVIRONMENT_PREFIX}DECISION_LOG_KEY), "
                f"at least {MIN_KEY_BYTES} bytes"
            )

    @property
    def serves_api(self) -> bool:
        """Whether the private listener serves /v1/*: a drop-in has no such."""
        return self.admin_api and self.opa_config is None

    @property
    def opa_engine(self) -> OpaEngine | None:
        """The remote OPA, if one is asked."""
        if self.engine is None:
            return None
        given = self.engine.opa.model_dump(exclude={"timeout_ms"})
        return OpaEngine(timeout_seconds=self.engine.opa.timeout_ms / 1000, **given)

    @property
    def decision_log_secret(self) -> bytes:
        """The key of the pseudonyms; empty when there is none."""
        return self.decision_log_key.get_secret_value().encode() if self.decision_log_key else b""


def is_private(address: Address) -> bool:
    """Whether only this machine reaches it: a loopback address, `localhost`, or a Unix socket."""
    if isinstance(address, UnixAddress):
        return True
    return address.host == "localhost" or (address.is_literal and ip_address(address.host).is_loopback)
