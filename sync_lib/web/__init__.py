"""The pages in Airflow's interface: server-rendered HTML, with htmx for what changes while one looks.

One module per page (``overview`` ...) holds its routes; its queries are in ``sync_lib.store``, its templates in
``templates`` under the same name. Whoever serves the pages hands in logins, permissions and the database (``seams``).
Nothing here imports Airflow.
"""
