#!/usr/bin/env bash
set -Eeuo pipefail
cd -- "$(dirname -- "${BASH_SOURCE[0]}")"
# shellcheck source=Administrator_scripts/lib.sh
. Administrator_scripts/lib.sh
# shellcheck source=Administrator_scripts/way.sh
. Administrator_scripts/way.sh

usage() {
    cat <<'TEXT'
Starts the pipeline and waits until every part is really ready and the first people are in both stores. On a fresh clone
it does first what ./Project_Initialize.sh does, after an update what is new of it. Does no harm when the pipeline runs
already.

usage: ./Project_Start.sh [--offline]
  --offline   feed from the bundled stand-in of the API instead of randomuser.me, until a start without --offline
TEXT
}

main() {
    local arguments=()
    while (($#)); do
        case "$1" in
            --offline) arguments+=("$1") ;;
            --only) # for the tests: --only postgresql,kafka
                (($# > 1)) || wrong_usage "--only wants the names of parts"
                arguments+=("$1" "$2")
                shift
                ;;
            -h | --help) usage && return ;;
            *) wrong_usage "'$1' is not an argument of this script" ;;
        esac
        shift
    done
    choose_way --keep
    [[ "$WAY" != docker ]] || exec Administrator_scripts/docker/start.sh ${arguments[@]+"${arguments[@]}"}
    if ! supervisor_runs; then
        install_everything
    fi
    operations start "${arguments[@]}"
}

# Whether it runs already; then nothing is installed under its feet.
supervisor_runs() {
    local data pid
    data="$(setting DATA_DIR Database/Data)"
    [[ -x "$PYTHON" && -r "$data/run/supervisord.pid" ]] || return 1
    pid="$(<"$data/run/supervisord.pid")"
    [[ "$pid" =~ ^[0-9]+$ ]] && grep -qs supervisord "/proc/$pid/cmdline"
}

main "$@"
