"""All of the sync that knows Airflow: the DAG files and the plugin import it from the plugins folder."""
