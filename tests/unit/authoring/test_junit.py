from xml.etree import ElementTree as ET

from extauthz.authoring.failure import Line
from extauthz.authoring.junit import SuiteResult, junit_xml
from tests.suites import results

TEXT = """\
tests:
  - {name: passes, request: {path: /orders}, expect: deny}
  - {name: 'fails <&"', request: {path: /orders}, expect: allow}
"""


def test_document_counts_and_locates():
    """CI reads counts, names and places, and the failure's words."""
    suite = SuiteResult("a_test.yaml", tuple(results(TEXT)), {'fails <&"': (Line("effect", "x\x00y"),)}, 0.5)
    text = junit_xml([suite])
    assert text.startswith(
        '<?xml version="1.0" encoding="UTF-8"?>\n<testsuites tests="2" failures="1" errors="0" time="0.500">'
    )
    root = ET.fromstring(text)
    (element,) = root
    passed, failed = element
    assert (element.get("name"), element.get("failures")) == ("a_test.yaml", "1")
    assert (passed.get("name"), passed.get("line"), len(passed)) == ("passes", "2", 0)
    assert failed.get("name") == 'fails <&"'
    assert failed[0].get("message") == "effect: x\ufffdy"
    assert (failed[0].text or "").startswith("shop_test.yaml:3:")
