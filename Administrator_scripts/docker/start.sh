#!/usr/bin/env bash
set -Eeuo pipefail
cd -- "$(dirname -- "${BASH_SOURCE[0]}")/../.."
# shellcheck source=Administrator_scripts/lib.sh
. Administrator_scripts/lib.sh
# shellcheck source=Administrator_scripts/docker/compose.sh
. Administrator_scripts/docker/compose.sh
# shellcheck source=Administrator_scripts/docker/env_file.sh
. Administrator_scripts/docker/env_file.sh

SERVICES=(postgres kafka nocodb get-data api backup "${STAGES[@]}")

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
    [[ "$(setting KAFKA_BROKERS 1)" != 3 ]] || SERVICES+=(kafka-2 kafka-3)
    while (($#)); do
        case "$1" in
            --offline) offline=true ;;
            -h | --help) usage && return ;;
            *) wrong_usage "'$1' is not an argument of this script" ;;
        esac
        shift
    done
    check_engine
    check_project
    if [[ ! -e "$ENV_FILE" ]] || ! images_are_current || ! others_are_there; then
        Administrator_scripts/docker/initialize.sh
    elif all_run && containers_are_current; then
        tell Pipeline "runs already; nothing was changed"
        where_to_look
        return
    else
        need_env
        check_memory
        write_env
    fi
    check_address
    check_postgres_data
    begin="$(now)"
    bring_up "$offline"
    tell Services "all do their work" "$(since "$begin")"
    compose exec -T get-data python -m pipeline.containers first-people
    where_to_look
}

# all_run: as many containers of each service as are wanted.
all_run() {
    local service running name
    running="$(compose ps --status running --format '{{.Service}}' 2>/dev/null)"
    for service in "${SERVICES[@]}"; do
        name="${service^^}"
        [[ "$(grep -Fxc -- "$service" <<<"$running")" == "$(setting "${name//-/_}_PROCESSES" 1)" ]] || return 1
    done
}

# bring_up OFFLINE
bring_up() {
    local said
    said="$(mktemp)"
    if [[ -t 2 ]]; then
        PIPELINE_OFFLINE="$1" compose --progress auto up --detach --wait --wait-timeout 600 --quiet-pull || tell_why ""
    else
        PIPELINE_OFFLINE="$1" compose --progress quiet up --detach --wait --wait-timeout 600 --quiet-pull 2>"$said" ||
            tell_why "$(<"$said")"
    fi
    rm -f "$said"
}

# tell_why SAID: ends the script with the reason: the error of the first part that has ended with one, or the parts that do
# not work with the end of what they said, or what Compose said.
tell_why() {
    local service state health code log status=1 bad=() bad_states=()
    while IFS='|' read -r service state health code; do
        case "$state/$health/$code" in
            running/healthy/* | running//* | exited//0 | exited/*/0 | created/*) continue ;;
        esac
        # The parts that run once check what they find, and their error says all: what comes after them only waited.
        log="$(compose logs --no-log-prefix --no-color --tail 20 "$service" 2>/dev/null)" || true # its state is told without
        if [[ "$state" == exited && "$log" == *"error: "* ]] && runs_once "$service"; then
            # The last error: a container that is used again has those of earlier starts in its log.
            log="$(awk '/^error: / {told = ""} /^(error|detail|hint): / {told = told $0 "\n"} END {printf "%s", told}' <<<"$log")"
            printf '%s\n' "$log" >&2
            [[ "$log" == *$'\nhint: '* ]] || printf 'hint: %s\n' >&2 \
                "Administrator_scripts/Logs.sh $service tells more; ./Project_Start.sh goes on where this one ended."
            [[ "$code" != 2 ]] || status=2
            exit "$status"
        fi
        bad+=("$service")
        bad_states+=("$service ($state${health:+, $health})")
    done < <(compose ps --all --format '{{.Service}}|{{.State}}|{{.Health}}|{{.ExitCode}}')
    for service in ${bad[@]+"${bad[@]}"}; do
        printf -- '--- %s\n' "$service" >&2
        compose logs --no-log-prefix --no-color --tail 8 "$service" >&2
    done
    [[ -z "$1" || "${#bad[@]}" -gt 0 ]] || printf '%s\n' "$1" | tail -n 5 >&2
    fail "the containers did not get ready" "not ready: $(printf '%s, ' "${bad_states[@]-see above}" | sed 's/, $//')" \
        "See Administrator_scripts/Logs.sh NAME; what did start goes on running until ./Project_Stop.sh."
}

# runs_once SERVICE: whether it does its work at every start and ends.
runs_once() {
    case "$1" in settings | setup | setup-*) ;; *) return 1 ;; esac
}

where_to_look() {
    local address
    address="$(setting NOCODB_PUBLIC_URL "http://localhost:$(setting NOCODB_PORT 8080)")"
    cat <<TEXT

  People      ${address%/}/dashboard
  Login       $(setting NOCODB_ADMIN_EMAIL admin@randomuser.example), password: NOCODB_ADMIN_PASSWORD in $ENV_FILE
  Page        http://localhost:$(setting API_PORT 8000)/
  API         http://localhost:$(setting API_PORT 8000)/docs
  PostgreSQL  docker compose exec postgres psql pipeline
  Status      Administrator_scripts/Status.sh, logs: Administrator_scripts/Logs.sh, end: ./Project_Stop.sh
  At boot     what runs when the machine goes down is started again by the engine
TEXT
}

main "$@"
