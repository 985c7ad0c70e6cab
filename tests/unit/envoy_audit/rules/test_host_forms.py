from tests.envoy_configurations import ext_authz, filters, found

OWN = "typed_per_filter_config: {ext_authz: {check_settings: {}}}"


def hosts(*each: str) -> str:
    return filters(ext_authz()) + f"route_config: {{virtual_hosts: [{', '.join(each)}]}}\n"


def test_spellings_matter_where_virtual_hosts_differ():
    """Port and final dot."""
    different = hosts("{name: a}", f"{{name: b, {OWN}}}")
    assert len(found("EAE204", different)) == 2
    assert len(found("EAE204", different + "strip_matching_host_port: true\n")) == 1
    assert found("EAE204", different + "strip_any_host_port: true\nstrip_trailing_host_dot: true\n") == []


def test_they_do_not_where_there_is_one_way_to_authorize():
    """The authorizer reads the host itself."""
    assert found("EAE204", hosts("{name: a}", "{name: b}")) == []
    assert found("EAE204", hosts(f"{{name: a, {OWN}}}")) == []
