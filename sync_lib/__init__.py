"""Two-way contact sync between Business Central and Outlook. This package never imports Airflow."""
