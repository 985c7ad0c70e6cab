from __future__ import annotations

import os

import pytest

from extauthz.errors import EnvironmentUnfitError
from extauthz.mesh import program
from extauthz.mesh.iptables import Kind, choose_kind, open_iptables, removal, replacement
from extauthz.mesh.ruleset import Ruleset
from extauthz.mesh.saved import parse_saved
from tests.netns.namespaces import namespace

OLD = """\
*nat
:PREROUTING ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:ISTIO_OUTPUT - [0:0]
:ISTIO_OLD - [0:0]
-A OUTPUT -m comment --comment "say \\"hi\\"" -j ISTIO_OUTPUT
-A OUTPUT -j OTHERS
-A ISTIO_OUTPUT -j ISTIO_OLD
COMMIT
"""


@pytest.fixture
def wanted():
    """One jump, one rule."""
    rules = Ruleset(4)
    rules.append("nat", "OUTPUT", "-j ISTIO_OUTPUT")
    rules.append("nat", "ISTIO_OUTPUT", "-p tcp -j RETURN")
    return rules


@pytest.fixture
def programs(tmp_path, monkeypatch):
    """A folder that is all there is to find programs in."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(program, "_SBIN", ())

    def add(name, prints=""):
        (tmp_path / name).write_text(f"#!/bin/sh\necho '{prints}'\n")
        (tmp_path / name).chmod(0o755)

    return add


def test_an_earlier_rule_set_is_replaced_in_one_transaction(wanted):
    """Its jumps and chains go, what is kept is emptied, and others' rules stay."""
    assert replacement(wanted, parse_saved(OLD)) == (
        '* nat\n-D OUTPUT -m comment --comment "say \\"hi\\"" -j ISTIO_OUTPUT\n-F ISTIO_OLD\n-F ISTIO_OUTPUT\n'
        "-X ISTIO_OLD\n-A OUTPUT -j ISTIO_OUTPUT\n-A ISTIO_OUTPUT -p tcp -j RETURN\nCOMMIT\n"
    )


def test_on_a_clean_table_it_is_the_plain_rule_set(wanted):
    """Nothing to remove."""
    assert replacement(wanted, parse_saved("")) == wanted.render()


def test_removal_is_empty_where_there_is_nothing(wanted):
    """Cleaning up twice is fine."""
    assert removal(wanted, parse_saved("")) == ""
    assert removal(wanted, parse_saved(OLD)).splitlines()[-3:] == ["-X ISTIO_OLD", "-X ISTIO_OUTPUT", "COMMIT"]


@pytest.mark.netns
@pytest.mark.parametrize("kind", ["nft", "legacy"])
def test_both_kinds_take_replacement_and_removal(wanted, kind):
    """What was built is what either iptables-restore accepts, with words that need quotes."""
    before = OLD.replace("-A OUTPUT -j OTHERS\n", "")
    with namespace() as pod:
        pod.run(f"iptables-{kind}-restore", text=before)
        saved = parse_saved(pod.run(f"iptables-{kind}-save").stdout)
        pod.run(f"iptables-{kind}-restore", "--noflush", text=replacement(wanted, saved))
        assert pod.saved(kind) == "-A OUTPUT -j ISTIO_OUTPUT\n-A ISTIO_OUTPUT -p tcp -j RETURN\n"
        saved = parse_saved(pod.run(f"iptables-{kind}-save").stdout)
        pod.run(f"iptables-{kind}-restore", "--noflush", text=removal(wanted, saved))
        assert pod.saved(kind) == ""


@pytest.mark.parametrize(
    ("says", "kind"), [("iptables v1.8.9 (nf_tables)", Kind.NFT), ("iptables v1.8.9 (legacy)", Kind.LEGACY)]
)
def test_a_lone_iptables_is_of_the_kind_that_it_says(programs, says, kind):
    """Some distributions ship one kind, under the plain name."""
    for name in ("iptables", "iptables-restore", "iptables-save"):
        programs(name, says)
    assert choose_kind() is kind
    assert open_iptables(4, kind).restore_program.endswith("/iptables-restore")
    with pytest.raises(EnvironmentUnfitError, match="was not found"):
        open_iptables(4, Kind.LEGACY if kind is Kind.NFT else Kind.NFT)


def test_without_any_iptables_it_says_what_to_install(programs):
    """One line, with the package's name."""
    with pytest.raises(EnvironmentUnfitError, match="iptables was not found: install the package iptables"):
        choose_kind()
    with pytest.raises(EnvironmentUnfitError, match="ip6tables-restore was not found"):
        open_iptables(6, Kind.NFT)


def test_nft_is_preferred_and_a_wish_is_followed(programs):
    """Where no legacy rules exist."""
    for name in ("iptables-nft-restore", "iptables-nft-save", "iptables-legacy-save"):
        programs(name)
    assert choose_kind() is Kind.NFT
    assert choose_kind(Kind.LEGACY) is Kind.LEGACY
    assert os.path.basename(open_iptables(4, Kind.NFT).save_program) == "iptables-nft-save"  # noqa: PTH119
