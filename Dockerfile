# The action's image, and the same program as `docker run IMAGE probe URL`.
# A build without a registry may name another base: docker build --build-arg BASE=…
ARG BASE=python:3.13-slim

FROM ${BASE} AS build
WORKDIR /build
RUN python -m venv --without-pip /opt/venv
COPY requirements/runtime.txt .
RUN python -m pip --python /opt/venv/bin/python install --no-cache-dir --disable-pip-version-check --no-compile --require-hashes -r runtime.txt
COPY sse_check/ sse_check/
RUN cp -r sse_check "$(/opt/venv/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')"
# A cold start pays for every module that has to be compiled, so none has.
RUN /opt/venv/bin/python -m compileall -q /opt/venv/lib

FROM ${BASE}
LABEL org.opencontainers.image.title="sse-check" \
      org.opencontainers.image.description="Do Server-Sent Events really stream through this deployment?" \
      org.opencontainers.image.source="https://github.com/org/sse-check" \
      org.opencontainers.image.licenses="MIT"
COPY --from=build /opt/venv /opt/venv
COPY entrypoint.py /opt/sse-check/entrypoint.py
# As root: GitHub mounts the workspace and its files for root and asks for no other user.
# -I: PYTHON* variables that earlier steps of the job exported must not reach this interpreter; -u: the log is live.
ENTRYPOINT ["/opt/venv/bin/python", "-I", "-u", "/opt/sse-check/entrypoint.py"]
