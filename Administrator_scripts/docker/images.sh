#!/usr/bin/env bash
# The images: of what they are made, whether they are there, and building them. To be sourced by compose.sh.

# own_images, other_images: the images that docker-compose.yml builds here, and those that it fetches.
own_images() {
    sed -nE "s|^ +image: \\$\{COMPOSE_PROJECT_NAME[^}]*\}/(.+)$|$PROJECT/\1|p" \
        "$ROOT/docker-compose.yml" | sort -u
}

other_images() {
    sed -nE 's|^ +image: ([a-z].+)$|\1|p' "$ROOT/docker-compose.yml" | sort -u
}

# made_of: one number for all files that our images are made of: the same files, the same number, whatever their times and
# modes. The files are those that .dockerignore lets in.
made_of() (
    cd "$ROOT" || exit 1
    shopt -s nullglob
    paths=(.dockerignore Administrator_scripts/docker/*.Dockerfile)
    while IFS= read -r line; do
        # shellcheck disable=SC2206 # a pattern stands for its files
        [[ "$line" != '!'* ]] || paths+=(${line#!})
    done <.dockerignore
    find "${paths[@]}" -type f ! -path '*/__pycache__/*' ! -name '*.pyc' -print0 | LC_ALL=C sort -zu |
        xargs -0 sha256sum | sha256sum | cut -d ' ' -f 1
)

# images_are_current: our images are there and made of the files as they are now.
images_are_current() {
    local wanted images labels
    wanted="$(made_of)"
    mapfile -t images < <(own_images)
    labels="$(ask_engine image inspect --format "{{index .Config.Labels \"$MADE_OF\"}}" "${images[@]}" 2>/dev/null)" || return 1
    [[ "$(sort -u <<<"$labels")" == "$wanted" ]]
}

# others_are_there: nothing has to be fetched.
others_are_there() {
    local images
    mapfile -t images < <(other_images)
    ask_engine image inspect "${images[@]}" >/dev/null 2>&1
}

# containers_are_current: no container that runs is of an image that has been made anew since.
containers_are_current() {
    local wanted
    wanted="$(made_of)"
    ask_engine ps --filter "label=com.docker.compose.project=$PROJECT" \
        --filter "label=$MADE_OF" --format "{{.Label \"$MADE_OF\"}}" | awk -v wanted="$wanted" '$1 != wanted { exit 1 }'
}

# build: our images, quietly, but with what was said when it fails. What did not change is taken from the engine's cache.
build() {
    local said made
    made="$(made_of)"
    said="$(PIPELINE_MADE_OF="$made" compose build 2>&1)" || {
        printf '%s\n' "$said" | tail -n 30 >&2
        fail "the images cannot be built" "" "The lines above say why; the engine needs the internet for it, once."
    }
}

# fetch: the images of Kafka and NocoDB.
fetch() {
    local said
    said="$(compose --progress quiet pull --quiet --policy missing kafka nocodb 2>&1)" || {
        printf '%s\n' "$said" | tail -n 10 >&2
        fail "the images of Kafka and NocoDB cannot be fetched" "" \
            "The lines above say why; the engine needs the internet for it, once."
    }
}
