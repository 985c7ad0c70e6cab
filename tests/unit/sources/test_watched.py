from pathlib import Path

from extauthz.check.opa_policy import DECISION
from extauthz.sources.opa_files import LoadedOpa, OpaFiles
from extauthz.sources.policy_files import LoadedSet, PolicyFiles
from extauthz.sources.watched import WatchedFiles

POLICY = "version: 1\nname: open\nroutes:\n  - {name: all, path: /**, public: true}\n"


def what_a_watcher_does(files: WatchedFiles[LoadedSet] | WatchedFiles[LoadedOpa]) -> tuple[str, ...]:
    """Everything that it asks."""
    reading, attempt = files.read(), files.attempt()
    assert reading.digest == attempt.digest
    assert not isinstance(attempt.outcome, Exception)
    assert attempt.outcome.digest == attempt.digest
    assert attempt.outcome.directories == reading.directories
    assert (files.references, files.values_file) == (frozenset(), None)
    assert files.paths
    return attempt.outcome.sources


def test_what_can_be_watched(tmp_path: Path):
    """The files of a policy set, and those of a drop-in."""
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "policy.yaml").write_text(POLICY)
    (tmp_path / "policy.rego").write_text("package envoy.authz\n\ndefault allow := true\n")
    of_set: WatchedFiles[LoadedSet] = PolicyFiles([str(tmp_path / "set")])
    of_plugin: WatchedFiles[LoadedOpa] = OpaFiles(
        [str(tmp_path / "policy.rego")], questions={DECISION: ("envoy", "authz", "allow")}
    )
    assert what_a_watcher_does(of_set) == (str(tmp_path / "set" / "policy.yaml"),)
    assert what_a_watcher_does(of_plugin) == (str(tmp_path / "policy.rego"),)
