#!/usr/bin/env bash
set -Eeuo pipefail
cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.."
# shellcheck source=Administrator_scripts/lib.sh
. Administrator_scripts/lib.sh
# shellcheck source=Administrator_scripts/docker/compose.sh
. Administrator_scripts/docker/compose.sh
# shellcheck source=Administrator_scripts/native/move.sh
. Administrator_scripts/native/move.sh
# shellcheck source=Administrator_scripts/docker/move.sh
. Administrator_scripts/docker/move.sh

# One checksum over all files below a directory and their names, and how many they are.
# shellcheck disable=SC2016,SC2034 # it is expanded where it runs
FILES_SUM='set -eo pipefail
    cd -- "$1"
    find . -type f -print0 | LC_ALL=C sort -z | xargs -0 -r sha256sum | sha256sum
    printf "files %s\n" "$(find . -type f | wc -l)"'

FROM="" TO="" FEED=""
RAN=""            # the source ran when the move began
SOURCE_TOUCHED="" # from here on a failure has to bring the source back
TARGET_MADE=""    # from here on what is at the target is this move's
ASIDE="" OWNER="" # the folder of the old backups, and whose their directory was
COMMITTED=""

usage() {
    cat <<'TEXT'
Moves this installation, with its data, to the other way of running: from processes of this machine into containers, or
back. Folder, settings and secrets stay the same; the old data stays where it is until you delete it. Asks first.

usage: Administrator_scripts/Move.sh --to docker|native [--yes] [--dry-run]
  --to WAY    the way it is to run from then on
  --yes       do not ask
  --dry-run   check everything and say what would be done

examples: Administrator_scripts/Move.sh --to docker --dry-run
          Administrator_scripts/Move.sh --to docker
TEXT
}

main() {
    local yes="" dry=""
    while (($#)); do
        case "$1" in
            --to)
                [[ "${2:-}" == docker || "${2:-}" == native ]] || wrong_usage "--to wants docker or native"
                TO="$2"
                shift
                ;;
            --yes) yes=true ;;
            --dry-run) dry=true ;;
            -h | --help) usage && return ;;
            *) wrong_usage "'$1' is not an argument of this script" ;;
        esac
        shift
    done
    [[ -n "$TO" ]] || wrong_usage "--to is missing"
    check
    say
    [[ -z "$dry" ]] || return 0
    [[ -n "$yes" ]] || ask
    trap undo EXIT
    trap 'exit 130' INT TERM
    move
}

# check: ends the script when the move is not possible. Installs and builds what the target needs, and changes no data.
check() {
    local begin lock had="" from_major to_major
    need_env
    exec {lock}<"$ENV_FILE"
    flock --nonblock "$lock" || fail "another move is going on"
    FROM="$(mode)"
    [[ -n "$FROM" ]] || fail "there is nothing to move" "PIPELINE_MODE is not set in $ENV_FILE" "Run ./Project_Initialize.sh first."
    # It goes before the settings file, whose way is what a move changes.
    [[ -z "${PIPELINE_MODE:-}" ]] || fail "PIPELINE_MODE is set in the environment" \
        "it is $PIPELINE_MODE there, and would still be so after the move" "Take it out of the environment (unset PIPELINE_MODE)."
    [[ "$FROM" != "$TO" ]] || fail "it runs that way already" "PIPELINE_MODE is $TO in $ENV_FILE"
    check_engine
    [[ -n "$("${FROM}_data")" ]] || fail "there is nothing to move" "no data of the $FROM way is there" \
        "./Project_Initialize.sh --$TO and ./Project_Start.sh begin anew."
    had="$("${TO}_data" | paste -sd ' ')"
    [[ -z "$had" ]] || fail "the $TO way has data already, which a move would mix up or lose" "$had" \
        "If nobody needs that data: $("${TO}_removal")"
    begin="$(now)"
    "${TO}_make_fit"
    [[ "$FROM" != docker ]] || docker_make_fit # a source that was updated needs its new images, too
    tell Target "the $TO way is installed" "$(since "$begin")"
    from_major="$("${FROM}_major")"
    to_major="$("${TO}_major")"
    [[ "$from_major" =~ ^[0-9]+$ && "$to_major" =~ ^[0-9]+$ ]] || fail "PostgreSQL's versions cannot be found out"
    ((from_major <= to_major)) || fail "PostgreSQL's data cannot go back to an older version" \
        "the $FROM way has PostgreSQL $from_major, the $TO way $to_major" \
        "Install PostgreSQL $from_major or newer for the $TO way first."
    tell PostgreSQL "$from_major ($FROM) to $to_major ($TO)"
    ! "${FROM}_runs" || RAN=true
}

say() {
    cat <<TEXT

This installation moves from the $FROM to the $TO way.
  1. The feed ends, and what is on the way arrives in both stores; then everything but PostgreSQL ends. People who were
     refused stay in pipeline.rejected. From here until the end nobody is fetched, and NocoDB is away.
  2. Both databases (pipeline and nocodb: people, accounts, all of NocoDB with your columns and edits) and NocoDB's stored
     pictures are copied, then compared: rows, checksums, owners and rights.
  3. PIPELINE_MODE=$TO is written into $ENV_FILE, and the pipeline starts that way. Until then a failure leaves all as it was.
What does not move:
  - Kafka's topics. The people in them are in the databases; but a backup of before the move that is restored later cannot
    be completed from the new Kafka. Minutes that are missed meanwhile are not caught up.
  - Backups and WAL: those so far go into a folder of their own in BACKUP_DIR and can be restored in the old way only. A
    new repository begins.
  - Logs.
The old data stays where it is: $("${FROM}_data" | paste -sd ' ')

TEXT
}

move() {
    local begin database
    begin="$(now)"
    SOURCE_TOUCHED=true
    FEED="$("${FROM}_feed")"
    "${FROM}_run_without_feed"
    "${FROM}_settle"
    "${FROM}_database_only"
    tell Source "only PostgreSQL runs" "$(since "$begin")"
    put_backups_aside
    TARGET_MADE=true
    begin="$(now)"
    "${TO}_prepare" "$FEED"
    tell Target "PostgreSQL runs, with empty databases" "$(since "$begin")"
    for database in pipeline nocodb; do
        begin="$(now)"
        stream "the database $database" "${FROM}_dump $database" "${TO}_restore $database"
        tell Copy "database $database" "$(since "$begin")"
    done
    begin="$(now)"
    stream "NocoDB's files" "${FROM}_files_out" "${TO}_files_in"
    tell Copy "NocoDB's files" "$(since "$begin")"
    compare
    "${FROM}_end"
    "${TO}_settle_in"
    "${TO}_record"
    COMMITTED=true
    start || fail "the pipeline does not start yet" \
        "its data has moved and was compared: PIPELINE_MODE is $TO now" "Mend what is said above, then ./Project_Start.sh."
    tell Move "done: it runs the $TO way"
    tell_what_is_left
}

# start: the pipeline in the way that is recorded, fed from where it was fed before.
start() {
    local arguments=()
    [[ "$FEED" != offline ]] || arguments=(--offline)
    ./Project_Start.sh ${arguments[@]+"${arguments[@]}"}
}

# stream WHAT FROM TO: the output of one command into the other. Both must succeed.
stream() {
    local codes=(0 0)
    # shellcheck disable=SC2086 # a command and its argument
    $2 | $3 || codes=("${PIPESTATUS[@]}")
    [[ "${codes[*]}" == "0 0" ]] || fail "$1 cannot be copied" \
        "reading ended with ${codes[0]}, writing with ${codes[1]}; their own words are above"
}

# compare: the copy with its original, table by table and file by file.
compare() {
    local begin source target
    begin="$(now)"
    source="$("${FROM}_contents" && "${FROM}_files_sum")"
    target="$("${TO}_contents" && "${TO}_files_sum")"
    if [[ "$source" != "$target" ]]; then
        diff <(printf '%s\n' "$source") <(printf '%s\n' "$target") | head -n 20 >&2 || true # diff's status says that they differ, which is known
        fail "the copy is not like its original" "the lines above differ: < source, > target" ""
    fi
    tell Compare "$(awk '$1 ~ /^(pipeline|nocodb)$/ && $2 == "table" { tables++; rows += $4 }
        END { printf "%d tables with %d rows are equal", tables, rows }' <<<"$target")" "$(since "$begin")"
}

put_backups_aside() {
    local place name
    place="$(setting BACKUP_DIR Database/Data/backup)"
    [[ -d "$place" ]] || return 0
    name="set-aside-$(date -u +%Y%m%dT%H%M%SZ)"
    OWNER="$(backups_aside "$name" "$("${TO}_owner")")"
    ASIDE="$name"
}

tell_what_is_left() {
    cat <<TEXT

  Old data    $("${FROM}_data" | paste -sd ' ')
              is not used any more. When you are content, delete it: $("${FROM}_removal")
TEXT
    [[ -z "$ASIDE" ]] || printf '  Old backups %s: restorable in the %s way only\n' "$(setting BACKUP_DIR Database/Data/backup)/$ASIDE" "$FROM"
}

# undo: what a failure leaves behind is undone; nothing when the move was done.
undo() {
    local code=$?
    trap - EXIT
    trap '' INT TERM
    [[ -z "$COMMITTED" && -n "$SOURCE_TOUCHED" ]] || exit "$code"
    set +e
    printf '*** The move failed; the %s way is brought back as it was.\n' "$FROM" >&2
    if [[ -n "$TARGET_MADE" ]]; then
        "${TO}_discard" || printf '*** What was copied so far is still there. Delete it: %s\n' "$("${TO}_removal")" >&2
    fi
    if [[ -n "$ASIDE" ]]; then
        backups_back "$ASIDE" "$OWNER" || printf '*** The backups are still in the folder %s of BACKUP_DIR; move them back.\n' "$ASIDE" >&2
    fi
    "${FROM}_end"
    if [[ -n "$RAN" ]]; then
        start || printf '*** It does not start by itself: ./Project_Start.sh\n' >&2
    fi
    exit $((code == 0 ? 1 : code))
}

main "$@"
