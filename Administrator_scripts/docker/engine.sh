#!/usr/bin/env bash
# Whether the containers can run here: engine, Compose, memory, disk, the address of NocoDB. Each check ends the script with
# what, detail and hint, before anything is changed. To be sourced by compose.sh.

# What docker-compose.yml and these scripts need of Compose: healthcheck.start_interval, and that a stage's number of
# containers is no reason to make them anew (both 2.24.0), and the right question whether the engine knows start_interval
# (2.24.1).
LEAST_COMPOSE=2.24.1
# Compose refuses start_interval before engine 25 (API 1.44). From 5.6 on it leaves it out for an older one; then 20.10 (API
# 1.41) will do, the oldest that this was tried with.
LEAST_API=1.44
LEAST_API_OF_NEW_COMPOSE=1.41
NEW_COMPOSE=5.6
# A program that asks an engine that hangs would wait for ever.
ENGINE_SECONDS="${ENGINE_SECONDS:-15}"
# All images take about 3 GiB, and more for a moment, while they are fetched and unpacked.
LEAST_ROOM_MB=5000

WITHOUT="or run without containers: ./Project_Initialize.sh --native."

# ask_engine ARGUMENT...: docker, with an end.
ask_engine() {
    timeout "$ENGINE_SECONDS" docker "$@"
}

# is_at_least VERSION LEAST: by their numbers alone; 2.24.6+ds1 and v2.24.6-desktop.1 are 2.24.6. What has no number, such as
# the "dev" of a Compose that somebody built, is taken for a new one.
is_at_least() {
    local version="${1#v}"
    version="${version%%[!0-9.]*}"
    [[ -z "$version" || "$(printf '%s\n' "$2" "$version" | sort -V | head -n 1)" == "$2" ]]
}

# check_engine: an engine answers this user, and it and its Compose are new enough. Sets ENGINE to the engine's version.
check_engine() {
    local said status=0 api compose least="$LEAST_API"
    command -v docker >/dev/null || fail "there is no container engine" "the program docker is not installed" \
        "Install Docker Engine with its Compose plugin, $WITHOUT"
    said="$(ask_engine version --format 'engine {{.Server.Version}} {{.Server.APIVersion}}' 2>&1)" || status=$?
    ((status == 0)) || _tell_silence "$status" "$said"
    read -r _ ENGINE api <<<"$(grep '^engine ' <<<"$said" | tail -n 1)"
    compose="$(ask_engine compose version --short 2>/dev/null)" || fail "the container engine has no Compose" \
        "docker compose is not a command of this docker" \
        "Install the plugin docker-compose-plugin, version $LEAST_COMPOSE or newer, $WITHOUT"
    is_at_least "$compose" "$LEAST_COMPOSE" || fail "Compose is too old" "it is $compose, $LEAST_COMPOSE is needed" \
        "Update the plugin docker-compose-plugin, $WITHOUT"
    ! is_at_least "$compose" "$NEW_COMPOSE" || least="$LEAST_API_OF_NEW_COMPOSE"
    is_at_least "${api:-0}" "$least" || fail "the container engine is too old" \
        "it is ${ENGINE:-unknown} with API ${api:-unknown}; Compose $compose needs API $least here, which is engine $(_engine_of "$least")" \
        "Update Docker Engine, $WITHOUT"
}

_engine_of() {
    case "$1" in 1.41) printf 20.10 ;; *) printf 25 ;; esac
}

# _tell_silence STATUS SAID: why docker could not ask the engine.
_tell_silence() {
    local last
    last="$(grep -v '^[[:space:]]*$' <<<"$2" | tail -n 1)" || true # it said nothing: the status is told
    if (($1 == 124)); then
        fail "no container engine answers" "there is a docker program, but in $ENGINE_SECONDS s nothing came from the engine" \
            "Start the engine anew (systemctl restart docker), $WITHOUT"
    elif [[ "${2,,}" == *"permission denied"* ]]; then
        fail "this user may not use the container engine" "$(id -un 2>/dev/null || id -u) is not in the group of its socket" \
            "Add the user to the group docker (usermod -aG docker USER) and sign in again, call this as root, $WITHOUT"
    fi
    fail "no container engine answers" "there is a docker program, but: ${last:-it ended with status $1}" \
        "Start the engine (systemctl start docker, or Docker Desktop), $WITHOUT"
}

# needed_memory: MiB that the engine must have: half of what the services may take together. Measured, they take less than
# that while people flow; a limit is for the worst moment of one of them, and Kafka's is mostly for the cache of its files.
needed_memory() {
    # A file that cannot be read is told by whoever needs it; then the memory is that of the defaults.
    { compose config 2>/dev/null || true; } | awk '
        function add() { if (limit && lasting) sum += limit * scale; limit = 0; lasting = 1; scale = 1 }
        /^[a-z]/ { add(); inside = ($1 == "services:") }
        inside && /^  [a-z]/ { add() }
        inside && /^    mem_limit:/ { gsub(/"/, "", $2); limit = $2 }
        inside && /^    scale:/ { scale = $2 }
        inside && /^    restart: .?no/ { lasting = 0 }
        END { add(); printf "%d", (sum ? sum / 1048576 / 2 : 2700) }'
}

# check_memory: the engine, which may be in a virtual machine, has enough.
check_memory() {
    local memory needed
    memory="$(ask_engine info --format '{{.MemTotal}}' 2>/dev/null | tail -n 1)" || true # not told: not refused
    [[ "$memory" =~ ^[0-9]+$ ]] || return 0
    memory=$((memory / 1048576))
    needed="$(needed_memory)"
    ((memory >= needed)) || fail "the container engine has too little memory" \
        "it has $memory MiB, the services as they are set need $needed (KAFKA_BROKERS is $(setting KAFKA_BROKERS 1), KAFKA_MEMORY_MB $(setting KAFKA_MEMORY_MB 1536))" \
        "Give the engine, or its virtual machine, more memory, or set those two lower in .env."
}

# check_room: the disk of the engine has room for the images. Only where that disk is of this machine.
check_room() {
    local directory name free
    IFS='|' read -r directory name <<<"$(ask_engine info --format '{{.DockerRootDir}}|{{.Name}}' 2>/dev/null | tail -n 1)" || true # not told: not refused
    [[ "${name:-}" == "$(uname -n)" && -d "${directory:-}" ]] || return 0
    free="$(df -Pm "$directory" 2>/dev/null | awk 'NR == 2 {print $4}')"
    ((${free:-$LEAST_ROOM_MB} >= LEAST_ROOM_MB)) || fail "there is too little room on the disk of the container engine" \
        "$free MiB are free in $directory; the images need about $LEAST_ROOM_MB" \
        "Free some room; docker system df shows what takes it."
}

# check_address: the addresses of NocoDB and of the read API are of this machine, and their ports are free.
check_address() {
    _check_address nocodb NOCODB_HOST NOCODB_PORT 8080
    _check_address api API_ADDRESS API_PORT 8000
}

# _check_address SERVICE HOST_SETTING PORT_SETTING PORT: of one service. Where it runs already, it has them itself.
_check_address() {
    local port host asked holder
    port="$(setting "$3" "$4")"
    host="$(setting "$2" 127.0.0.1)"
    [[ "$host" =~ ^[0-9A-Fa-f.:]+$ ]] || settings_fail "$2 is '$host'; allowed in the container way: an IP address"
    ! is_running "$1" || return 0
    asked="$host"
    case "$host" in
        0.0.0.0 | ::) asked=127.0.0.1 ;;
        127.* | ::1) ;;
        *)
            if command -v ip >/dev/null && [[ -z "$(ip -o address show to "$host" 2>/dev/null)" ]]; then
                settings_fail "$2 is $host, which is not an address of this machine" \
                    "its addresses for others are: $(_addresses)" \
                    "Set $2 in .env to one of them, or to 127.0.0.1 for this machine alone."
            fi
            ;;
    esac
    if (exec 3<>"/dev/tcp/$asked/$port") 2>/dev/null; then
        holder="$(_holder "$port")"
        fail "port $port is in use" "$holder listens on $asked:$port" \
            "Set $3 in .env to a free port, or end what listens there."
    fi
}

# _addresses: those of this machine that others can reach, without the bridges of the engines.
_addresses() {
    local found
    found="$(ip -o address show scope global 2>/dev/null | awk '$2 !~ /^(docker|br-|veth|virbr)/ {sub(/\/.*/, "", $4); print $4}')"
    paste -sd ' ' <<<"${found:-none}"
}

# _holder PORT: who has it, as far as this user may know: another container, or a process.
_holder() {
    local name
    name="$(ask_engine ps --filter "publish=$1" --format '{{.Names}}' 2>/dev/null | head -n 1)" || true # then it is no container
    if [[ -n "$name" ]]; then
        printf 'the container %s' "$name"
        return
    fi
    name="$(ss -Hltnp "sport = :$1" 2>/dev/null | sed -nE 's/.*users:\(\("([^"]*)",pid=([0-9]+).*/the process \1 (\2)/p' | head -n 1)" || true # another user's process is somebody
    printf '%s' "${name:-somebody}"
}

# check_project: no other folder of this machine runs containers under this project's name; they would be taken for ours.
check_project() {
    local other
    while IFS= read -r other; do
        if [[ -n "$other" && "$other" != "$ROOT" && -e "$other/docker-compose.yml" ]]; then
            fail "another folder has containers with this project's name" "$other has the project $PROJECT too" \
                "Set COMPOSE_PROJECT_NAME in .env to another name before the first start; it gets data of its own."
        fi
    done < <(ask_engine ps --all --filter "label=com.docker.compose.project=$PROJECT" \
        --format '{{.Label "com.docker.compose.project.working_dir"}}' 2>/dev/null | sort -u)
}
