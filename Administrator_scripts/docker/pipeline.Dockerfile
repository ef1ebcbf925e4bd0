# The image of everything that this project wrote: feed, stages, preparation. Build it from the project's folder.
# The first stages install and compile; the last has nothing that could, and runs as a user without a name elsewhere.
FROM python:3.12.12-slim-bookworm AS page
RUN apt-get update \
 && apt-get install -y --no-install-recommends npm
COPY Python_Files/pipeline/page/npm /page/
RUN cd /page \
 && npm ci --ignore-scripts --no-audit --no-fund --omit=dev --loglevel=error \
 && chmod -R u=rwX,go=rX /page

FROM python:3.12.12-slim-bookworm AS build
COPY requirements.lock /build/
RUN python -m venv --without-pip /opt/pipeline-python \
 && python -m pip --no-cache-dir --disable-pip-version-check --python /opt/pipeline-python/bin/python \
        install --require-hashes --only-binary :all: -r /build/requirements.lock \
 && python -m compileall -q -j 0 /opt/pipeline-python/lib
COPY .env.example /opt/pipeline/
COPY Database-Init /opt/pipeline/Database-Init
COPY Administrator_scripts/crontab /opt/pipeline/Administrator_scripts/
COPY Administrator_scripts/docker/health.sh /opt/pipeline/Administrator_scripts/docker/
COPY Python_Files /opt/pipeline/Python_Files
# Modes of its own, for a clone may have been made with a closed umask. The bytecode is made here: nothing can be written later.
RUN chmod -R u=rwX,go=rX /opt/pipeline \
 && /opt/pipeline-python/bin/python -m compileall -q -j 0 /opt/pipeline

FROM python:3.12.12-slim-bookworm
RUN groupadd --system --gid 10001 pipeline \
 && useradd --system --uid 10001 --gid 10001 --home-dir /var/lib/pipeline --shell /usr/sbin/nologin pipeline \
 && install -d -o pipeline -g pipeline -m 0700 /var/lib/pipeline /var/lib/pipeline/run
COPY --from=build /opt/pipeline-python /opt/pipeline-python
COPY --from=build /opt/pipeline /opt/pipeline
COPY --from=page /page/node_modules /opt/pipeline-page
ENV PATH=/opt/pipeline-python/bin:$PATH \
    PYTHONPATH=/opt/pipeline/Python_Files \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    PIPELINE_ENV_FILE=/run/pipeline/env \
    PIPELINE_PAGE_PACKAGES=/opt/pipeline-page
WORKDIR /opt/pipeline
USER pipeline
CMD ["python", "-m", "pipeline.containers", "--help"]
