"""The sidecar's way into a pod: captured traffic (`init`), injected containers (`inject`, `webhook`, `manifests`).

Everything here speaks Istio's dialect, so that what a cluster already says is understood: the flags and the rule sets
of istio-iptables, the labels and annotations of its injector, the container names istio-init and istio-proxy. One
injector owns a namespace; the revision label `istio.io/rev` tells several apart.

Two halves that do not know each other:

    init      capture -> rules (+ tproxy, dns) -> ruleset -> iptables, routing -> initialise; validation
    inject    settings, wishes, choice -> template, probes, merge -> injection -> admission -> application -> webhook

Building rules and patching pods is pure. Programs are run only by `iptables` and `routing`; the machine is asked only
by `machine`.
"""
