#!/usr/bin/env bash
set -Eeuo pipefail
cd -- "$(dirname -- "${BASH_SOURCE[0]}")"
# shellcheck source=Administrator_scripts/lib.sh
. Administrator_scripts/lib.sh
# shellcheck source=Administrator_scripts/way.sh
. Administrator_scripts/way.sh

usage() {
    cat <<'TEXT'
Installs what the pipeline needs and prepares its data: settings, Kafka, PostgreSQL, NocoDB. Safe to repeat: a second run
changes nothing, one after an update applies what is new and keeps the data.

usage: ./Project_Initialize.sh [--native | --docker]
  --native   run the servers as processes of this machine
  --docker   run them in containers
  With neither, the first run chooses: containers where a container engine can run them, else native. The choice is recorded
  in .env (PIPELINE_MODE) and stays; Administrator_scripts/Move.sh takes the data from one way to the other.

Settings given in the environment at the first run are written into .env:
  NOCODB_PORT=8090 ./Project_Initialize.sh
TEXT
}

main() {
    local chosen=""
    while (($#)); do
        case "$1" in
            --native | --docker)
                [[ -z "$chosen" || "$chosen" == "${1#--}" ]] || wrong_usage "--native and --docker exclude each other"
                chosen="${1#--}"
                ;;
            -h | --help) usage && return ;;
            *) wrong_usage "'$1' is not an argument of this script" ;;
        esac
        shift
    done
    choose_way "$chosen"
    [[ "$WAY" != docker ]] || exec Administrator_scripts/docker/initialize.sh
    install_everything
    operations initialize
}

main "$@"
