"""The providers: values in, API calls out. No tables, no settings, no Celery."""
