#!/usr/bin/env bash
# What the scripts of the container way share. To be sourced after lib.sh, from the project's folder.

# shellcheck disable=SC2034 # the scripts that source this use it
PIPELINE_IMAGE="$(setting COMPOSE_PROJECT_NAME randomuser-pipeline)/$(sed -nE 's/^  image: .*\/(pipeline:.*)$/\1/p' "$ROOT/docker-compose.yml")"
LEAST_COMPOSE=2.21 # the first one that knows all that docker-compose.yml says
LEAST_MEMORY_MB=2500

# compose ARGUMENT...: docker compose on this project, with its settings.
compose() {
    local given=()
    [[ ! -e "$ENV_FILE" ]] || given=(--env-file "$ENV_FILE")
    PIPELINE_ENV_FILE="$ENV_FILE" docker compose --project-directory "$ROOT" -f "$ROOT/docker-compose.yml" \
        ${given[@]+"${given[@]}"} "$@"
}

# check_engine: ends the script when the containers could not run here, before anything is changed.
check_engine() {
    local said version memory
    command -v docker >/dev/null || fail "there is no container engine" "the program docker is not installed" \
        "Install Docker Engine with its Compose plugin, or use ./Project_Initialize.sh --native."
    said="$(docker info --format '{{.MemTotal}}' 2>&1)" || fail "the container engine does not answer" "${said##*$'\n'}" \
        "Start it (systemctl start docker) and see that this user may use it (group docker), or call this as root."
    memory=$((${said##*$'\n'} / 1048576))
    ((memory >= LEAST_MEMORY_MB)) || fail "the container engine has too little memory" \
        "it has $memory MiB, $LEAST_MEMORY_MB are needed" "Give the engine, or its virtual machine, more."
    version="$(docker compose version --short 2>/dev/null)" || fail "the engine has no Compose" "" \
        "Install the plugin docker-compose-plugin, version $LEAST_COMPOSE or newer."
    [[ "$(printf '%s\n' "$LEAST_COMPOSE" "${version#v}" | sort -V | head -n 1)" == "$LEAST_COMPOSE" ]] ||
        fail "Compose is too old" "it is $version, $LEAST_COMPOSE is needed" "Update the plugin docker-compose-plugin."
}

# need_env: ends the script when there are no settings yet.
need_env() {
    [[ -e "$ENV_FILE" ]] || fail "the pipeline is not installed" "there is no $ENV_FILE" "Run ./Project_Initialize.sh first."
    [[ -r "$ENV_FILE" ]] || fail "the settings file $ENV_FILE cannot be read" "it belongs to $(stat -c %U "$ENV_FILE")" \
        "Call this script as that user or as root."
}

# service_of NAME: the service that a stage or part is called in docker-compose.yml, such as add-label for 2-Add_Label.
service_of() {
    local name="${1,,}"
    name="${name#[0-9]-}"
    name="${name//_/-}"
    case "$name" in
        postgresql) name=postgres ;;
        scheduler) name=get-data ;;
    esac
    compose config --services | grep -Fxq -- "$name" || wrong_usage "there is no part '$1'"
    printf '%s' "$name"
}

# is_running SERVICE
is_running() {
    [[ -n "$(compose ps --quiet --status running "$1" 2>/dev/null)" ]]
}
