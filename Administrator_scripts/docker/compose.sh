#!/usr/bin/env bash
# What the scripts of the container way share. To be sourced after lib.sh, from the project's folder.

# The label of an image, and so of its containers, that says what it was made of.
# shellcheck disable=SC2034 # the scripts that source this use it
MADE_OF=randomuser-pipeline.made-of
PROJECT="$(setting COMPOSE_PROJECT_NAME randomuser-pipeline)" || exit 1 # a settings file that cannot be read has been told
if [[ ! "$PROJECT" =~ ^[a-z0-9]+((_|__|-+)[a-z0-9]+)*$ ]]; then # settings.py has the same rule; no image can be built to ask it
    printf "error: COMPOSE_PROJECT_NAME is '%s'; allowed: lower-case letters and digits, with '-' or '_' between them\n" "$PROJECT" >&2
    exit 2
fi
# shellcheck disable=SC2034
PIPELINE_IMAGE="$PROJECT/$(sed -nE 's/^  image: .*\/(pipeline:.*)$/\1/p' "$ROOT/docker-compose.yml")"

# The services of the stages.
# shellcheck disable=SC2034
mapfile -t STAGES < <(sed -nE 's/^  (add-[a-z-]+):$/\1/p' "$ROOT/docker-compose.yml")

# shellcheck source=Administrator_scripts/docker/engine.sh
. "$ROOT/Administrator_scripts/docker/engine.sh"
# shellcheck source=Administrator_scripts/docker/images.sh
. "$ROOT/Administrator_scripts/docker/images.sh"
# shellcheck source=Administrator_scripts/docker/postgres.sh
. "$ROOT/Administrator_scripts/docker/postgres.sh"

# compose ARGUMENT...: docker compose on this project, with its settings.
compose() {
    local given=(-f "$ROOT/docker-compose.yml")
    [[ "$(setting KAFKA_BROKERS 1)" != 3 ]] || given+=(-f "$ROOT/docker-compose.cluster.yml")
    [[ ! -e "$ENV_FILE" ]] || given+=(--env-file "$ENV_FILE")
    PIPELINE_ENV_FILE="$ENV_FILE" docker compose --project-directory "$ROOT" "${given[@]}" "$@"
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
    name="${name#[0-9]*-}"
    name="${name//_/-}"
    # Of a stage all containers, for Compose does not tell their logs apart; kafka-2 is a service.
    [[ "$name" == kafka-* ]] || name="${name%-[0-9]}"
    case "$name" in
        postgresql) name=postgres ;;
        scheduler) name=get-data ;;
    esac
    # Not piped into "grep -q", which would end Compose in the middle of its answer, and pipefail would call that a failure.
    grep -Fxq -- "$name" <<<"$(compose config --services)" || wrong_usage "there is no part '$1'"
    printf '%s' "$name"
}

# is_running SERVICE
is_running() {
    [[ -n "$(compose ps --quiet --status running "$1" 2>/dev/null)" ]]
}

# need_image: ends the script when the image of the pipeline has not been built.
need_image() {
    docker image inspect "$PIPELINE_IMAGE" >/dev/null 2>&1 ||
        fail "the pipeline is not installed" "there is no image $PIPELINE_IMAGE" "Run ./Project_Initialize.sh first."
}
