import pytest

from tests.envoy_configurations import found


@pytest.mark.parametrize(
    ("fields", "number"),
    [
        ("{}", 3),
        ("{normalize_path: true}", 2),
        ("{normalizePath: true, mergeSlashes: true, pathWithEscapedSlashesAction: REJECT_REQUEST}", 0),
        ("{normalize_path: true, merge_slashes: true, path_with_escaped_slashes_action: KEEP_UNCHANGED}", 1),
        ("{normalize_path: true, merge_slashes: true, path_with_escaped_slashes_action: UNESCAPE_AND_REDIRECT}", 0),
        ("{normalize_path: false, merge_slashes: true, path_with_escaped_slashes_action: UNESCAPE_AND_FORWARD}", 1),
    ],
)
def test_each_setting_is_needed(fields, number):
    """None is on by default."""
    assert len(found("EAE201", fields)) == number
