from bench.rego import ENTRIES, RULES, measure_rego


def test_rego_does_not_cost_more_with_more_of_it():
    """A rule among a thousand, and an entry among ten thousand, are found without looking at the others."""
    figures = {each.name: each.us for each in measure_rego(300)}
    few, many = (figures[f"rules-{rules}"] for rules in (min(RULES), max(RULES)))
    assert many < 10 * few
    small, large = (figures[f"rbac-{entries}"] for entries in (min(ENTRIES), max(ENTRIES)))
    assert large < 20 * small
