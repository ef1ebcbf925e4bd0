# PostgreSQL with what backups need, and the image of the service "backup", which is the same PostgreSQL and the project's
# Python beside it: pgBackRest works on the server's files, as its user, in its version. Build it from the project's folder.
FROM postgres:18.1-bookworm AS postgres
RUN apt-get update \
 && apt-get install -y --no-install-recommends pgbackrest \
 && rm -rf /var/lib/apt/lists/*
USER postgres

FROM postgres AS build
USER root
RUN apt-get update \
 && apt-get install -y --no-install-recommends python3-venv
COPY requirements.lock /build/
RUN python3 -m venv /opt/pipeline-python \
 && /opt/pipeline-python/bin/python -m pip --no-cache-dir --disable-pip-version-check \
        install --require-hashes --only-binary :all: -r /build/requirements.lock \
 && /opt/pipeline-python/bin/python -m pip --no-cache-dir uninstall -y pip setuptools \
 && python3 -m compileall -q -j 0 /opt/pipeline-python/lib
COPY .env.example /opt/pipeline/
COPY Database-Init /opt/pipeline/Database-Init
COPY Database/Backup.sh Database/Verify_Backup.sh /opt/pipeline/Database/
COPY Administrator_scripts /opt/pipeline/Administrator_scripts
COPY Python_Files /opt/pipeline/Python_Files
RUN ln -s /opt/pipeline-python /opt/pipeline/.venv \
 && chmod -R u=rwX,go=rX /opt/pipeline \
 && /opt/pipeline-python/bin/python -m compileall -q -j 0 /opt/pipeline/Python_Files

FROM postgres AS backup
USER root
RUN apt-get update \
 && apt-get install -y --no-install-recommends python3 \
 && rm -rf /var/lib/apt/lists/* \
 && install -d -o postgres -g postgres /var/lib/metrics
COPY --from=build /opt/pipeline-python /opt/pipeline-python
COPY --from=build /opt/pipeline /opt/pipeline
# PIPELINE_INSIDE: the scripts are in a container already and do not look for one.
ENV PATH=/opt/pipeline-python/bin:$PATH \
    PYTHONPATH=/opt/pipeline/Python_Files \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    PIPELINE_INSIDE=backup \
    PIPELINE_ENV_FILE=/run/handed/env \
    PIPELINE_ENV_ORIGINAL=/run/handed/env.original
WORKDIR /opt/pipeline
USER postgres
ENTRYPOINT []
CMD ["python", "-m", "pipeline.scheduler", "--only", "backup"]
