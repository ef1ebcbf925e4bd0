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
    if asks_for_help "$@"; then usage && return; fi
    or_in_containers status "$@"
    run_python -m pipeline.status "$@"
}

main "$@"
