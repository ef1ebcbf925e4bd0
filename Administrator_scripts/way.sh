#!/usr/bin/env bash
# The way that the pipeline runs, chosen once: in containers or natively. To be sourced after lib.sh.

# shellcheck source=Administrator_scripts/docker/compose.sh
. "$ROOT/Administrator_scripts/docker/compose.sh"

# choose_way [native | docker | --keep]: sets WAY. Asked for nothing, neither by the argument nor by PIPELINE_MODE in the
# environment, it is the recorded way; on the first run it is docker where an engine can run the pipeline. What is recorded is
# never left with its data, and with --keep not at all.
# shellcheck disable=SC2034 # who calls this uses WAY
choose_way() {
    local asked="${1:-}" was
    [[ -n "$asked" && "$asked" != --keep ]] || asked="${PIPELINE_MODE:-}"
    was="$(recorded PIPELINE_MODE)" || exit 1
    _check_word "$asked"
    _check_word "$was"
    if [[ -z "$was" && -z "$asked" ]]; then
        _look_around
    elif [[ -n "$was" && -n "$asked" && "$was" != "$asked" ]]; then
        [[ "${1:-}" != --keep ]] || settings_fail "this installation runs $(_how "$was")" \
            "PIPELINE_MODE is $was in $ENV_FILE, and $asked in the environment" "Take it out of the environment (unset PIPELINE_MODE)."
        _refuse_to_leave "$was" "$asked"
        WAY="$asked"
        tell Way "$(_how "$asked"), as asked; the other way has no data yet"
    else
        WAY="${was:-$asked}"
    fi
}

_check_word() {
    case "$1" in native | docker | "") ;; *) settings_fail "PIPELINE_MODE is '$1'; allowed: native or docker" ;; esac
}

_how() {
    if [[ "$1" == docker ]]; then printf 'in containers'; else printf natively; fi
}

# _look_around: chooses, and says why.
# shellcheck disable=SC2034
_look_around() {
    local said status=0
    if _native_data; then
        WAY=native
        tell Way "native: its data is in $(setting DATA_DIR Database/Data)"
        return
    fi
    said="$( (check_engine && check_memory && printf '%s' "$ENGINE") 2>&1)" || status=$?
    if ((status == 0)); then
        WAY=docker
        tell Way "containers: the engine $said answers (--native runs it without)"
    else
        WAY=native
        said="$(sed -nE 's/^(error|detail): //p' <<<"$said" | paste -sd ';' | sed 's/;/; /g')"
        tell Way "native: $said"
    fi
}

_native_data() {
    local data
    data="$(setting DATA_DIR Database/Data)"
    # What is closed to this user is somebody's.
    [[ -e "$data/postgresql/PG_VERSION" || (-d "$data" && ! -x "$data") ]]
}

# _refuse_to_leave WAS ASKED
_refuse_to_leave() {
    local detail="PIPELINE_MODE is $1 in $ENV_FILE, and its data is there; the other way would begin without anybody" said
    if [[ "$1" == native ]]; then
        _native_data || return 0
    elif said="$(check_engine 2>&1)"; then
        ask_engine volume inspect "${PROJECT}_postgres-data" >/dev/null 2>&1 || return 0
    else
        detail="PIPELINE_MODE is $1 in $ENV_FILE; whether it has data cannot be seen: $(sed -nE 's/^error: //p' <<<"$said")"
    fi
    settings_fail "this installation runs $(_how "$1")" "$detail" \
        "Administrator_scripts/Move.sh --to $2 moves it with its data."
}
