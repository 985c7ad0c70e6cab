"""`extauthz mesh init`: capture a pod's traffic; the flags and what they mean are istio-iptables'.

A flag that is not given has the value that an injector gives it, which captures everything. istio-iptables would
capture nothing then.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from extauthz.errors import ConfigurationError

if TYPE_CHECKING:
    from extauthz.mesh.capture import Capture
    from extauthz.mesh.initialise import Plan


class Family(StrEnum):
    """Whose traffic is captured."""

    AUTO = "auto"
    """IPv4, and IPv6 if this network namespace has an address of it."""
    V4 = "4"
    V6 = "6"
    BOTH = "both"


class Binary(StrEnum):
    """Which iptables is used."""

    NFT = "nft"
    LEGACY = "legacy"


_VERSIONS = {Family.V4: (4,), Family.V6: (6,), Family.BOTH: (4, 6)}


def init(
    *,
    outbound_port: Annotated[
        str, typer.Option("-p", "--envoy-port", metavar="PORT", help="Where the proxy takes outbound connections.")
    ] = "15001",
    inbound_port: Annotated[
        str, typer.Option("-z", "--inbound-capture-port", metavar="PORT", help="Where it takes inbound ones.")
    ] = "15006",
    uids: Annotated[
        str | None,
        typer.Option("-u", "--proxy-uid", metavar="UIDS", help="The proxy's users. [that of istio-proxy, else 1337]"),
    ] = None,
    gids: Annotated[
        str | None, typer.Option("-g", "--proxy-gid", metavar="GIDS", help="The proxy's groups. [as -u]")
    ] = None,
    mode: Annotated[
        str,
        typer.Option(
            "-m", "--istio-inbound-interception-mode", metavar="MODE", help="REDIRECT or TPROXY (inbound only)."
        ),
    ] = "REDIRECT",
    outbound: Annotated[
        str,
        typer.Option("-i", "--istio-service-cidr", metavar="CIDRS", help="Outbound destinations; * all, '' none."),
    ] = "*",
    outbound_except: Annotated[
        str, typer.Option("-x", "--istio-service-exclude-cidr", metavar="CIDRS", help="Except these.")
    ] = "",
    inbound_ports: Annotated[
        str, typer.Option("-b", "--istio-inbound-ports", metavar="PORTS", help="Inbound ports; * all, '' none.")
    ] = "*",
    inbound_ports_except: Annotated[
        str, typer.Option("-d", "--istio-local-exclude-ports", metavar="PORTS", help="Except these, with -b '*'.")
    ] = "15090,15021,15020",
    outbound_ports_except: Annotated[
        str,
        typer.Option("-o", "--istio-local-outbound-ports-exclude", metavar="PORTS", help="Outbound ports left alone."),
    ] = "",
    outbound_ports: Annotated[
        str,
        typer.Option("-q", "--istio-outbound-ports", metavar="PORTS", help="Outbound ports captured whatever -i says."),
    ] = "",
    virtual_interfaces: Annotated[
        str,
        typer.Option(
            "-k", "--kube-virt-interfaces", metavar="NICS", help="Whose inbound traffic is outbound: of VMs in the pod."
        ),
    ] = "",
    excluded_interfaces: Annotated[
        str, typer.Option("-c", "--istio-exclude-interfaces", metavar="NICS", help="Never captured.")
    ] = "",
    redirect_dns: Annotated[
        bool, typer.Option("--redirect-dns", help="Capture queries to the servers of /etc/resolv.conf (to port 15053).")
    ] = False,
    capture_all_dns: Annotated[
        bool, typer.Option("--capture-all-dns", help="With --redirect-dns: to any server.")
    ] = False,
    family: Annotated[
        Family, typer.Option(help="IPv4, IPv6 or both; auto: IPv6 where this network namespace has an address of it.")
    ] = Family.AUTO,
    binary: Annotated[
        Binary | None,
        typer.Option("--force-iptables-binary", help="Which iptables. [legacy where it has rules, else nft]"),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", "-n", help="Print the rules for iptables-restore, and change nothing.")
    ] = False,
    cleanup_only: Annotated[
        bool, typer.Option("--cleanup-only", help="Remove what the same flags put there, instead.")
    ] = False,
    skip_rule_apply: Annotated[
        bool, typer.Option("--skip-rule-apply", help="Change nothing; for --run-validation.")
    ] = False,
    run_validation: Annotated[
        bool,
        typer.Option("--run-validation", help="Then connect as the proxy would; fail unless that is captured."),
    ] = False,
) -> None:
    """Capture this network namespace's traffic: what the init container of a mesh pod does.

    All of it or nothing: rules are applied in one transaction per table, compared with what the kernel then has, and
    undone on failure. With the same flags again, nothing changes.

    Example: extauthz mesh init --dry-run
    """
    from extauthz.mesh.capture import (
        Capture,
        parse_ids,
        parse_interfaces,
        parse_mode,
        parse_port,
        parse_ports,
        parse_ranges,
    )
    from extauthz.mesh.machine import proxy_user

    _refuse_contradictions(
        dry_run=dry_run, cleanup_only=cleanup_only, skip_rule_apply=skip_rule_apply, run_validation=run_validation
    )
    if capture_all_dns and not redirect_dns:
        raise ConfigurationError("--capture-all-dns widens --redirect-dns: give both")
    proxy_uids = parse_ids(uids, "-u") if uids else (proxy_user(),)
    capture = Capture(
        outbound_port=parse_port(outbound_port, "-p"),
        inbound_port=parse_port(inbound_port, "-z"),
        uids=proxy_uids,
        gids=parse_ids(gids, "-g") if gids else proxy_uids,
        mode=parse_mode(mode, "-m"),
        outbound=parse_ranges(outbound, "-i", takes_all=True),
        outbound_except=parse_ranges(outbound_except, "-x"),
        outbound_ports=parse_ports(outbound_ports, "-q"),
        outbound_ports_except=parse_ports(outbound_ports_except, "-o"),
        inbound_ports=parse_ports(inbound_ports, "-b", takes_all=True),
        inbound_ports_except=parse_ports(inbound_ports_except, "-d"),
        virtual_interfaces=parse_interfaces(virtual_interfaces, "-k"),
        excluded_interfaces=parse_interfaces(excluded_interfaces, "-c"),
        redirects_dns=redirect_dns,
        every_dns_server=capture_all_dns,
    )
    plan = _plan(capture, family, binary)
    if dry_run:
        _print_rules(plan)
    elif cleanup_only:
        _clean_up(plan)
    else:
        _initialise(plan, applies=not skip_rule_apply, validates=run_validation)


def _refuse_contradictions(*, dry_run: bool, cleanup_only: bool, skip_rule_apply: bool, run_validation: bool) -> None:
    if dry_run and (cleanup_only or skip_rule_apply or run_validation):
        raise ConfigurationError("--dry-run only prints rules: leave the other of --cleanup-only and the like away")
    if cleanup_only and (skip_rule_apply or run_validation):
        raise ConfigurationError("--cleanup-only removes rules: there is nothing to skip or to validate")
    if skip_rule_apply and not run_validation:
        raise ConfigurationError("--skip-rule-apply does nothing without --run-validation")


def _plan(capture: Capture, family: Family, binary: Binary | None) -> Plan:
    from extauthz.mesh.initialise import Plan
    from extauthz.mesh.iptables import Kind
    from extauthz.mesh.machine import has_ipv6_address, read_name_servers

    versions = _VERSIONS.get(family) or ((4, 6) if has_ipv6_address() else (4,))
    servers = read_name_servers() if capture.redirects_dns and not capture.every_dns_server else ()
    if capture.redirects_dns and not servers and not capture.every_dns_server:
        raise ConfigurationError(
            "--redirect-dns: /etc/resolv.conf names no server: add --capture-all-dns, or leave it away"
        )
    return Plan(capture, versions, servers, None if binary is None else Kind(binary))


def _print_rules(plan: Plan) -> None:
    """Of one address family: iptables-restore and ip6tables-restore read one document each."""
    first, *others = plan.versions
    typer.echo(plan.rules(first).render(), nl=False)
    for version in others:
        typer.echo(f"# IPv{version} is captured, too: print that with --family {version}", err=True)


def _clean_up(plan: Plan) -> None:
    from extauthz.mesh.initialise import clean_up

    typer.echo("capture removed" if clean_up(plan) else "there was no capture to remove", err=True)


def _initialise(plan: Plan, *, applies: bool, validates: bool) -> None:
    import signal

    from extauthz.mesh.initialise import initialise
    from extauthz.mesh.validation import validate_capture

    families = " and ".join(f"IPv{version}" for version in plan.versions)
    if applies:
        signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C: what was done is undone
        changed = initialise(plan)
        typer.echo(f"{families}: {'captured' if changed else 'already captured, nothing changed'}", err=True)
    if validates:
        validate_capture(plan.capture, plan.versions)
        typer.echo(f"{families}: capture validated", err=True)
