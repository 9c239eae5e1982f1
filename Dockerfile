# syntax=docker/dockerfile:1
# The proxy, and nothing else: no compiler, no shell scripts of ours, no PostgreSQL. It runs as an
# ordinary user on a read-only file system; the access log is the one thing it writes.
#
#   docker run --read-only --tmpfs /tmp \
#     -v ./consent-proxy.yaml:/etc/consent-proxy/consent-proxy.yaml:ro \
#     -v ./policies:/etc/consent-proxy/policies:ro -v ./secrets.yaml:/etc/consent-proxy/secrets.yaml \
#     -v access-log:/var/lib/consent-proxy -p 6432:6432 -p 8432:8432 consent-proxy

ARG PYTHON_VERSION=3.13

FROM python:${PYTHON_VERSION}-slim-bookworm AS build
RUN apt-get update \
    && apt-get install -y --no-install-recommends gcc libc6-dev \
    && rm -rf /var/lib/apt/lists/*
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INPUT=1
WORKDIR /source

# The locks first: a change of code does not install everything again.
COPY requirements.txt requirements-build.txt requirements-compiled.txt ./
RUN python -m venv /opt/consent-proxy \
    && /opt/consent-proxy/bin/pip install --require-hashes --no-deps -r requirements.txt \
    && { /opt/consent-proxy/bin/pip install --require-hashes --no-deps --only-binary :all: \
             -r requirements-compiled.txt || echo "no compiled sqlglot for this platform"; }
RUN python -m venv /opt/build \
    && /opt/build/bin/pip install --require-hashes --no-deps -r requirements-build.txt

# Compiled beside the sources by the tools of the build, and packed into the wheel with them.
COPY pyproject.toml LICENSE README.md requirements.in requirements-demo.in requirements-compiled.in build_core.py ./
COPY policies ./policies
COPY proxy ./proxy
RUN /opt/build/bin/python build_core.py \
    && /opt/build/bin/pip wheel --no-deps --no-build-isolation --wheel-dir /wheels . \
    && /opt/consent-proxy/bin/pip install --no-deps /wheels/*.whl \
    && /opt/consent-proxy/bin/python -m compileall -q /opt/consent-proxy/lib \
    && /opt/consent-proxy/bin/consent-proxy --help >/dev/null

FROM python:${PYTHON_VERSION}-slim-bookworm
LABEL org.opencontainers.image.title="consent-proxy" \
      org.opencontainers.image.description="Shows each tool only what each person agreed to, and records every access" \
      org.opencontainers.image.licenses="Apache-2.0"

# A number above 10000 is nobody on the host, whatever the host's own users are.
RUN groupadd --gid 10432 consent-proxy \
    && useradd --uid 10432 --gid 10432 --no-create-home --home-dir /nonexistent \
               --shell /usr/sbin/nologin consent-proxy \
    && install -d -o 10432 -g 10432 -m 0700 /var/lib/consent-proxy \
    && install -d -m 0755 /etc/consent-proxy
COPY --from=build /opt/consent-proxy /opt/consent-proxy

ENV PATH=/opt/consent-proxy/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    CONSENT_PROXY_CONFIG=/etc/consent-proxy/consent-proxy.yaml \
    CONSENT_PROXY_ACCESS_LOG_FOLDER=/var/lib/consent-proxy/access-log
WORKDIR /etc/consent-proxy
VOLUME /var/lib/consent-proxy
EXPOSE 6432 8432
USER 10432:10432

# SIGTERM drains for limits.drain_s and closes the access log; give it the time (--stop-timeout).
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s --retries=3 \
    CMD ["python", "-m", "proxy.health", "/healthz"]
ENTRYPOINT ["consent-proxy"]
CMD ["serve"]
