from dataclasses import fields

from extauthz.languages.rego import ir
from extauthz.languages.rego.plan import _READERS


def test_every_statement_can_be_read():
    """The reader knows each kind of statement, and no statement is without a place."""
    kinds = {kind for kind in vars(ir).values() if isinstance(kind, type) and issubclass(kind, ir.Statement)}
    assert len(kinds) - 1 == len(_READERS)
    assert all(fields(kind)[0].name == "place" for kind in kinds)


def test_places_read_as_in_an_editor():
    """File and line."""
    assert str(ir.Place("a.rego", 3, 9)) == "a.rego:3"
