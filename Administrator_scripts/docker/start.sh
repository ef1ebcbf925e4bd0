#!/usr/bin/env bash
set -Eeuo pipefail
cd -- "$(dirname -- "${BASH_SOURCE[0]}")/../.."
# shellcheck source=Administrator_scripts/lib.sh
. Administrator_scripts/lib.sh
# shellcheck source=Administrator_scripts/docker/compose.sh
. Administrator_scripts/docker/compose.sh

SERVICES=(postgres kafka nocodb get-data backup add-timestamp add-label add-database-postgresql add-database-nocodb)

usage() {
    cat <<'TEXT'
The container way of Project_Start.sh: brings all services up, waits until each does its work and the first people are in
both stores.

usage: Administrator_scripts/docker/start.sh [--offline]
  --offline   feed from the bundled stand-in of the API instead of randomuser.me, until a start without --offline
TEXT
}

main() {
    local begin offline=""
    while (($#)); do
        case "$1" in
            --offline) offline=true ;;
            -h | --help) usage && return ;;
            *) wrong_usage "'$1' is not an argument of this script" ;;
        esac
        shift
    done
    check_engine
    if [[ ! -e "$ENV_FILE" ]] || ! docker image inspect "$PIPELINE_IMAGE" >/dev/null 2>&1; then
        Administrator_scripts/docker/initialize.sh
    fi
    need_env
    if all_run; then
        tell Pipeline "runs already; nothing was changed"
        where_to_look
        return
    fi
    check_port
    begin="$(now)"
    bring_up "$offline"
    tell Services "all do their work" "$(since "$begin")"
    compose exec -T get-data python -m pipeline.containers first-people
    where_to_look
}

all_run() {
    local service running
    running="$(compose ps --status running --services 2>/dev/null)"
    for service in "${SERVICES[@]}"; do
        grep -Fxq -- "$service" <<<"$running" || return 1
    done
}

check_port() {
    local port host
    port="$(setting NOCODB_PORT 8080)"
    host="$(setting NOCODB_HOST 127.0.0.1)"
    [[ "$host" =~ ^[0-9A-Fa-f.:]+$ ]] || fail "NOCODB_HOST is '$host'; allowed in the container way: an IP address"
    case "$host" in 0.0.0.0 | ::) host=127.0.0.1 ;; esac
    if ! is_running nocodb && (exec 3<>"/dev/tcp/$host/$port") 2>/dev/null; then
        fail "port $port is in use" "somebody listens on $host:$port" "Set NOCODB_PORT in .env to a free port."
    fi
}

# bring_up OFFLINE
bring_up() {
    local progress=quiet
    [[ ! -t 2 ]] || progress=auto
    PIPELINE_OFFLINE="$1" compose --progress "$progress" up --detach --wait --wait-timeout 600 --quiet-pull || tell_why
}

# tell_why: the parts that do not work, with the end of what they said.
tell_why() {
    local service state health code bad=()
    while IFS='|' read -r service state health code; do
        case "$state/$health/$code" in
            running/healthy/* | exited//0 | exited/*/0 | created/*) ;;
            *)
                bad+=("$service")
                printf -- '--- %s (%s %s)\n' "$service" "$state" "$health" >&2
                compose logs --no-log-prefix --tail 8 "$service" >&2
                ;;
        esac
    done < <(compose ps --all --format '{{.Service}}|{{.State}}|{{.Health}}|{{.ExitCode}}')
    fail "the containers did not get ready" "not ready: ${bad[*]:-see above}" \
        "See Administrator_scripts/Logs.sh NAME; what did start goes on running until ./Project_Stop.sh."
}

where_to_look() {
    local address
    address="$(setting NOCODB_PUBLIC_URL)"
    cat <<TEXT

  People      ${address:-http://localhost:$(setting NOCODB_PORT 8080)/dashboard}
  Login       $(setting NOCODB_ADMIN_EMAIL admin@randomuser.example), password: NOCODB_ADMIN_PASSWORD in $ENV_FILE
  PostgreSQL  docker compose exec postgres psql pipeline
  Status      Administrator_scripts/Status.sh, logs: Administrator_scripts/Logs.sh, end: ./Project_Stop.sh
  At boot     what runs when the machine goes down is started again by the engine
TEXT
}

main "$@"
