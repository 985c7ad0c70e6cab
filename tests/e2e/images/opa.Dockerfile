# OPA as it is on this machine, for those that reach no image registry.
ARG BASE
FROM ${BASE}
COPY opa /usr/local/bin/opa
ENTRYPOINT ["/usr/local/bin/opa"]
