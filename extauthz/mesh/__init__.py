"""A mesh: the proxy beside every application, and its way there.

`init` captures traffic, `sidecar` is the proxy that it goes through, `control` tells proxies of each other; `inject`,
`webhook` and `manifests` put all that into pods. `demo` runs it on one machine.

Everything here speaks Istio's dialect, so that what a cluster already says is understood: the flags and the rule sets
of istio-iptables, the labels and annotations of its injector, the container names istio-init and istio-proxy. One
injector owns a namespace; the revision label `istio.io/rev` tells several apart.

Parts that do not know each other, but for what the injector writes and the sidecar reads:

    init      capture -> rules (+ tproxy, dns) -> ruleset -> iptables, routing -> initialise; validation
    inject    settings, wishes, choice -> template, probes, merge -> injection -> admission -> application -> webhook
    sidecar   pod_environment, services, peer_tls -> inbound, outbound -> sidecar_bootstrap -> sidecar (+ status_server)
    control   services, docker_instances, authority, nodes -> catalogue -> control

Building rules, patching pods and making configuration is pure. Programs are run only by `iptables`, `routing` and
`sidecar`; the machine is asked only by `machine`.
"""
