#!/usr/bin/env bash
set -Eeuo pipefail
cd -- "$(dirname -- "${BASH_SOURCE[0]}")/../.."
# shellcheck source=Administrator_scripts/lib.sh
. Administrator_scripts/lib.sh
# shellcheck source=Administrator_scripts/docker/compose.sh
. Administrator_scripts/docker/compose.sh

usage() {
    cat <<'TEXT'
The container way of Project_Initialize.sh: builds and fetches the images and writes .env. Safe to repeat.

usage: Administrator_scripts/docker/initialize.sh
TEXT
}

main() {
    local begin
    case "${1:-}" in
        "") ;;
        -h | --help) usage && return ;;
        *) wrong_usage "'$1' is not an argument of this script" ;;
    esac
    check_engine
    begin="$(now)"
    build
    tell Images "of this project are built" "$(since "$begin")"
    write_env
    compose config --quiet
    begin="$(now)"
    compose --progress quiet pull --quiet --policy missing kafka nocodb
    tell Images "of Kafka and NocoDB are there" "$(since "$begin")"
    tell Data "is prepared at the start; ./Project_Start.sh starts the pipeline"
}

# build: quietly, but with everything that was said when it fails.
build() {
    local said
    said="$(compose build 2>&1)" || {
        printf '%s\n' "$said" | tail -n 30 >&2
        fail "the images cannot be built" "" "The lines above say why; the engine needs the internet for it, once."
    }
}

# write_env: makes or completes .env with the image's own Python, for the host need not have one.
write_env() {
    local folder name owner given=() rights=()
    folder="$(cd "$(dirname "$ENV_FILE")" && pwd -P)"
    name="$(basename "$ENV_FILE")"
    owner="$(stat -c %u:%g "$([[ -e "$ENV_FILE" ]] && printf '%s' "$ENV_FILE" || printf '%s' "$folder")")"
    # Root writes for the owner of the folder; the root of an engine without privileges is the caller itself.
    if ((EUID == 0)); then
        rights=(--user 0:0 --cap-add CHOWN --cap-add DAC_OVERRIDE --cap-add FOWNER)
    elif docker info --format '{{.SecurityOptions}}' | grep -q name=rootless; then
        rights=(--user 0:0)
        owner=0:0
    else
        rights=(--user "$(id -u):$(id -g)")
    fi
    mapfile -t given < <(sed -nE 's/^([A-Z][A-Z0-9_]*)=.*/--env=\1/p' .env.example)
    docker run --rm --network none --read-only --tmpfs /tmp --cap-drop ALL --security-opt no-new-privileges \
        "${rights[@]}" "${given[@]}" --volume "$folder:/project" "$PIPELINE_IMAGE" \
        python -m pipeline.containers env-file "/project/$name" --owner "$owner"
}

main "$@"
