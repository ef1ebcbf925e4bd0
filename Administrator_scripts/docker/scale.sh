#!/usr/bin/env bash
set -Eeuo pipefail
cd -- "$(dirname -- "${BASH_SOURCE[0]}")/../.."
# shellcheck source=Administrator_scripts/lib.sh
. Administrator_scripts/lib.sh
# shellcheck source=Administrator_scripts/docker/compose.sh
. Administrator_scripts/docker/compose.sh

usage() {
    cat <<'TEXT'
The container way of Scale.sh: says how many containers a stage has. It holds until the containers are removed.

usage: Administrator_scripts/docker/scale.sh STAGE NUMBER

example: Administrator_scripts/docker/scale.sh 2-Add_Label 3
TEXT
}

main() {
    local service most
    case "${1:-}" in
        -h | --help) usage && return ;;
    esac
    (($# == 2)) || wrong_usage "it wants a stage and a number"
    check_engine
    need_env
    service="$(service_of "$1")"
    most="$(setting KAFKA_PARTITIONS 6)"
    [[ "$service" == add-* ]] || wrong_usage "'$1' is not a stage"
    if [[ ! "$2" =~ ^[0-9]{1,3}$ ]] || (($2 > most)); then
        wrong_usage "'$2' is not possible; allowed: 0 to $most, the number of partitions (KAFKA_PARTITIONS)"
    fi
    compose up --detach --no-deps --no-recreate --scale "$service=$2" "$service"
}

main "$@"
