"""Records -> a test file: one test for each kind of decision that was recorded, by its first request.

Who sent it is written down by verified claims, or by whom the API key is held; what a test cannot say is left out, and
counted: a credential that was refused or not looked at, bytes that are no text.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from extauthz.authn.api_key import holder_of
from extauthz.authoring.format import formatted
from extauthz.authoring.language import SUITE
from extauthz.authoring.record import (
    KeyHolder,
    Record,
    RefusedCredential,
    UnseenCredential,
    Vouched,
    credential_headers,
)
from extauthz.authoring.suite import WrittenRequest
from extauthz.languages.policy_yaml.reader import read_document
from extauthz.languages.policy_yaml.report import Report
from extauthz.languages.policy_yaml.shapes import Reading
from extauthz.model.policy import PolicySet

_HEAD = "# Recorded requests: one for each kind of decision, with what was decided then.\n"
_PLAIN = re.compile(r"[A-Za-z/][A-Za-z0-9/_.-]*|[0-9]+-[0-9]+-[0-9]+T[0-9:.]+Z")
_WORDS = frozenset({"null", "true", "false"})
"""Plain scalars that are no texts, in lower case."""


@dataclass(slots=True)
class RecordedTests:
    """Collects tests for one set."""

    policy_set: PolicySet
    left_out: int = 0
    """Kinds of decisions that no test could be written for."""
    _first: dict[object, Record] = field(default_factory=dict)

    def add(self, record: Record) -> None:
        """Keep the record, if it is the first of its kind."""
        decision = record.decision
        self._first.setdefault((record.request.method, decision, type(record.caller)), record)

    def text(self, path: str) -> bytes | None:
        """The test file, in the one style; None when no record can be a test."""
        records = list(self._first.values())
        tests = [test for record in records if (test := self._test(record)) is not None]
        self.left_out = len(records) - len(tests)
        if not tests:
            return None
        text = f"{_HEAD}now: {_time(records[0].at)}\ntests:\n{''.join(tests)}"
        return formatted(path, text.encode(), is_suite=True)

    def _test(self, record: Record) -> str | None:
        principal = self._principal(record)
        if principal is None:
            return None
        decision = record.decision
        members = {
            "name": f"{record.request.method} {record.request.target.partition('?')[0]}: {decision.reason}"
            f" ({record.decision_id})",
            "now": _time(record.at),
            **principal,
            "request": _request(record.request, credential_headers(self.policy_set)),
            "expect": self._expect(record),
        }
        test = f"  - {_flow(members)}\n"
        return test if _is_readable(test) else None

    def _principal(self, record: Record) -> Mapping[str, object] | None:
        """Who it is, as a member of the test; None when a test cannot say it."""
        match record.caller:
            case None:
                return {}
            case Vouched(provider, claims) if any(provider == each.name for each in self.policy_set.providers):
                return {"principal": {"provider": provider, "claims": claims}}
            case KeyHolder(provider, subject):
                holders = [each for each in self.policy_set.api_key_providers if each.name == provider]
                keys = [(each, key) for each in holders for key in each.keys if key.subject == subject]
                if not keys:
                    return None
                holder = holder_of(*keys[0], self.policy_set.roles)
                lists = {"roles": holder.roles, "groups": holder.groups, "scopes": holder.scopes}
                asserted = {name: [*values] for name, values in lists.items() if values}
                return {"principal": {"provider": provider, "subject": subject, **asserted}}
            case Vouched() | RefusedCredential() | UnseenCredential():
                return None

    def _expect(self, record: Record) -> Mapping[str, object]:
        """What was decided, as far as the set has the names."""
        decision = record.decision
        routes = {route.name: route for route in self.policy_set.routes}
        expect: dict[str, object] = {"effect": decision.effect, "reason": decision.reason}
        route = routes.get(decision.route) if decision.route is not None else None
        if route is None:
            return expect
        expect["route"] = route.name
        known = {rule.id for each in routes.values() for rule in (*each.deny, *each.require, *each.allow)}
        if decision.policies and known.issuperset(decision.policies):
            expect["rules"] = [*decision.policies]
        return expect


def _time(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat().replace("+00:00", "Z")


def _request(request: WrittenRequest, left_out: Collection[str]) -> Mapping[str, object]:
    """As a test writes it, without these headers."""
    headers: dict[str, object] = {}
    for name, value in request.headers:
        if name in left_out:
            continue
        earlier = headers.get(name)
        headers[name] = value if earlier is None else [*(earlier if isinstance(earlier, list) else [earlier]), value]
    members = {
        "method": request.method,
        "path": request.target,
        "host": request.host,
        "scheme": request.scheme if request.scheme == "https" else "",
        "headers": headers,
        "body": None if request.body is None else request.body.decode(),
        "source": request.source_address,
        "workload": request.peer_identity,
        "context_extensions": dict(request.context_extensions),
    }
    return {name: value for name, value in members.items() if value}


def _is_readable(test: str) -> bool:
    """Whether the language of tests has words for it: an empty header, or a number of thirty digits, has none."""
    report = Report()
    try:
        root = read_document("", f"tests:\n{test}".encode(), report)
    except UnicodeEncodeError:  # bytes that are no text
        return False
    if root is not None:
        SUITE.read(root, Reading(report, {}))
    return not report.has_errors


def _flow(value: object) -> str:
    """The value as YAML, in flow style; a text is plain where it can be nothing else."""
    match value:
        case str():
            is_plain = _PLAIN.fullmatch(value) is not None and value.lower() not in _WORDS
            return str(value) if is_plain else json.dumps(value, ensure_ascii=False)
        case Mapping():
            return "{" + ", ".join(f"{_flow(str(key))}: {_flow(member)}" for key, member in value.items()) + "}"
        case list() | tuple():
            return "[" + ", ".join(map(_flow, value)) + "]"
        case _:
            return json.dumps(value)
