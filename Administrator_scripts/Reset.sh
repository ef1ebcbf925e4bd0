#!/usr/bin/env bash
set -Eeuo pipefail
cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.."
# shellcheck source=Administrator_scripts/lib.sh
. Administrator_scripts/lib.sh

usage() {
    cat <<'TEXT'
Deletes all data of this project and nothing else: stops it, then empties DATA_DIR (the people, the topics, NocoDB's base,
the logs, the backups that lie there), in the container way the containers and volumes and the backups below DATA_DIR. The
settings in .env and what is installed stay; backups elsewhere are set aside. Asks first.

usage: Administrator_scripts/Reset.sh [--yes]
       Administrator_scripts/Reset.sh --source SOURCE [--yes]
  --yes             do not ask
  --source SOURCE   remove only the people of one source (stand-in, file, randomuser.me) from both stores, and record it

example: Administrator_scripts/Reset.sh --source stand-in
TEXT
}

main() {
    if asks_for_help "$@"; then usage && return; fi
    or_in_containers reset "$@"
    operations reset "$@"
}

main "$@"
