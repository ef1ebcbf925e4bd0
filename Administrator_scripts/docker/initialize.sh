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
The container way of Project_Initialize.sh: builds and fetches the images, if they are not there or the project's files
have changed, and writes .env. Safe to repeat.

usage: Administrator_scripts/docker/initialize.sh
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
    check_project
    check_memory
    check_address
    if ! images_are_current || ! others_are_there; then check_room; fi
    begin="$(now)"
    if images_are_current; then
        tell Images "of this project are there"
    else
        build
        tell Images "of this project are built" "$(since "$begin")"
    fi
    write_env
    compose config --quiet
    begin="$(now)"
    if ! others_are_there; then
        fetch
        tell Images "of Kafka and NocoDB fetched" "$(since "$begin")"
    fi
    tell Data "is prepared at the start; ./Project_Start.sh starts the pipeline"
}

main "$@"
