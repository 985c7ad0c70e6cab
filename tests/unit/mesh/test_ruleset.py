from __future__ import annotations

from extauthz.mesh.ruleset import Ruleset, is_built_in, jump_target


def example():
    """Rules in two tables, one inserted, one into a chain without rules of its own."""
    rules = Ruleset(4)
    rules.append("nat", "OUTPUT", "-j ISTIO_OUTPUT")
    rules.append("nat", "ISTIO_OUTPUT", "-d 10.0.0.1/32 -j RETURN")
    rules.append("nat", "ISTIO_OUTPUT", "-j ISTIO_REDIRECT")
    rules.insert("nat", "ISTIO_OUTPUT", 2, "-d 10.0.0.2/32 -j RETURN")
    rules.append("mangle", "PREROUTING", "-p tcp -j ISTIO_INBOUND")
    return rules


def test_rendering_makes_chains_first_and_sorts_tables():
    """A rule may jump to a chain that is filled later, or never."""
    assert example().render() == (
        "* mangle\n-N ISTIO_INBOUND\n-A PREROUTING -p tcp -j ISTIO_INBOUND\nCOMMIT\n"
        "* nat\n-N ISTIO_OUTPUT\n-N ISTIO_REDIRECT\n-A OUTPUT -j ISTIO_OUTPUT\n"
        "-A ISTIO_OUTPUT -d 10.0.0.1/32 -j RETURN\n-A ISTIO_OUTPUT -j ISTIO_REDIRECT\n"
        "-I ISTIO_OUTPUT 2 -d 10.0.0.2/32 -j RETURN\nCOMMIT\n"
    )


def test_the_layout_is_what_insertion_makes_of_it():
    """Rules in the order in which a packet meets them; chains that are only jumped to are empty."""
    layout = example().layout()
    assert [" ".join(words) for words in layout["nat", "ISTIO_OUTPUT"]] == [
        "-d 10.0.0.1/32 -j RETURN",
        "-d 10.0.0.2/32 -j RETURN",
        "-j ISTIO_REDIRECT",
    ]
    assert layout["mangle", "ISTIO_INBOUND"] == ()


def test_targets_and_chains():
    """A jump is written in four ways; a rule may have none."""
    assert jump_target(["-p", "tcp", "-j", "RETURN"]) == "RETURN"
    assert jump_target(["-g", "X"]) == "X"
    assert jump_target(["-p", "tcp"]) is None
    assert is_built_in("POSTROUTING")
    assert not is_built_in("ISTIO_OUTPUT")
