#!/usr/bin/env bash
set -Eeuo pipefail
cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.."
# shellcheck source=Administrator_scripts/lib.sh
. Administrator_scripts/lib.sh

usage() {
    cat <<'TEXT'
Says what runs, how far each stage is behind, how many people were fetched and stored, and where to look.

usage: Administrator_scripts/Status.sh [--json]
  --json   one JSON object for programs
TEXT
}

main() {
    local argument
    for argument in "$@"; do
        case "$argument" in
            -h | --help) usage && return ;;
        esac
    done
    or_in_containers status "$@"
    [[ -x "$PYTHON" ]] || fail "the pipeline is not installed" "there is no $PYTHON" "Run ./Project_Initialize.sh first."
    as_service_user "$PYTHON" -m pipeline.status "$@"
}

main "$@"
