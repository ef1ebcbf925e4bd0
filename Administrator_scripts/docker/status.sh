#!/usr/bin/env bash
set -Eeuo pipefail
cd -- "$(dirname -- "${BASH_SOURCE[0]}")/../.."
# shellcheck source=Administrator_scripts/lib.sh
. Administrator_scripts/lib.sh
# shellcheck source=Administrator_scripts/docker/compose.sh
. Administrator_scripts/docker/compose.sh

usage() {
    cat <<'TEXT'
The container way of Status.sh: every container and what the servers in them answer, how far each stage is behind, how many
people were fetched and stored, and where to look. Exit code 0 when all is ready.

usage: Administrator_scripts/docker/status.sh [--json]
TEXT
}

main() {
    local argument ids told command=() looks=()
    for argument in "$@"; do
        case "$argument" in
            --json) ;;
            -h | --help) usage && return ;;
            *) wrong_usage "'$argument' is not an argument of this script" ;;
        esac
    done
    check_engine
    need_env
    need_image
    # No container can ask the engine: what it says is handed in.
    told="$(compose config --format json)"
    mapfile -t ids < <(compose ps --all --quiet 2>/dev/null)
    if ((${#ids[@]})); then
        told+="$(docker inspect "${ids[@]}" 2>/dev/null || true)" # one that has just been removed is none any more
    fi
    # The output of a container that reads a pipe is no terminal to it.
    [[ ! -t 1 ]] || looks=(--env FORCE_COLOR=1 --env "COLUMNS=$(tput cols 2>/dev/null || printf 120)")
    command=(python -m pipeline.status --containers "$@")
    if is_running get-data; then
        compose exec -T ${looks[@]+"${looks[@]}"} get-data "${command[@]}" <<<"$told"
    elif ((${#ids[@]})); then
        compose --progress quiet run --rm --no-deps -T ${looks[@]+"${looks[@]}"} get-data "${command[@]}" <<<"$told"
    else
        docker run --rm --interactive --network none --read-only --cap-drop ALL --security-opt no-new-privileges \
            ${looks[@]+"${looks[@]}"} "$PIPELINE_IMAGE" "${command[@]}" <<<"$told"
    fi
}

main "$@"
