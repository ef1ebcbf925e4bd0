#!/usr/bin/env bash
set -Eeuo pipefail
cd -- "$(dirname -- "${BASH_SOURCE[0]}")/../.."
# shellcheck source=Administrator_scripts/lib.sh
. Administrator_scripts/lib.sh
# shellcheck source=Administrator_scripts/docker/compose.sh
. Administrator_scripts/docker/compose.sh

POSTGRES_UID=999 # in the official image; the backups are this user's

usage() {
    cat <<'TEXT'
The container way of Reset.sh: deletes the containers, networks and volumes of this project and nothing else. The settings
in .env and the images stay. Backups below DATA_DIR are deleted too, those elsewhere are set aside. Asks first.

usage: Administrator_scripts/docker/reset.sh [--yes]
       Administrator_scripts/docker/reset.sh --source SOURCE [--yes]
TEXT
}

main() {
    local yes="" source="" place backups inside="" question aside second
    while (($#)); do
        case "$1" in
            --yes) yes=true ;;
            --source)
                (($# > 1)) || wrong_usage "--source wants the name of a source"
                source="$2"
                shift
                ;;
            --source=*) source="${1#*=}" ;;
            -h | --help) usage && return ;;
            *) wrong_usage "'$1' is not an argument of this script" ;;
        esac
        shift
    done
    if [[ -n "$source" ]]; then
        exec Administrator_scripts/docker/run.sh -m pipeline.operations reset --source "$source" ${yes:+--yes}
    fi
    check_engine
    check_project
    need_env
    need_image
    place="$(full_path "$(setting BACKUP_DIR Database/Data/backup)")"
    [[ "$place/" != "$(full_path "$(setting DATA_DIR Database/Data)")"/* ]] || inside=true
    backups="$(on_backups look "$place")"
    # What was set aside elsewhere stays there: it is in nobody's way.
    [[ -n "$inside" || "$backups" == current* ]] || backups=""
    if [[ -z "$(things)$backups" ]]; then
        tell Reset "there is no data"
        return
    fi

    question="All data in the containers and volumes of $PROJECT is deleted for good: people, topics, NocoDB's base, logs"
    if [[ -z "$backups" ]]; then
        question+="."
    elif [[ -n "$inside" ]]; then
        question+=", and the BACKUPS in $place."
    else
        question+=". The backups in $place stay."
    fi
    printf '%s\n' "$question"
    [[ -n "$yes" ]] || ask
    # Nobody archives WAL any more when the backups go.
    compose --progress quiet stop
    if [[ -n "$backups" && -n "$inside" ]]; then
        on_backups delete "$place"
    elif [[ -n "$backups" ]]; then
        aside="$(on_backups set-aside "$place")"
        tell Reset "the backups are in $place/$aside"
    fi
    second="$(setting BACKUP_DIR_2 "")"
    [[ -z "$second" ]] || put_second_aside "$(full_path "$second")"
    compose --progress quiet down --volumes --remove-orphans
    # Those of services that the settings do not have any more.
    volumes | xargs -r docker volume rm >/dev/null
    tell Reset "nothing of $PROJECT is left; ./Project_Start.sh begins anew"
}

# put_second_aside PLACE: the backups of BACKUP_DIR_2, which the next database must not find in its way.
put_second_aside() {
    local aside
    if [[ "$1/" == "$(full_path "$(setting DATA_DIR Database/Data)")"/* ]]; then
        on_backups delete "$1"
        return
    fi
    aside="$(on_backups set-aside "$1")"
    [[ -z "$aside" ]] || tell Reset "the backups of BACKUP_DIR_2 are in $1/$aside"
}

# volumes, things: the project's volumes; them and its containers, by their ids.
volumes() {
    docker volume ls --quiet --filter "label=com.docker.compose.project=$PROJECT"
}

things() {
    volumes
    docker ps --all --quiet --filter "label=com.docker.compose.project=$PROJECT"
}

# full_path PATH: a relative one is below the project's folder.
full_path() {
    [[ "$1" == /* ]] || set -- "$ROOT/$1"
    readlink -m -- "$1"
}

# on_backups look|set-aside|delete PLACE: as the user whom they belong to; nobody else can look into it.
on_backups() {
    [[ -d "$2" ]] || return 0
    docker run --rm --network none --read-only --cap-drop ALL --security-opt no-new-privileges \
        --user "$POSTGRES_UID:$POSTGRES_UID" --mount "type=bind,source=$2,target=/var/lib/backup" "$PIPELINE_IMAGE" \
        python -m pipeline.containers reset-backups "$1" /var/lib/backup
}

main "$@"
