#!/usr/bin/env bash
set -Eeuo pipefail
cd -- "$(dirname -- "${BASH_SOURCE[0]}")/../.."
# shellcheck source=Administrator_scripts/lib.sh
. Administrator_scripts/lib.sh
# shellcheck source=Administrator_scripts/docker/compose.sh
. Administrator_scripts/docker/compose.sh
# shellcheck source=Administrator_scripts/docker/env_file.sh
. Administrator_scripts/docker/env_file.sh

usage() {
    cat <<'TEXT'
The container way of Scale.sh: writes into .env how many containers a stage has, and starts or ends containers at once when
the pipeline runs.

usage: Administrator_scripts/docker/scale.sh STAGE NUMBER

example: Administrator_scripts/docker/scale.sh 2-Add_Label 3
TEXT
}

main() {
    local begin service counted said
    case "${1:-}" in
        -h | --help) usage && return ;;
    esac
    (($# == 2)) || wrong_usage "it wants a stage and a number"
    [[ "$2" =~ ^[0-9]{1,4}$ ]] || wrong_usage "'$2' is not a number of containers"
    check_engine
    check_project
    need_env
    need_image
    on_env_file record-scale "$@"
    service="$(service_of "$1")"
    counted="$2 container$( (($2 == 1)) || printf s)"
    if ! is_running kafka; then
        tell "$1" "will have $counted at the next start"
        return
    fi
    begin="$(now)"
    # The containers that stay are not stopped: they merely share the partitions anew.
    if ! said="$(compose --progress quiet up --detach --no-deps --no-recreate --wait --wait-timeout 300 "$service" 2>&1)"; then
        fail "$1 does not have $counted that work" "${said##*$'\n'}" "See Administrator_scripts/Logs.sh $1. The number is in .env, and holds from now on."
    fi
    tell "$1" "has $counted" "$(since "$begin")"
}

main "$@"
