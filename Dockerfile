# One image for all parts of the gateway; the first argument says which (ops/docker/entrypoint.sh).
# It runs as uid 1000 and writes to /data and /tmp only, so that its root file system can be read-only.

ARG PYTHON_IMAGE=python:3.12-slim-bookworm

FROM ${PYTHON_IMAGE} AS build
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
RUN python3 -m venv /opt/venv
COPY requirements.lock /build/requirements.lock
RUN /opt/venv/bin/python -m pip install --quiet --require-hashes --requirement /build/requirements.lock
COPY manage.py LICENSE /app/
COPY agents_app /app/agents_app
COPY gateway_project /app/gateway_project
COPY sdk_adapter /app/sdk_adapter
COPY security_app /app/security_app
COPY tools_app /app/tools_app
COPY upstreams_app /app/upstreams_app
COPY usage_app /app/usage_app
COPY static /app/static
COPY templates /app/templates
COPY ops/docker /app/ops/docker
RUN /opt/venv/bin/python -m compileall -q /app

FROM ${PYTHON_IMAGE}
ARG VERSION=dev
ARG REVISION=unknown
LABEL org.opencontainers.image.title="Agent Gateway" \
      org.opencontainers.image.description="One self-hosted, OpenAI-compatible door to language models" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
RUN apt-get update \
    && apt-get install --yes --no-install-recommends tini \
    && rm -rf /var/lib/apt/lists/*
RUN groupadd --gid 1000 gateway \
    && useradd --uid 1000 --gid 1000 --no-create-home --home-dir /tmp --shell /usr/sbin/nologin gateway \
    && install -d -o 1000 -g 1000 -m 0700 /data
COPY --from=build /opt/venv /opt/venv
COPY --from=build /app /app
ENV PATH=/opt/venv/bin:/usr/local/bin:/usr/bin:/bin \
    HOME=/tmp \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    GATEWAY_ENV_FILE=/dev/null \
    GATEWAY_DATA_DIR=/data \
    HOST=0.0.0.0 \
    PORT=8000
WORKDIR /app
USER 1000:1000
VOLUME ["/data"]
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=15s --timeout=5s --start-period=60s --retries=3 \
    CMD ["python", "/app/ops/docker/healthcheck.py"]
ENTRYPOINT ["tini", "--", "/app/ops/docker/entrypoint.sh"]
CMD ["all"]
