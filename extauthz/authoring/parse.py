"""Test text -> `Suite`, with the diagnostics of policy files: everything wrong is reported at once, each at its place.

Names are resolved against the set under test, so that a test cannot pass by naming a rule, route or header that is not
there.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from extauthz.authoring.caller import CallerReader, object_of
from extauthz.authoring.expectation import ExpectationReader
from extauthz.authoring.language import (
    SUITE,
    CaseText,
    RequestText,
    SuiteText,
    TableText,
)
from extauthz.authoring.suite import (
    ANONYMOUS_NAME,
    Caller,
    Case,
    MintedToken,
    Suite,
    WrittenRequest,
)
from extauthz.errors import PolicyError, RequestMalformedError
from extauthz.languages.policy_yaml.codes import Code
from extauthz.languages.policy_yaml.files import Files
from extauthz.languages.policy_yaml.nodes import AnyNode, Scalar
from extauthz.languages.policy_yaml.reader import read_document
from extauthz.languages.policy_yaml.report import Report, listed, quoted
from extauthz.languages.policy_yaml.shapes import Reading, texts
from extauthz.model.access import AccessRequest
from extauthz.model.decision import Reason
from extauthz.model.policy import Condition, PolicySet, When


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What test files are read against, and by."""

    policy_set: PolicySet
    statuses: Mapping[Reason, int]
    """The HTTP status of each reason."""
    read_file: Callable[[str], bytes]
    """Reads a file that a test names; raises OSError."""
    read_capture: Callable[[bytes], AccessRequest]
    """Reads a captured CheckRequest; raises RequestMalformedError."""
    now: float
    """When tests take place that do not say so, epoch seconds."""


def parse_suite(path: str, content: bytes, surroundings: Surroundings) -> Suite:
    """Parses one test file.

    Args:
        path: as the user gave it: it stands in messages, and captures are relative to its folder.
        content: the file's bytes.
        surroundings: the set under test and what the file is read by.

    Raises:
        PolicyError: the file is broken; it carries every error of it.
    """
    report = Report()
    root = read_document(path, content, report)
    written = SUITE.read(root, Reading(report, {})) if root is not None else None
    cases: tuple[Case, ...] = ()
    if written is not None:
        default_provider = written.defaults.provider if written.defaults is not None else None
        callers = CallerReader(surroundings.policy_set, default_provider, report)
        cases = _SuiteReader(written, surroundings, report, callers).read()
    if report.has_errors:
        raise PolicyError(report.diagnostics([root] if root is not None else []))
    return Suite(path, cases)


@dataclass(slots=True)
class _SuiteReader:
    """Resolves one test file."""

    written: SuiteText
    around: Surroundings
    report: Report
    callers: CallerReader
    requests: dict[str, AccessRequest | None] = field(default_factory=dict)

    def read(self) -> tuple[Case, ...]:
        written = self.written
        if not written.wrote("tests") and not written.wrote("tables"):
            message = "the file has no tests, so it would always pass"
            self.report.error(Code.MISSING_KEY, written.owner, message, "write `tests`, or `tables`")
        now = self._now(written.now)
        self._require_now()
        for entry in written.principals or ():
            self.callers.declare(entry)
        for request_entry in written.requests or ():
            self.requests[request_entry.name] = self._request(request_entry.value) if request_entry.value else None
        expectations = ExpectationReader(self.around.policy_set, self.around.statuses, self.report)
        cases = [self._case(case, now, expectations) for case in written.tests or ()]
        for table in written.tables or ():
            cases += self._table(table, now, expectations)
        known = [case for case in cases if case is not None]
        self._refuse_same_names(known)
        return tuple(known)

    # --- When ---

    def _now(self, written: Scalar | None, otherwise: float | None = None) -> float:
        if written is not None:
            try:
                moment = datetime.fromisoformat(written.text)
                if moment.tzinfo is not None and moment.timestamp() >= 0:
                    return moment.timestamp()
            except (ValueError, OverflowError):
                pass  # said below, together with a time without an offset
            message = f"{quoted(written.text)} is not a time with its offset"
            self.report.error(Code.MALFORMED, written, message, "write it as 2026-03-02T10:00:00Z")
        return self.around.now if otherwise is None else otherwise

    def _require_now(self) -> None:
        if self.written.wrote("now"):
            return
        reader = next((c for c in _conditions(self.around.policy_set) if ("request.time",) in c.reads), None)
        if reader is not None:
            message = f"the key 'now' is missing: the policy reads the time (at {reader.span})"
            hint = "write `now: 2026-03-02T10:00:00Z`, so that the tests come out the same every day"
            self.report.error(Code.MISSING_KEY, self.written.owner, message, hint)

    # --- What ---

    def _request_named(self, name: Scalar) -> AccessRequest | None:
        if name.text not in self.requests:
            self.report.unknown(Code.UNKNOWN_IN_TEST, name, "request", self.requests)
            return None
        return self.requests[name.text]

    def _request(self, written: RequestText) -> AccessRequest | None:
        targets = [key for key in ("capture", "path", "grpc") if written.wrote(key)]
        if len(targets) != 1:
            place = written.place(targets[1]) if targets else written.owner
            self.report.error(Code.EXCLUSIVE_KEYS, place, "a request has one of `path`, `grpc` and `capture`")
            return None
        if written.wrote("capture"):
            return self._captured(written)
        for first, second in (("body", "json"), ("grpc", "method")):
            if written.wrote(first) and written.wrote(second):
                message = f"{quoted(first)} and {quoted(second)} exclude each other"
                self.report.error(Code.EXCLUSIVE_KEYS, written.place(second), message)
                return None
        headers = self._headers(written)
        host = self._host(written)
        target = f"/{written.grpc.text}" if written.grpc is not None else written.path.text if written.path else None
        if target is None or host is None:
            return None
        body = None
        if written.body is not None:
            body = written.body.text.encode()
        elif written.json is not None:
            body = json.dumps(object_of(written.json)).encode()
        defaults = self.written.defaults
        source = written.source or (defaults.source if defaults is not None else None)
        method = written.method.text if written.method is not None else "GET"
        return WrittenRequest(
            method="POST" if written.grpc is not None else method,
            target=target,
            host=host,
            headers=headers,
            scheme=written.scheme.text if written.scheme is not None else "http",
            protocol="HTTP/2" if written.grpc is not None else "HTTP/1.1",
            source_address=source.text if source is not None else "",
            peer_identity=written.workload.text if written.workload is not None else "",
            context_extensions={e.name: e.value.text for e in written.context_extensions or () if e.value is not None},
            body=body,
        )

    def _headers(self, written: RequestText) -> tuple[tuple[str, str], ...]:
        headers: list[tuple[str, str]] = []
        for entry in written.headers or ():
            if entry.name.lower() == "host":
                self.report.error(Code.EXCLUSIVE_KEYS, entry.key, "the host is no header here", "write `host` beside")
            headers += [(entry.name.lower(), value) for value in texts(entry.value)]
        names = {name for name, _ in headers}
        if written.json is not None and "content-type" not in names:
            headers.append(("content-type", "application/json"))
        if written.grpc is not None and "content-type" not in names:
            headers.append(("content-type", "application/grpc"))
        return tuple(headers)

    def _host(self, written: RequestText) -> str | None:
        defaults = self.written.defaults
        host = written.host or (defaults.host if defaults is not None else None)
        if host is not None:
            return host.text
        hosts = {route.host for route in self.around.policy_set.routes if route.host is not None}
        if not hosts:
            return "localhost"
        only = next(iter(hosts))
        if len(hosts) == 1 and not only.suffix:
            return only.host
        message = f"which host? The set has {listed(sorted(map(str, hosts)), 'and')}"
        self.report.error(Code.MISSING_KEY, written.owner, message, "write `host`, here or under `defaults`")
        return None

    def _captured(self, written: RequestText) -> AccessRequest | None:
        if len(written.node.entries) > 1:
            other = next(name for name in written.node.entries if name != "capture")
            message = "a captured request says it all"
            self.report.error(Code.EXCLUSIVE_KEYS, written.place(other), message, "remove the other keys")
            return None
        if written.capture is None:
            return None
        content = Files(self.around.read_file, self.report).read(written.capture)
        if content is None:
            return None
        try:
            return self.around.read_capture(content)
        except RequestMalformedError as error:
            self.report.error(Code.CAPTURE, written.capture, str(error))
            return None

    # --- Tests ---

    def _case(self, written: CaseText, now: float, expectations: ExpectationReader) -> Case | None:
        caller, is_known = self._written_caller(written)
        request = None
        if isinstance(written.request, Scalar):
            request = self._request_named(written.request)
        elif written.request is not None:
            request = self._request(written.request)
        expect = expectations.read(written.expect) if written.expect is not None else None
        if written.name is None or request is None or expect is None or not is_known:
            return None
        principal = written.principal
        who = principal.text if isinstance(principal, Scalar) else ANONYMOUS_NAME if principal is None else "(inline)"
        moment = self._now(written.now, now)
        return self._checked(
            Case(written.name.text, written.node.span, who, caller, _sent(request, moment), expect, moment),
            written.owner,
        )

    def _written_caller(self, written: CaseText) -> tuple[Caller, bool]:
        principal = written.principal
        if principal is None:
            return None, not written.wrote("principal")
        if isinstance(principal, Scalar):
            return self.callers.named(principal)
        caller = self.callers.read(principal)
        return caller, caller is not None

    def _table(self, written: TableText, now: float, expectations: ExpectationReader) -> Sequence[Case | None]:
        rows = [(row.key, row.value) for row in written.expect or () if row.value is not None]
        columns = dict.fromkeys(cell.name for _, row in rows for cell in row)
        moment = self._now(written.now, now)
        cases: list[Case | None] = []
        for who, row in rows:
            caller, is_known = self.callers.named(who)
            missing = [name for name in columns if name not in {cell.name for cell in row}]
            if missing:
                message = f"the row of {quoted(who.text)} says nothing about {listed(missing, 'and')}"
                self.report.error(Code.MISSING_KEY, who, message, "every row has every column")
            for cell in row:
                request = self._request_named(cell.key)
                expect = expectations.read(cell.value) if cell.value is not None else None
                if request is None or expect is None or written.name is None or not is_known:
                    continue
                name = f"{written.name.text}: {who.text}, {cell.name}"
                case = Case(name, cell.key.span, who.text, caller, _sent(request, moment), expect, moment)
                cases.append(self._checked(case, cell.key))
        return cases

    def _checked(self, case: Case, place: AnyNode) -> Case:
        if isinstance(case.caller, MintedToken) and not isinstance(case.request, WrittenRequest):
            message = "a captured request has its own credentials, so no token is minted for it"
            self.report.error(Code.EXCLUSIVE_KEYS, place, message, "say who it is by `claims` or `subject`")
        return case

    def _refuse_same_names(self, cases: Sequence[Case]) -> None:
        first: dict[str, Case] = {}
        for case in cases:
            other = first.setdefault(case.name, case)
            if other is not case:
                message = f"the test {quoted(case.name)} stands here twice, first in line {other.span.line}"
                self.report.error(Code.DUPLICATE_NAME, case.span, message, "give it another name")


def _sent(request: AccessRequest, moment: float) -> AccessRequest:
    """The request, received at the test's time; a captured one was received when it was."""
    return replace(request, received_at=moment) if isinstance(request, WrittenRequest) else request


def _conditions(policy_set: PolicySet) -> list[Condition]:
    rules = [rule for route in policy_set.routes for rule in (*route.deny, *route.require, *route.allow)]
    in_rules = [c.condition for rule in rules for c in rule.conditions if isinstance(c, When)]
    return [*in_rules, *(binding.when for binding in policy_set.bindings if binding.when is not None)]
