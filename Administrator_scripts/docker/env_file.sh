#!/usr/bin/env bash
# The settings file, written by the image's own Python, for the host need not have one. To be sourced after compose.sh.

# write_env: checks all settings, and makes or completes .env.
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
