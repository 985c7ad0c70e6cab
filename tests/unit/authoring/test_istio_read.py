import pytest

from extauthz.authoring.istio_read import Authentication, Authorization, read_objects
from extauthz.errors import ConfigurationError

POLICY = """\
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: p, namespace: shop}
spec: SPEC
"""


def refusal(text):
    with pytest.raises(ConfigurationError) as caught:
        list(read_objects("all.yaml", text.encode()))
    return str(caught.value)


def test_documents_and_lists_are_read():
    """Several documents, lists of kubectl, and v1beta1; empty documents are nothing."""
    item = "{apiVersion: security.istio.io/v1beta1, kind: RequestAuthentication, metadata: {name: j}}"
    text = f"---\n---\n{POLICY.replace('SPEC', '{}')}---\napiVersion: v1\nkind: List\nitems: [{item}]\n"
    policy, authentication = read_objects("all.yaml", text.encode())
    assert isinstance(policy, Authorization)
    assert isinstance(authentication, Authentication)
    assert policy.title == "AuthorizationPolicy shop/p (all.yaml)"
    assert (policy.action, policy.rules, policy.is_enforced) == ("ALLOW", (), True)
    assert (authentication.namespace, authentication.jwt_rules) == ("default", ())


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("{rules: [{form: []}]}", "rules[0]: the key 'form' is unknown"),
        ("{rules: [{from: []}]}", "rules[0].from is no list with an item"),
        ("{rules: [null]}", "rules[0] is no map"),
        ("{rules: [{from: [{source: {}}]}]}", "rules[0].from[0].source is empty"),
        ("{rules: [{to: [{operation: {ports: [80]}}]}]}", "80 is no text: put it into quotes"),
        ("{rules: [{when: [{key: source.ip}]}]}", "rules[0].when[0] has neither values nor notValues"),
        ("{action: PERMIT}", "action is one of ALLOW, DENY, AUDIT, CUSTOM, not 'PERMIT'"),
        ("{action: DENY, action: ALLOW}", "the key 'action' stands twice"),
        ("{rules: {}, selector: 7}", "selector is no map"),
        ("[", "is no YAML that can be read"),
    ],
)
def test_what_is_malformed_is_refused(spec, message):
    """With its place: a key that was overlooked could be a condition."""
    assert message in refusal(POLICY.replace("SPEC", spec))


def test_other_kinds_are_refused():
    """They may be what the author meant to have imported."""
    assert "v1 Pod is not read here" in refusal("{apiVersion: v1, kind: Pod, metadata: {name: p}}")
    assert "it has no kind" in refusal("- 7")
