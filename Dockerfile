# Airflow's own image, in the version that requirements.lock pins (tests/test_compose.py holds them together), with
# the locked packages, this project and its DAGs inside: what was tested is what runs, and a start needs no network.
FROM apache/airflow:3.3.2-python3.12

USER airflow
WORKDIR /opt/contact-sync

# The lock changes less often than the code, so this layer is the one that is kept.
COPY --chown=airflow:0 requirements.lock ./
RUN pip install --no-cache-dir --require-hashes -r requirements.lock

COPY --chown=airflow:0 pyproject.toml requirements.txt README.md ./
COPY --chown=airflow:0 sync_lib ./sync_lib
COPY --chown=airflow:0 sandbox ./sandbox
RUN pip install --no-cache-dir --no-deps --no-build-isolation .

WORKDIR /opt/airflow
COPY --chown=airflow:0 dags ./dags
COPY --chown=airflow:0 plugins ./plugins
COPY --chown=airflow:0 config ./config
