#!/usr/bin/env bash
set -Eeuo pipefail
cd -- "$(dirname -- "${BASH_SOURCE[0]}")/../.."
# shellcheck source=Administrator_scripts/lib.sh
. Administrator_scripts/lib.sh
# shellcheck source=Administrator_scripts/docker/compose.sh
. Administrator_scripts/docker/compose.sh

usage() {
    cat <<'TEXT'
The container way of Logs.sh: the last log lines of all services, or of one.

usage: Administrator_scripts/docker/logs.sh [NAME] [-f] [-n LINES]
TEXT
}

main() {
    local arguments=(--tail 20) service=""
    while (($#)); do
        case "$1" in
            -h | --help) usage && return ;;
            -f | --follow) arguments+=(--follow) ;;
            -n | --lines)
                [[ "${2:-}" =~ ^[0-9]+$ ]] || wrong_usage "-n wants a number"
                arguments+=(--tail "$2")
                shift
                ;;
            -*) wrong_usage "'$1' is not an argument of this script" ;;
            *) service="$(service_of "$1")" ;;
        esac
        shift
    done
    check_engine
    need_env
    compose logs "${arguments[@]}" ${service:+"$service"}
}

main "$@"
