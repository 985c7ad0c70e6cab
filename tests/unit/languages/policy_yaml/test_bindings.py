import pytest

from extauthz.model.policy import BindingSubject
from tests.policies import HEAD, ROLES, ROUTE, TWO_PROVIDERS, codes, policy_set

WORKLOAD = "spiffe://d.example/a"


def text(binding: str, head: str = HEAD) -> str:
    return f"{head}trust_domains: [d.example]\n{ROLES}bindings: [{binding}]\n{ROUTE}"


def subjects(binding: str, head: str = HEAD) -> tuple[BindingSubject, ...]:
    (only,) = policy_set(text(binding, head)).bindings
    return only.subjects


def test_subjects_are_any_of_and_their_keys_all_of():
    """One provider alone need not be named."""
    assert subjects("{role: admin, subjects: [{group: g}, {subject: s, group: h}]}") == (
        BindingSubject(group="g"),
        BindingSubject(subject="s", group="h"),
    )


def test_a_provider_of_the_binding_is_that_of_its_subjects():
    """Written once for all."""
    assert subjects("{role: admin, provider: corp, subjects: [{group: g}, {subject: s}]}", TWO_PROVIDERS) == (
        BindingSubject(group="g", provider="corp"),
        BindingSubject(subject="s", provider="corp"),
    )
    assert subjects("{role: admin, provider: corp}", TWO_PROVIDERS) == (BindingSubject(provider="corp"),)


def test_a_condition_alone_binds_whom_the_one_provider_vouches_for():
    """Never an anonymous caller."""
    assert subjects("{role: admin, when: claims.admin == true}") == (BindingSubject(provider="corp"),)


def test_workloads_have_no_provider():
    """They count where nobody is authenticated."""
    assert subjects(f"{{role: admin, subjects: [{{workload: '{WORKLOAD}'}}]}}", TWO_PROVIDERS) == (
        BindingSubject(workload=WORKLOAD),
    )


@pytest.mark.parametrize(
    ("binding", "code"),
    [
        ("{role: admin}", "EAZ407"),
        ("{role: admin, subjects: [{}]}", "EAZ407"),
        ("{role: admin, subjects: []}", "EAZ204"),
        ("{role: ghost, provider: corp}", "EAZ301"),
        ("{role: admin, provider: ghost}", "EAZ302"),
        ("{role: admin, subjects: [{provider: ghost}]}", "EAZ302"),
        ("{provider: corp}", "EAZ202"),
        (f"{{role: admin, subjects: [{{workload: '{WORKLOAD}', group: g}}]}}", "EAZ407"),
        (f"{{role: admin, provider: corp, subjects: [{{workload: '{WORKLOAD}'}}]}}", "EAZ407"),
        ("{role: admin, subjects: [{workload: 'spiffe://other.example/a'}]}", "EAZ410"),
        ("{role: admin, when: \"'reader' in principal.roles\"}", "EAZ802"),
        ("{role: admin, when: request.nothing}", "EAZ801"),
    ],
)
def test_bindings_that_bind_nobody_or_everybody_are_refused(binding, code):
    """Or that name what there is not."""
    assert codes(text(binding)) == [code]


@pytest.mark.parametrize(
    "binding",
    [
        "{role: admin, subjects: [{group: g}]}",
        "{role: admin, subjects: [{subject: s}]}",
        "{role: admin, subjects: [{provider: corp}, {subject: s}]}",
    ],
)
def test_with_several_providers_an_identity_names_its_own(binding):
    """The same subject of another issuer is somebody else."""
    assert codes(text(binding, TWO_PROVIDERS)) == ["EAZ409"]


def test_a_provider_is_not_contradicted():
    """One of the two would be ignored."""
    binding = "{role: admin, provider: corp, subjects: [{subject: s, provider: partner}]}"
    assert codes(text(binding, TWO_PROVIDERS)) == ["EAZ407"]


def test_a_variable_cannot_smuggle_roles_in():
    """What a condition reads through variables, it reads."""
    variables = "variables: {is_reader: \"'reader' in principal.roles\"}\n"
    assert codes(variables + text("{role: admin, when: variables.is_reader}")) == ["EAZ802"]


def test_somebody_without_a_provider_is_nobody():
    """A set without providers can bind workloads alone."""
    assert codes(
        f"version: 1\n{ROLES}bindings: [{{role: admin, subjects: [{{group: g}}]}}]\nroutes: [{{path: /, public: true}}]"
    ) == ["EAZ508"]
