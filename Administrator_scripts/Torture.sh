#!/usr/bin/env bash
set -Eeuo pipefail
cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.."
# shellcheck source=Administrator_scripts/lib.sh
. Administrator_scripts/lib.sh
# shellcheck source=Administrator_scripts/native/testing.sh
. Administrator_scripts/native/testing.sh

usage() {
    cat <<'TEXT'
Hurts the pipeline for real and proves that nothing is lost and nothing is twice: starts a native instance of its own in a
scratch directory on free ports, feeds it all the time from the stand-in of the API, and kills, freezes, cuts and fills at
moments that come from a seed. When everything has settled it compares everybody, by uuid, in Kafka, PostgreSQL and NocoDB.
An instance that runs here is left alone. Run by root it fills PostgreSQL's disk, too; the clock needs a C compiler.

usage: Administrator_scripts/Torture.sh [--minutes N] [--seed S] [--kinds A,B,...] [--rate N] [--plan] [--keep]
  --minutes N   how long faults are injected (10); starting and settling take some minutes more
  --seed S      the moments of an earlier run again; without it the run makes one up and tells it
  --kinds A,B   only these: kill, point, freeze, rebalance, kafka, postgresql, nocodb, cut, silence, disk, clock
  --rate N      people fed a second, on average (60)
  --plan        show what would be injected when, and do nothing
  --keep        keep the instance's files after a good run, too

exit status: 0 nothing lost, nothing twice; 1 something is wrong, and the instance's files are kept; 2 wrong usage

examples:
  Administrator_scripts/Torture.sh --minutes 10
  Administrator_scripts/Torture.sh --minutes 3 --seed 7 --kinds point,kafka
TEXT
}

main() {
    local argument
    for argument in "$@"; do
        case "$argument" in -h | --help) usage && return ;; esac
    done
    if ((EUID == 0)) && ! reachable; then
        fail "the user that runs the pipeline cannot reach this directory" "$PWD" \
            "Clone the project to a place such as /var/tmp, and run it there."
    fi
    install_for_tests unit
    PYTHONPATH="$ROOT/Python_Files:$ROOT/Python_Files/tests" PYTHONUNBUFFERED=1 "$PYTHON" -m torture "$@"
}

main "$@"
