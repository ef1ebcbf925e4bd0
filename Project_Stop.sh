#!/usr/bin/env bash
set -Eeuo pipefail
cd -- "$(dirname -- "${BASH_SOURCE[0]}")"
# shellcheck source=Administrator_scripts/lib.sh
. Administrator_scripts/lib.sh

usage() {
    cat <<'TEXT'
Stops the pipeline: the stages finish the batch at hand, then the servers end, all within 30 seconds. The data stays.

usage: ./Project_Stop.sh
TEXT
}

main() {
    or_in_containers stop "$@"
    case "${1:-}" in
        "") operations stop ;;
        -h | --help) usage ;;
        *) wrong_usage "'$1' is not an argument of this script" ;;
    esac
}

main "$@"
