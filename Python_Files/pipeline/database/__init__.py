"""PostgreSQL as the pipeline uses it. This package is the only place that imports psycopg2."""
