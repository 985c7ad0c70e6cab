from extauthz.languages.policy_yaml import language
from extauthz.languages.policy_yaml.records import Record

RECORDS = [value for value in vars(language).values() if isinstance(value, type) and issubclass(value, Record)]


def test_every_record_and_key_is_described():
    """The description is what an editor shows."""
    assert len(RECORDS) > 20
    for record in RECORDS:
        if record is not Record:
            assert (record.__doc__ or "").endswith(".")
            assert record.keys
            assert all(key.doc.strip() == key.doc and key.doc.endswith(".") for key in record.keys.values())


def test_groups_and_routes_take_the_same_rules():
    """What stands at a group is what may stand at each of its routes."""
    shared = {"deny", "require", "allow", "host", "providers", "authentication", "cors", "upstream_headers"}
    assert shared <= language.GroupText.keys.keys() & language.RouteText.keys.keys()
    for name in shared:
        assert language.GroupText.keys[name].shape == language.RouteText.keys[name].shape
