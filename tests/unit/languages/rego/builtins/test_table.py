from inspect import signature

from extauthz.languages.rego.builtins.table import BUILTINS, REFUSED


def test_functions_take_what_their_arity_says():
    """Operands, and the evaluation where it is asked for."""
    for name, builtin in BUILTINS.items():
        assert len(signature(builtin.function).parameters) == builtin.arity + builtin.stateful, name


def test_names_in_code_are_unique():
    """Two built-ins must not be one function of generated code."""
    assert len({builtin.identifier for builtin in BUILTINS.values()}) == len(BUILTINS)


def test_nothing_is_both_there_and_refused():
    """What asks the network is refused."""
    assert not BUILTINS.keys() & REFUSED.keys()
    assert {"http.send", "net.lookup_ip_addr"} <= REFUSED.keys()
