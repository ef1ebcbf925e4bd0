#!/usr/bin/env bash
# The settings file, written by the image's own Python, for the host need not have one. To be sourced after compose.sh.

# write_env: checks all settings, and makes or completes .env.
write_env() {
    local like="$ENV_FILE" owner
    [[ -e "$like" ]] || like="$(dirname "$ENV_FILE")"
    owner="$(stat -c %u:%g "$like")"
    ! is_rootless || owner=0:0
    on_env_file env-file --owner "$owner"
}

# is_rootless: whether the engine runs without privileges, so that root in a container is the caller outside.
is_rootless() {
    [[ "$(docker info --format '{{.SecurityOptions}}')" == *name=rootless* ]]
}

# on_env_file VERB ARGUMENT...: a verb of pipeline.containers on .env, with the image's own Python, for the host need not
# have one. What the environment gives goes before the file, as everywhere.
on_env_file() {
    local verb="$1" file folder given=() rights=()
    shift
    file="$(readlink -f -- "$ENV_FILE")"
    folder="$(dirname "$file")"
    # Root writes for the owner of the file.
    if ((EUID == 0)); then
        rights=(--user 0:0 --cap-add CHOWN --cap-add DAC_OVERRIDE --cap-add FOWNER)
    elif is_rootless; then
        rights=(--user 0:0)
    else
        rights=(--user "$(id -u):$(id -g)")
    fi
    mapfile -t given < <(sed -nE 's/^([A-Z][A-Z0-9_]*)=.*/--env=\1/p' "$ROOT/.env.example")
    docker run --rm --network none --read-only --tmpfs /tmp --cap-drop ALL --security-opt no-new-privileges \
        "${rights[@]}" "${given[@]}" --volume "$folder:/project" "$PIPELINE_IMAGE" \
        python -m pipeline.containers "$verb" "/project/$(basename "$file")" "$@"
}
