#!/usr/bin/env bash
set -Eeuo pipefail
cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.."
# shellcheck source=Administrator_scripts/lib.sh
. Administrator_scripts/lib.sh

usage() {
    cat <<'TEXT'
Says how many processes (or containers) a stage has: writes it into .env, and starts or ends processes at once when the
pipeline runs.

usage: Administrator_scripts/Scale.sh STAGE NUMBER
  STAGE    as Status.sh names the stages: 1-Add_Timestamp, 2-Add_Label, 3-Add_Database-postgresql, 3-Add_Database-nocodb
  NUMBER   0 (the stage pauses) to KAFKA_PARTITIONS (more would have nothing to read)

example: Administrator_scripts/Scale.sh 2-Add_Label 3
TEXT
}

main() {
    case "${1:-}" in
        -h | --help) usage && return ;;
    esac
    (($# == 2)) || wrong_usage "it wants a stage and a number"
    or_in_containers scale "$@"
    is_installed
    # .env may lie where only the caller may write; the processes are the service user's.
    "$PYTHON" -m pipeline.operations record-scale "$@"
    operations scale "$1"
}

main "$@"
