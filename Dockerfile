# The image that Airbyte runs. Two stages, so that nothing is in it but what runs.
ARG BASE_IMAGE=docker.io/airbyte/python-connector-base:4.1.1@sha256:a268b44c733ae699a60f5fbc06a324945dba98945c6e2ab7f8609f2f895b0d28

FROM ${BASE_IMAGE} AS builder
WORKDIR /build
RUN python -m venv /tools && /tools/bin/pip install --quiet "poetry==2.5.1" "poetry-plugin-export==1.10.1"
# An environment of its own: the base image has packages too, in other versions.
RUN python -m venv --without-pip /opt/source-docebo
COPY pyproject.toml poetry.lock ./
# Dependencies come from poetry.lock, with the hash of every file, so that two builds hold the same versions.
RUN /tools/bin/poetry export --quiet --output requirements.txt \
    && /tools/bin/pip --python /opt/source-docebo install --quiet --no-cache-dir --no-deps --require-hashes \
       --requirement requirements.txt
COPY README.md LICENSE manifest.yaml ./
COPY source_docebo ./source_docebo
RUN /tools/bin/pip --python /opt/source-docebo install --quiet --no-cache-dir --no-deps .

FROM ${BASE_IMAGE}
COPY --from=builder /opt/source-docebo /opt/source-docebo
ENV PATH="/opt/source-docebo/bin:${PATH}"
WORKDIR /airbyte/integration_code
USER airbyte
# The platform runs the variable, everybody else the entry point.
ENV AIRBYTE_ENTRYPOINT="source-docebo"
ENTRYPOINT ["source-docebo"]
LABEL io.airbyte.name="airbyte/source-docebo" io.airbyte.version="0.1.0"
