#!/usr/bin/env bash
# The container side of Move.sh. To be sourced after lib.sh, docker/compose.sh and native/move.sh; nothing happens by
# sourcing.

# What is asked of the services' Python: the settings and the network of the stages, and nothing else is started.
docker_python() {
    compose --progress quiet run --rm --no-deps -T setup python -m pipeline.move "$@" </dev/null
}

# docker_data: the volumes with data of this installation, one a line; nothing when there is none.
docker_data() {
    docker volume ls --quiet | grep -E "^${PROJECT}_.*-data\$" || true # no volume is no fault
}

docker_removal() {
    printf 'cd %q && docker compose --env-file %q --project-name %s down --volumes' "$ROOT" "$ENV_FILE" "$PROJECT"
}

docker_runs() {
    is_running postgres
}

docker_major() {
    docker run --rm --network none --entrypoint postgres "$(postgres_image)" --version |
        sed -nE 's/^postgres \(PostgreSQL\) ([0-9]+).*/\1/p'
}

# docker_make_fit: builds and fetches the images, and asks for what the containers could not start without. Changes no data
# and no settings.
docker_make_fit() {
    local host
    check_project
    check_memory
    host="$(setting NOCODB_HOST 127.0.0.1)" # its port is the same in both ways, and taken by the side that runs
    [[ "$host" =~ ^[0-9A-Fa-f.:]+$ ]] ||
        fail "NOCODB_HOST is '$host'; allowed in the container way: an IP address" "" "Change it in $ENV_FILE first."
    if ! images_are_current; then
        check_room
        build
    fi
    fetch
    check_postgres_data
}

docker_feed() {
    docker_python feed
}

docker_run_without_feed() {
    compose --progress quiet stop get-data api # whoever could still bring people
    PIPELINE_OFFLINE="$([[ "$FEED" != offline ]] || printf true)" \
        compose --progress quiet up --detach --wait --wait-timeout 600 "${STAGES[@]}"
}

docker_settle() {
    docker_python settle
}

docker_database_only() {
    local others
    mapfile -t others < <(compose config --services | grep -vx postgres)
    compose --progress quiet stop "${others[@]}"
}

# docker_prepare FEED: a new cluster with empty databases, and the volume of NocoDB's files.
docker_prepare() {
    # What pgBackRest noted about an older cluster: the new one's WAL has the same names.
    docker volume rm --force "${PROJECT}_backup-work" >/dev/null
    compose --progress quiet create
    compose --progress quiet up --detach --wait --wait-timeout 300 postgres
    docker_python empty
    [[ "$1" != until-reachable ]] || docker_python feed --set "$1"
}

# docker_dump DATABASE: its dump, through the socket, which wants no password.
docker_dump() {
    compose exec -T postgres pg_dump --format custom --compress 0 --lock-wait-timeout 60s -U postgres "$1" </dev/null
}

# native_dump DATABASE: the native side's dump by the image's pg_dump, the newer one. It reaches the server through its
# socket, as the user whose process that is: no password, no network. Nothing that it says is logged by the engine.
native_dump() {
    docker run --rm --network none --log-driver none --read-only --cap-drop ALL \
        --security-opt no-new-privileges --security-opt label=disable --user "$(native_owner)" \
        --volume "$(native_directory)/run:/run/native" --entrypoint pg_dump "$(postgres_image)" \
        --format custom --compress 0 --lock-wait-timeout 60s --no-password -U postgres \
        -h /run/native -p "$(setting POSTGRES_PORT 55432)" "$1" </dev/null
}

docker_restore() {
    compose exec -T postgres pg_restore --exit-on-error -U postgres -d "$1"
}

docker_contents() {
    docker_python contents
}

# docker_with_files COMMAND...: runs it where NocoDB's files are /files.
docker_with_files() {
    docker run --rm --interactive --network none --log-driver none --read-only --user 0:0 --cap-drop ALL \
        --security-opt no-new-privileges --volume "${PROJECT}_nocodb-data:/files" "$PIPELINE_IMAGE" "$@"
}

docker_files_out() {
    docker_with_files tar -C /files -cf - . </dev/null
}

docker_files_in() {
    docker_with_files tar -C /files --no-same-owner -xf -
}

docker_files_sum() {
    docker_with_files bash -c "$FILES_SUM" - /files </dev/null
}

docker_end() {
    compose --progress quiet stop
}

# docker_settle_in: PostgreSQL may run on; a start of the pipeline adds the rest.
docker_settle_in() {
    true
}

docker_discard() {
    compose --progress quiet down --volumes --timeout 30
}

docker_record() {
    "$PYTHON" -m pipeline.containers env-file "$ENV_FILE" --owner "$(stat -c %u:%g "$ENV_FILE")"
}

docker_owner() {
    printf '999:999' # PostgreSQL's user in its image
}

engine_is_rootless() {
    [[ "$(docker info --format '{{.SecurityOptions}}')" == *name=rootless* ]]
}

# with_backups COMMAND...: runs it where the directory of the backups is /backup, with the rights to give it away.
with_backups() {
    local place
    place="$(setting BACKUP_DIR Database/Data/backup)"
    [[ "$place" == /* ]] || place="$ROOT/$place"
    docker run --rm --network none --read-only --user 0:0 --cap-drop ALL --cap-add CHOWN --cap-add DAC_OVERRIDE \
        --cap-add FOWNER --security-opt no-new-privileges --security-opt label=disable --volume "$place:/backup" \
        "$PIPELINE_IMAGE" bash -c "$1" - "${@:2}" </dev/null
}

# backups_aside NAME OWNER: puts the old cluster's backups into a folder of that name, and gives the directory to OWNER.
# Prints whose it was.
backups_aside() {
    # shellcheck disable=SC2016 # it is expanded in the container
    with_backups '
        set -e
        cd /backup
        owner="$(stat -c %u:%g .)"
        mkdir -m 0700 -- "$1"
        for one in repository restore_points.jsonl configuration files; do
            [ ! -e "$one" ] || mv -- "$one" "$1/"
        done
        chown "$owner" "$1"
        chown "$2" .
        printf %s "$owner"
    ' "$@"
}

# backups_back NAME OWNER: undoes it.
backups_back() {
    # shellcheck disable=SC2016 # it is expanded in the container
    with_backups '
        set -e
        cd /backup
        rm -rf -- repository restore_points.jsonl configuration files
        find "$1" -mindepth 1 -maxdepth 1 -exec mv -t . -- {} +
        rmdir -- "$1"
        chown "$2" .
    ' "$@"
}
