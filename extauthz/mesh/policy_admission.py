"""ConfigMaps that carry a policy set: refused where the set would not be served.

The label `extauthz.io/policy-set: "true"` marks them. Their keys are the set's files, as if the ConfigMap were mounted.
Nothing outside of the ConfigMap is read: whoever may write one must not learn what this process can read, so a set
that names a file elsewhere is admitted with a warning that it could not be checked.
"""

from __future__ import annotations

import base64
import binascii
import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, Final

from extauthz.authn.provider import check_provider_keys
from extauthz.errors import ConfigurationError, PolicyError
from extauthz.languages.policy_yaml import SourceText, parse_policy_set
from extauthz.languages.policy_yaml.codes import Code
from extauthz.languages.policy_yaml.rego import RegoSources
from extauthz.languages.rego import DataFile, Module
from extauthz.languages.rego.data_files import DATA_NAMES
from extauthz.mesh.admission import Verdict
from extauthz.mesh.names import POLICY_SET, POLICY_VALUES
from extauthz.model.source import Diagnostic
from extauthz.sources.policy_walk import POLICY_ENDINGS, REGO_ENDING, REGO_TEST_ENDING, TEST_ENDINGS
from extauthz.sources.rego_planner import plan_with_default
from extauthz.sources.values import parse_values

_MAX_MESSAGE: Final = 8000
"""Characters: an API server passes messages on to whoever asked."""


def judge_config_map(config_map: object) -> Verdict:
    """Whether a ConfigMap may be written. One that is not marked is none of our business."""
    metadata = config_map.get("metadata") if isinstance(config_map, dict) else None
    marks = metadata.get("labels") if isinstance(metadata, dict) else None
    if not isinstance(config_map, dict) or not isinstance(marks, dict) or marks.get(POLICY_SET) != "true":
        return Verdict(allowed=True)
    try:
        files = _files(config_map)
        values_key = _values_key(metadata or {}, files)
        return _judge(files, values_key)
    except ConfigurationError as error:
        return Verdict(allowed=False, message=str(error))


def _judge(files: Mapping[str, bytes], values_key: str | None) -> Verdict:
    values = {} if values_key is None else parse_values(values_key, files[values_key])
    sources = [
        SourceText(name, content)
        for name, content in sorted(files.items())
        if name.endswith(POLICY_ENDINGS)
        and not name.endswith(TEST_ENDINGS)
        and name not in DATA_NAMES
        and name != values_key
    ]
    if not sources:
        return Verdict(allowed=False, message="there is no policy: no key ends in .yaml but tests and values")
    elsewhere: list[str] = []

    def read_file(path: str) -> bytes:
        name = path.removeprefix("./")
        if name in files:
            return files[name]
        elsewhere.append(path)
        raise FileNotFoundError(2, "is not in this ConfigMap")

    try:
        parsed = parse_policy_set(sources, read_file=read_file, values=values, rego=_rego(files))
    except PolicyError as error:
        return _refuse(error.diagnostics, elsewhere)
    problems = [
        f"{provider.span}: provider {provider.name!r}: {problem}"
        for provider in parsed.policy_set.providers
        for problem in check_provider_keys(provider)
    ]
    if problems:
        return Verdict(allowed=False, message="\n".join(problems)[:_MAX_MESSAGE])
    return Verdict(allowed=True, warnings=[_line(each) for each in parsed.warnings])


def _rego(files: Mapping[str, bytes]) -> RegoSources:
    modules = [
        Module(name, _text(name, content))
        for name, content in sorted(files.items())
        if name.endswith(REGO_ENDING) and not name.endswith(REGO_TEST_ENDING)
    ]
    data = [DataFile(name, (), content) for name, content in sorted(files.items()) if name in DATA_NAMES]
    return RegoSources(modules, data, plan_with_default)


def _text(name: str, content: bytes) -> str:
    try:
        return content.decode()
    except UnicodeDecodeError:
        raise ConfigurationError(f"{name} is not UTF-8") from None


def _refuse(diagnostics: Sequence[Diagnostic], elsewhere: Sequence[str]) -> Verdict:
    """Unless all that is wrong is that files elsewhere cannot be read from here."""
    wrong = [each for each in diagnostics if not (elsewhere and each.code == Code.FILE_UNREADABLE)]
    if not wrong:
        names = ", ".join(sorted(set(elsewhere)))
        return Verdict(allowed=True, warnings=[f"not checked in full: {names} is not in this ConfigMap"])
    message = "\n".join(each.render() for each in wrong)
    return Verdict(allowed=False, message=message[:_MAX_MESSAGE])


def _line(diagnostic: Diagnostic) -> str:
    return dataclasses.replace(diagnostic, source_line="", hint="").render()


def _files(config_map: Mapping[str, Any]) -> Mapping[str, bytes]:
    text, binary = config_map.get("data") or {}, config_map.get("binaryData") or {}
    if not isinstance(text, dict) or not isinstance(binary, dict):
        raise ConfigurationError("data and binaryData of a ConfigMap are maps")
    try:
        files = {name: content.encode() for name, content in text.items()}
        return files | {name: base64.b64decode(content, validate=True) for name, content in binary.items()}
    except (AttributeError, TypeError, UnicodeEncodeError, binascii.Error):
        raise ConfigurationError("data of a ConfigMap is text, and binaryData base64") from None


def _values_key(metadata: Mapping[str, Any], files: Mapping[str, bytes]) -> str | None:
    annotations = metadata.get("annotations")
    key = annotations.get(POLICY_VALUES) if isinstance(annotations, dict) else None
    if key is not None and key not in files:
        raise ConfigurationError(f"annotation {POLICY_VALUES}: there is no key '{key}'")
    return key
