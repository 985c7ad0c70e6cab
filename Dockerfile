# The whole program; by default it serves the policy set that is mounted at /etc/extauthz/policy:
#
#   docker build -t extauthz .
#   docker run --read-only -v ./policies/first:/etc/extauthz/policy:ro -p 127.0.0.1:9000:9000 extauthz
#
# Any image with Python 3.11 or newer and glibc will do; some of the wheels have no musl build.
ARG PYTHON_IMAGE=python:3.11-slim-bookworm
# With the same Python at the same path, and pip.
ARG BUILD_IMAGE=${PYTHON_IMAGE}

FROM ${BUILD_IMAGE} AS build
# envoy, for the mesh's pods (`mesh sidecar` runs it; 110 MB); several with commas.
ARG EXTRAS=""
WORKDIR /src
# Everything that is locked, each file checked against its hash; what is installed below comes from here alone.
COPY requirements.lock ./
RUN python3 -m pip download --quiet --disable-pip-version-check --no-deps --only-binary :all: \
    --require-hashes --requirement requirements.lock --dest /wheels
COPY . .
RUN python3 -m venv --without-pip /opt/extauthz \
    && python3 -m pip --python /opt/extauthz/bin/python install --quiet --disable-pip-version-check --no-cache-dir \
    --no-index --find-links /wheels ".${EXTRAS:+[${EXTRAS}]}" \
    && python3 -m pip --python /opt/extauthz/bin/python --disable-pip-version-check check

FROM ${PYTHON_IMAGE}
# What the compiler of Rego (libatomic1) and `mesh init` need; a base without apt-get has to bring it.
RUN if command -v apt-get >/dev/null; then \
        apt-get update \
        && apt-get install --yes --no-install-recommends libatomic1 iptables iproute2 \
        && rm -rf /var/lib/apt/lists/*; \
    fi
LABEL org.opencontainers.image.title="extauthz" \
      org.opencontainers.image.description="Authorization at the Envoy proxy: one policy, enforced through ext_authz" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /opt/extauthz /opt/extauthz
# What must be kept (--state, certificates): a volume that is mounted here gets its owner.
RUN install --directory --owner=65532 --group=65532 --mode=0750 /var/lib/extauthz
ENV PATH=/opt/extauthz/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    EXTAUTHZ_LISTEN=0.0.0.0:9000 \
    EXTAUTHZ_PATHS=/etc/extauthz/policy
# By number, so that Kubernetes can tell that it is not root.
USER 65532:65532
EXPOSE 9000
HEALTHCHECK --interval=10s --timeout=5s --start-period=10s CMD ["extauthz", "probe"]
ENTRYPOINT ["extauthz"]
CMD ["serve"]
