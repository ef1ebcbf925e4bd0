#!/usr/bin/env bash
# PostgreSQL's image and the major version of the data that it is to read. To be sourced by compose.sh.

postgres_image() {
    printf '%s/%s' "$PROJECT" "$(sed -nE 's/^ +image: .*\/(postgres:.*)$/\1/p' "$ROOT/docker-compose.yml")"
}

# check_postgres_data: ends the script when the volume has the data of another major version, or at another place than
# where the server looks: it could not read it, or would begin an empty cluster beside it.
check_postgres_data() {
    local volume="${PROJECT}_postgres-data" found wanted version place
    ask_engine volume inspect "$volume" >/dev/null 2>&1 || return 0
    # shellcheck disable=SC2016 # it is expanded in the container
    found="$(docker run --rm --network none --read-only --cap-drop ALL --security-opt no-new-privileges \
        --volume "$volume:/var/lib/postgresql:ro" --entrypoint bash "$(postgres_image)" -c '
            postgres --version | sed -E "s/^[^0-9]*([0-9]+).*/\1/"
            cd /var/lib/postgresql || exit 1
            [ ! -e data-restoring ] || echo restoring
            for place in data . */docker; do
                [ ! -s "$place/PG_VERSION" ] || printf "%s %s\n" "$(<"$place/PG_VERSION")" "$place"
            done' --)" || fail "PostgreSQL's data cannot be looked at" "volume $volume" "The lines above say why."
    wanted="$(head -n 1 <<<"$found")"
    if [[ "$found" == *restoring* ]]; then
        tell Restore "one was cut off, or is at work; the OLD data is in place"
        found="$(grep -v '^restoring$' <<<"$found")"
    fi
    # The first one that was found is the one that the server uses.
    read -r version place < <(sed -n 2p <<<"$found") || return 0
    [[ "$version" == "$wanted" ]] || fail "PostgreSQL's data is of another major version" \
        "the volume $volume is of PostgreSQL $version, the image is PostgreSQL $wanted" \
        "Go back to the older version, or copy the data into a new cluster: docs/containers.md, Upgrading."
    [[ "$place" == data ]] || fail "PostgreSQL's data is at a place where the server does not look" \
        "in the volume $volume it is in $place, the server uses data" \
        "An older version of this project put it there: docker run --rm --user 0:0 -v $volume:/d --entrypoint sh $(postgres_image) -c 'cd /d && mv $place data'"
}
