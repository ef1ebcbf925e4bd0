# PostgreSQL with what backups need. It runs as its own user from the first process on.
FROM postgres:18.1-bookworm
RUN apt-get update \
 && apt-get install -y --no-install-recommends pgbackrest \
 && rm -rf /var/lib/apt/lists/*
USER postgres
