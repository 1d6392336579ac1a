# The action's image, and the same program as `docker run IMAGE probe URL`.
# A build without a registry may name another base: docker build --build-arg BASE=…
# A release pins it: --build-arg BASE=python:3.13-slim@sha256:…
ARG BASE=python:3.13-slim

FROM ${BASE} AS build
WORKDIR /build
RUN python -m venv --without-pip /opt/venv
# Where the package index cannot be reached from a build, `wheels/` beside this file is used instead (.ci/install-container).
COPY requirements/runtime.txt wheel[s] /build/
RUN set -- --no-cache-dir --disable-pip-version-check --no-compile --require-hashes --only-binary :all: && \
    if ls ./*.whl >/dev/null 2>&1; then set -- "$@" --no-index --find-links .; fi && \
    python -m pip --python /opt/venv/bin/python install "$@" -r runtime.txt
COPY sse_check/ sse_check/
RUN cp -r sse_check "$(/opt/venv/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')"
# A cold start pays for every module that has to be compiled, so none has. By hash, unchecked: the files never change again.
RUN /opt/venv/bin/python -m compileall -q -j 0 --invalidation-mode unchecked-hash /opt/venv/lib

FROM ${BASE}
# The base comes with its standard library uncompiled; what sse-check never imports stays so.
RUN python -m compileall -q -j 0 --invalidation-mode unchecked-hash \
        -x '/(site-packages|dist-packages|test|tests|idlelib|turtledemo|tkinter|ensurepip|lib2to3|pydoc_data|venv)/' \
        "$(python -c 'import sysconfig; print(sysconfig.get_path("stdlib"))')"
COPY --from=build /opt/venv /opt/venv
COPY entrypoint.py /opt/sse-check/entrypoint.py
ARG VERSION=dev
ARG REVISION=unknown
LABEL org.opencontainers.image.title="sse-check" \
      org.opencontainers.image.description="Do Server-Sent Events really stream through this deployment?" \
      org.opencontainers.image.source="https://github.com/org/sse-check" \
      org.opencontainers.image.documentation="https://github.com/org/sse-check/blob/main/README.md" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
# As root: GitHub mounts the workspace and its files for root and asks for no other user.
# -I: PYTHON* variables that earlier steps of the job exported must not reach this interpreter; -u: the log is live.
ENTRYPOINT ["/opt/venv/bin/python", "-I", "-u", "/opt/sse-check/entrypoint.py"]
