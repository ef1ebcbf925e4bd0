#!/usr/bin/env bash
# The native side of Move.sh. To be sourced after lib.sh and docker/compose.sh; nothing happens by sourcing.

# native_python MODULE ARGUMENT...: Python of the native installation, whatever way is recorded.
native_python() {
    PIPELINE_MODE=native as_service_user "$PYTHON" -m "$@"
}

native_directory() {
    local data
    data="$(setting DATA_DIR Database/Data)"
    [[ "$data" == /* ]] || data="$ROOT/$data"
    printf '%s' "$data"
}

# native_data: where data of this installation is, one directory a line; nothing when there is none.
native_data() {
    local name
    for name in postgresql kafka nocodb; do
        [[ ! -e "$(native_directory)/$name" ]] || printf '%s\n' "$(native_directory)/$name"
    done
}

# native_removal: the command that deletes that data.
native_removal() {
    printf 'rm -r'
    native_data | while IFS= read -r one; do printf ' %q' "$one"; done
}

native_runs() {
    local pid
    pid="$(cat "$(native_directory)/run/supervisord.pid" 2>/dev/null)" || return 1
    [[ "$pid" =~ ^[0-9]+$ ]] && grep -qs supervisord "/proc/$pid/cmdline"
}

# native_major: the major version of PostgreSQL: of the data, or of the server that would make it.
native_major() {
    local programs
    cat "$(native_directory)/postgresql/PG_VERSION" 2>/dev/null && return
    programs="$(find_postgresql)" || fail "PostgreSQL is not installed" "" "Run ./Project_Initialize.sh --native."
    basename "$(dirname "$programs")"
}

# native_make_fit: installs what the native way needs, and asks for what it could not start without. Changes no data.
native_make_fit() {
    install_everything --without-settings
    PIPELINE_MODE=native "$PYTHON" -m pipeline.move native-check
}

native_feed() {
    native_python pipeline.move feed
}

native_run_without_feed() {
    native_python pipeline.move native-quiet
}

native_settle() {
    native_python pipeline.move settle
}

native_database_only() {
    native_python pipeline.move native-database-only
}

# native_prepare FEED: a new cluster with empty databases, and NocoDB's folder.
native_prepare() {
    # By root for the service user: the settings file and the data directory are to be that user's.
    PIPELINE_MODE=native "$PYTHON" -m pipeline.operations settings --owner "$(service_user)"
    # What pgBackRest noted about an older cluster: the new one's WAL has the same names.
    as_service_user rm -rf -- "$(native_directory)/pgbackrest"
    native_python pipeline.move native-prepare
    native_python pipeline.move empty
    as_service_user mkdir -m 0700 "$(native_directory)/nocodb"
    [[ "$1" != until-reachable ]] || native_python pipeline.move feed --set "$1"
}

# native_program NAME: the path of one of PostgreSQL's programs in the version of the data.
native_program() {
    printf '/usr/lib/postgresql/%s/bin/%s' "$(native_major)" "$1"
}

# native_restore DATABASE: puts the dump on standard input into it, through the socket, which wants no password.
native_restore() {
    as_service_user "$(native_program pg_restore)" --exit-on-error --no-password -U postgres \
        -h "$(native_directory)/run" -p "$(setting POSTGRES_PORT 55432)" -d "$1"
}

native_contents() {
    native_python pipeline.move contents
}

native_files_out() {
    as_service_user tar -C "$(native_directory)/nocodb" -cf - .
}

native_files_in() {
    as_service_user tar -C "$(native_directory)/nocodb" -xf -
}

native_files_sum() {
    as_service_user bash -c "$FILES_SUM" - "$(native_directory)/nocodb"
}

native_end() {
    PIPELINE_MODE=native operations stop
}

# native_settle_in: what native_prepare started ends; a start of the pipeline follows.
native_settle_in() {
    native_python pipeline.move native-end
}

# native_discard: away with the data that this move has made there.
native_discard() {
    native_settle_in
    as_service_user rm -rf -- "$(native_directory)"/{postgresql,postgresql.unfinished,kafka,nocodb}
}

native_record() {
    "$PYTHON" -m pipeline.operations settings --mode native --owner "$(service_user)"
}

# native_owner: whose the directory of the backups is to be, as the engine counts users.
native_owner() {
    if engine_is_rootless; then
        printf '0:0'
    else
        printf '%s:%s' "$(id -u "$(service_user)")" "$(id -g "$(service_user)")"
    fi
}
