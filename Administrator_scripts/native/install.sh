#!/usr/bin/env bash
# Everything that is installed before Python takes over, in order. To be sourced; nothing happens by sourcing.

# install_everything [--without-settings]: what the native way needs, and its settings.
install_everything() {
    local cache begin user options=()
    service_user >/dev/null || exit $?
    check_reach
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
    [[ "${1:-}" == --without-settings ]] ||
        "$PYTHON" -m pipeline.operations settings --mode native --owner "$user" "${options[@]}"

    begin="$(now)"
    install_kafka "$cache"
    tell Kafka "jars in $cache" "$(since "$begin")"
    begin="$(now)"
    install_nocodb "$cache"
    tell NocoDB "packages in $cache" "$(since "$begin")"
    install_page "$cache"
    printf '%s' "$cache" >"$ROOT/.venv/cache-directory"
}
