#!/usr/bin/env bash
set -Eeuo pipefail
cd -- "$(dirname -- "${BASH_SOURCE[0]}")/../.."
# shellcheck source=Administrator_scripts/lib.sh
. Administrator_scripts/lib.sh
# shellcheck source=Administrator_scripts/docker/compose.sh
. Administrator_scripts/docker/compose.sh

# What uses PostgreSQL. The feed, the first two stages and Kafka go on.
SINKS=(add-database-postgresql add-database-nocodb)
SERVICES=("${SINKS[@]}" nocodb backup postgres)
FETCHED=3 ONLY_PIPELINE=4 # pipeline/containers/restoring.py
STOPPED=""

usage() {
    cat <<'TEXT'
The container way of Restore.sh. Its arguments are that script's.

usage: Administrator_scripts/docker/restore.sh --to TIME | --to POINT | --latest [--only pipeline] [--dry-run] [--yes]
       Administrator_scripts/docker/restore.sh --to TIME | --to POINT --only files [--dry-run]
       Administrator_scripts/docker/restore.sh --drop-old NAME
TEXT
}

main() {
    local begin offline="" ran="" status=0
    ! asks_for_help "$@" || { usage && return; }
    check_engine
    check_project
    need_env
    if ! images_are_current || ! others_are_there; then
        fail "the images are not there, or older than the project's files" "nothing was changed" "Run ./Project_Initialize.sh first."
    fi
    be_alone
    # What the steps know each other by: what one run has fetched is not for another.
    export PIPELINE_RESTORE_KEY="$$-$EPOCHREALTIME"
    is_running backup || in_container settings </dev/null
    if [[ " ${*//=/ } " == *" --only files "* ]]; then
        in_container restore-files -m pipeline.backup.restore_command "$@"
        return
    fi
    begin="$(now)"
    in_container restore -m pipeline.backup.restore_command "$@" || status=$?
    if ((status == ONLY_PIPELINE)); then
        only_pipeline
        return
    fi
    ((status == FETCHED)) || exit "$status"
    [[ " $* " == *" --yes "* ]] || begin="$(now)" # less the time in which the question stood

    ! is_running kafka || ran=true
    [[ "$(in_container setup -m pipeline.move feed </dev/null)" != offline ]] || offline=true
    STOPPED=true
    trap 'tell_stopped' EXIT
    compose --progress quiet stop "${SERVICES[@]}"
    tell Pipeline "what uses PostgreSQL is stopped" "$(since "$begin")"
    if ! in_container restore -m pipeline.containers restore-finish </dev/null; then
        [[ -z "$ran" ]] || start "the restore failed; what was stopped is started again" "$offline" || true # it has told why; the restore has failed in any case
        STOPPED=""
        exit 1
    fi
    in_container restore-files -m pipeline.containers restore-files </dev/null || true # it has told why
    note
    start "" "$offline" || fail "the databases are restored, and the rest does not start" "the lines above say why" \
        "./Project_Start.sh tries again."
    STOPPED=""
    tell Restore "databases restored, pipeline running (RTO)" "$(since "$begin")"
    compose exec -T get-data python -m pipeline.containers restore-complete --already "$(since "$begin")"
}

# be_alone: no other restore of this installation from here on, until this process and its children have ended.
be_alone() {
    local lock
    command -v flock >/dev/null || return 0 # the containers have locks of their own
    exec {lock}<"$ENV_FILE"
    flock --nonblock "$lock" || fail "another restore is running" "" "Try again when it has ended."
}

# in_container SERVICE [ARGUMENT...]: Python in a container of its own, with the settings of the service.
in_container() {
    local service="$1" command=() terminal=(-T)
    shift
    (($# == 0)) || command=(python "$@")
    [[ ! -t 0 || ! -t 1 ]] || terminal=()
    compose --progress quiet run --rm --no-deps ${terminal[@]+"${terminal[@]}"} --env PIPELINE_RESTORE_KEY \
        "$service" ${command[@]+"${command[@]}"}
}

# note: a point on the new timeline before the rest starts, so that the next restore knows which way the history went.
note() {
    local said
    if ! said="$(compose --progress quiet up --detach --wait --wait-timeout 600 postgres 2>&1)" ||
        ! said="$(in_container setup-postgres -m pipeline.containers setup-postgres 2>&1 </dev/null)" ||
        ! said="$(in_container backup -m pipeline.backup.command 2>&1 </dev/null)"; then
        printf '*** no backup of the restored databases yet; Database/Backup.sh tries again: %s\n' "${said##*$'\n'}"
        return
    fi
    printf '%s\n' "$said"
}

# only_pipeline: that step, which asks for the sinks to be stopped and started by lines that begin with @. Ends with its status.
only_pipeline() {
    local service line pipe answers heard ran=()
    for service in "${SINKS[@]}"; do ! is_running "$service" || ran+=("$service"); done
    pipe="$(mktemp -u)"
    mkfifo -m 600 "$pipe"
    exec {answers}<>"$pipe"
    exec {heard}<"$pipe"
    rm "$pipe"
    # It must not hold the writing end itself: with this script killed, it hears the end of the answers and undoes all.
    in_container restore -m pipeline.containers restore-only-pipeline <&"$heard" {answers}>&- | while IFS= read -r line; do
        case "$line" in
            @stop*) on_sinks stop ${ran[@]+"${ran[@]}"} >&"$answers" ;;
            @start*) on_sinks start ${ran[@]+"${ran[@]}"} >&"$answers" ;;
            *) printf '%s\n' "$line" ;;
        esac
    done
}

# on_sinks stop|start SERVICE...: prints ok, or why not, in one line.
on_sinks() {
    local told status=0 command=(stop)
    [[ "$1" == stop ]] || command=(up --detach --no-deps --no-recreate --wait --wait-timeout 300)
    shift
    (($# == 0)) || told="$(compose --progress quiet "${command[@]}" "$@" 2>&1 </dev/null)" || status=$?
    if ((status == 0)); then echo ok; else printf '%s\n' "${told##*$'\n'}"; fi
}

# start WHY OFFLINE: the pipeline, with the feed that it had.
start() {
    [[ -z "$1" ]] || printf '*** %s\n' "$1"
    Administrator_scripts/docker/start.sh ${2:+--offline}
}

tell_stopped() {
    [[ -z "$STOPPED" ]] || printf '*** what uses PostgreSQL was stopped; ./Project_Start.sh starts it\n' >&2
}

main "$@"
