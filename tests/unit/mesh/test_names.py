from __future__ import annotations

import re

from extauthz.mesh import names

# Kubernetes: an optional DNS name, then 63 characters (apimachinery's IsQualifiedName).
QUALIFIED = re.compile(r"(?:[a-z0-9.-]{1,253}/)?[A-Za-z0-9][A-Za-z0-9_.-]{0,61}[A-Za-z0-9]")


def test_every_name_is_one_that_kubernetes_takes():
    """Each is used once, so that no two things are said by one word."""
    values = [value for name, value in vars(names).items() if name.isupper()]
    assert len(values) > 30
    assert not [value for value in values if not QUALIFIED.fullmatch(value)]
    assert len(set(values)) == len(values)
