#!/usr/bin/env bash
# Everything that is installed before Python takes over, in order. To be sourced; nothing happens by sourcing.

# install_everything MODE: MODE is native, docker or nothing (what was recorded, else native).
install_everything() {
    local mode cache begin user options=()
    service_user >/dev/null || exit $?
    check_reach
    mode="${1:-$(mode)}"
    if [[ "${mode:=native}" == docker ]]; then
        fail "the container way cannot be used yet" "" "Use ./Project_Initialize.sh --native."
    fi
    cache="$PIPELINE_CACHE_DIR"
    check_machine "$cache"
    install_packages "$cache"
    create_service_user
    user="$(service_user)"

    begin="$(now)"
    install_python_packages requirements.lock
    tell Python "packages of requirements.lock in .venv" "$(since "$begin")"

    # The settings before the long downloads: a wrong one is told at once, and a port that is not free.
    [[ -d "$(kafka_directory "$cache")" && -d "$(nocodb_directory "$cache")" ]] || options=(--check-ports)
    "$PYTHON" -m pipeline.operations settings --mode "$mode" --owner "$user" "${options[@]}"

    begin="$(now)"
    install_kafka "$cache"
    tell Kafka "jars in $cache" "$(since "$begin")"
    begin="$(now)"
    install_nocodb "$cache"
    tell NocoDB "packages in $cache" "$(since "$begin")"
    printf '%s' "$cache" >"$ROOT/.venv/cache-directory"
}
