# The image that Airbyte runs. Two stages, so that nothing is in it but what runs.
ARG BASE_IMAGE=docker.io/airbyte/python-connector-base:4.1.1@sha256:a268b44c733ae699a60f5fbc06a324945dba98945c6e2ab7f8609f2f895b0d28

FROM ${BASE_IMAGE} AS builder
WORKDIR /build
COPY requirements/uv.txt ./
RUN python -m venv /tools && /tools/bin/pip install --quiet --no-cache-dir --require-hashes --requirement uv.txt
# An environment of its own: the base image has packages too, in other versions.
RUN python -m venv --without-pip /opt/source-docebo
# The certificates are the system's, where a base image may have those of a proxy.
ENV VIRTUAL_ENV="/opt/source-docebo" UV_COMPILE_BYTECODE="1" UV_NO_CACHE="1" UV_SYSTEM_CERTS="1"
# The hash of every file is checked, so that two builds hold the same versions.
COPY requirements/image.txt ./
RUN /tools/bin/uv pip install --quiet --no-deps --require-hashes --requirement image.txt
COPY pyproject.toml README.md LICENSE manifest.yaml ./
COPY source_docebo ./source_docebo
RUN /tools/bin/uv pip install --quiet --no-deps .

FROM ${BASE_IMAGE}
COPY --from=builder /opt/source-docebo /opt/source-docebo
# Each thread would get an arena of its own from malloc, which keeps memory that one thread has freed from the others.
ENV PATH="/opt/source-docebo/bin:${PATH}" MALLOC_ARENA_MAX="2"
WORKDIR /airbyte/integration_code
USER airbyte
# The platform runs the variable, everybody else the entry point.
ENV AIRBYTE_ENTRYPOINT="source-docebo"
ENTRYPOINT ["source-docebo"]
# The release adds the address of the repository, which only it knows.
LABEL io.airbyte.name="airbyte/source-docebo" \
    io.airbyte.version="0.3.0" \
    org.opencontainers.image.title="source-docebo" \
    org.opencontainers.image.version="0.3.0" \
    org.opencontainers.image.licenses="MIT"
