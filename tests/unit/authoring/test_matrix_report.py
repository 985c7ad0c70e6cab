import csv
import io
from xml.etree import ElementTree as ET

from extauthz.authoring.matrix import Answer, Cell, matrix_of
from extauthz.authoring.matrix_report import cell_text, cells, csv_table, grant_texts, markdown, note_text, svg
from tests.policies import HEAD, policy_set
from tests.suites import shop

MATRIX = matrix_of(shop())
HOSTILE = matrix_of(policy_set(HEAD + "routes: [{name: '=a|b<c>&*', path: /a, allow: [{name: '`x`', scope: s}]}]\n"))


def test_cells_say_what_has_to_hold_and_what_can_still_deny():
    """Numbers lead to the notes below the table."""
    assert cell_text(Cell(Answer.YES), MATRIX) == "yes"
    assert cell_text(Cell(Answer.NO), MATRIX) == "no"
    order = next(row for row in MATRIX.rows if row.route.name == "order")
    assert cells(order, MATRIX) == (
        *("order", "GET, HEAD, PUT", "shop.example/orders/{id}"),
        *("no", "if [2] ([1])", "if [2] ([1])", "yes ([1])"),
    )
    assert note_text(1, MATRIX) == (
        "[1] unless set.deny.suspended: when: has(claims.suspended) && claims.suspended != false"
    )
    assert note_text(3, MATRIX) == "[3] only if office.require.network: direct_remote_ip: 192.0.2.0/24"
    assert list(grant_texts(MATRIX)) == ["clerk: provider corp, when has(claims.store) && claims.store == path.store"]


def test_markdown_is_escaped():
    """Names of a policy are text, not tables, code or HTML."""
    text = markdown(HOSTILE)
    assert "| =a\\|b\\<c\\>&\\* | any | /a | no | if \\[1\\] |" in text
    assert "\\`x\\`" in text
    assert text.startswith("# Who can do what: shop\n\nRevision ")


def test_csv_has_a_line_for_each_caller_and_no_formulas():
    """What a spreadsheet would take for a formula is made text (OWASP, CSV injection)."""
    rows = list(csv.DictReader(io.StringIO(csv_table(HOSTILE))))
    assert [(row["route"], row["caller"], row["answer"]) for row in rows] == [
        ("'=a|b<c>&*", "anonymous", "no"),
        ("'=a|b<c>&*", "no role", "depends"),
    ]
    assert rows[1]["if one of"] == "'=a|b<c>&*.allow.`x`"
    assert csv_table(MATRIX).count("\r\n") == 1 + len(MATRIX.rows) * len(MATRIX.columns)


def test_svg_is_a_page():
    """Well-formed, every cell and note on it and within it."""
    root = ET.fromstring(svg(HOSTILE))
    texts = [element.text for element in root if element.tag.endswith("text")]
    assert {"=a|b<c>&*", "if [1]", "[1] if =a|b<c>&*.allow.`x`: scope: s"} <= set(texts)
    width, height = float(root.get("width", 0)), float(root.get("height", 0))
    for element in ET.fromstring(svg(MATRIX)):
        assert float(element.get("y", 0)) <= 2 * height or width
    whole = ET.fromstring(svg(MATRIX))
    right = max(float(e.get("x", 0)) + float(e.get("width", 0)) for e in whole if e.tag.endswith("rect"))
    bottom = max(float(e.get("y", 0)) for e in whole if e.tag.endswith("text"))
    assert right <= float(whole.get("width", 0))
    assert bottom < float(whole.get("height", 0))


def test_svg_holds_no_control_characters():
    """They are no part of XML, however they are escaped."""
    hostile = matrix_of(policy_set(HEAD + 'routes: [{name: "a\\u202eb", path: /a, allow: [{scope: s}]}]\n'))
    assert "a\N{REPLACEMENT CHARACTER}b" in svg(hostile)
