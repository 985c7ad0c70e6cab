from extauthz.admin.document import render_page


def test_the_page_lists_what_there_is(listener):
    """Every operation of the document, and where that is; it loads nothing and runs nothing."""
    reply = listener.request("GET", "/v1")
    document = listener.request("GET", "/v1/openapi.json").json()
    for path, operations in document["paths"].items():
        for method in operations:
            assert f"<code>{method.upper()} {path}</code>" in reply.text
    assert 'href="/v1/openapi.json"' in reply.text
    assert "<script" not in reply.text
    assert "default-src 'none'" in reply.headers["content-security-policy"]


def test_texts_are_texts():
    """Whatever a description holds."""
    page = render_page({"paths": {"/a<b>": {"get": {"summary": "<i>", "description": "x\n  <script>"}}}})
    assert "<code>GET /a&lt;b&gt;</code>" in page
    assert "<dd>&lt;i&gt;. x &lt;script&gt;</dd>" in page
