#!/usr/bin/env bash
set -Eeuo pipefail
cd -- "$(dirname -- "${BASH_SOURCE[0]}")/../.."
# shellcheck source=Administrator_scripts/lib.sh
. Administrator_scripts/lib.sh
# shellcheck source=Administrator_scripts/docker/compose.sh
. Administrator_scripts/docker/compose.sh

usage() {
    cat <<'TEXT'
The container way of Project_Stop.sh: the stages finish the batch at hand, then the servers end. The data stays, and so do
the logs.

usage: Administrator_scripts/docker/stop.sh
TEXT
}

main() {
    local begin
    case "${1:-}" in
        "") ;;
        -h | --help) usage && return ;;
        *) wrong_usage "'$1' is not an argument of this script" ;;
    esac
    check_engine
    need_env
    begin="$(now)"
    compose --progress "$([[ -t 2 ]] && printf auto || printf quiet)" stop
    tell Pipeline "stopped; the data stays" "$(since "$begin")"
}

main "$@"
