# The build stage's image, with pip and every locked wheel in it: the build itself needs no network.
ARG BASE
FROM ${BASE}
COPY *.whl /wheels/
RUN set -- /wheels/pip-*.whl && python3 "$1/pip" install --quiet --no-index --find-links /wheels \
    --target /usr/lib/python3/dist-packages pip
ENV PIP_NO_INDEX=1 PIP_FIND_LINKS=/wheels
