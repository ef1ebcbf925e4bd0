#!/bin/sh
# Whether the process of this container does its work: exit code 0 when it does, else 1, and one line that says what is
# wrong. It runs inside of the container every few seconds, so it starts nothing but sh, stat and date.
#
# The process tells its state in $PIPELINE_STATE_FILE (pipeline/state.py): working, or what it waits for.
set -eu

# Seconds. A living process touches its file every 3 s between two turns of its loop, and one turn may last: a batch
# with new portraits into NocoDB takes some seconds, on a busy machine more. A turn of WATCHDOG_SECONDS (60) ends the
# process, so half of that, and three checks in a row, tell a frozen process before the watchdog is due or soon after.
MAX_AGE=30

unhealthy() {
    printf '%s\n' "$1"
    exit 1
}

file="${PIPELINE_STATE_FILE:?}"
[ -r "$file" ] || unhealthy "the process has not told its state yet"
IFS= read -r state <"$file" || unhealthy "$file is empty"
age=$(($(date +%s) - $(stat -c %Y "$file")))
[ "$age" -le "$MAX_AGE" ] || unhealthy "$state, but it has not moved for $age s"
[ "$state" = working ] || unhealthy "$state"
printf '%s\n' "$state"
