#!/bin/bash
# Run once by the PostgreSQL image, on an empty volume: the staging database is not Airflow's, so that it can be
# backed up and restored by itself.
set -eu
psql -v ON_ERROR_STOP=1 -U "$POSTGRES_USER" -v password="$STAGING_PASSWORD" <<'SQL'
CREATE ROLE contact_sync LOGIN PASSWORD :'password';
CREATE DATABASE contact_sync OWNER contact_sync ENCODING 'UTF8';
SQL
