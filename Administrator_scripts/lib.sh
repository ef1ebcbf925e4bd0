#!/usr/bin/env bash
# What the project's scripts share: where things are, as whom they run, how a step is told. To be sourced.

ROOT="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)"
ENV_FILE="${PIPELINE_ENV_FILE:-$ROOT/.env}"
PYTHON="$ROOT/.venv/bin/python"
export PYTHONPATH="$ROOT/Python_Files"
umask 022 # what is installed can be read by the user that runs the pipeline; data and secrets get modes of their own

# fail MESSAGE [DETAIL] [HINT]: ends the script with status 1 and the error as a person reads it.
fail() {
    printf 'error: %s\n' "$1" >&2
    [[ -z "${2:-}" ]] || printf 'detail: %s\n' "$2" >&2
    [[ -z "${3:-}" ]] || printf 'hint: %s\n' "$3" >&2
    exit 1
}

# wrong_usage MESSAGE: as fail, with status 2.
wrong_usage() {
    printf 'error: %s\nhint: Call it with --help for its usage.\n' "$1" >&2
    exit 2
}

# tell NAME WHAT [SECONDS]: one line about one step.
tell() {
    printf '%-27s %-48s %s\n' "$1" "$2" "${3:+$3 s}"
}

# now, since MOMENT: the clock in milliseconds, and the seconds from then to now with one decimal.
now() {
    local moment="${EPOCHREALTIME/[.,]/}"
    printf '%s' "${moment:0:-3}"
}

since() {
    local passed=$(($(now) - $1))
    printf '%d.%d' $((passed / 1000)) $((passed % 1000 / 100))
}

# settings_fail MESSAGE [DETAIL] [HINT]: as fail, with status 2.
settings_fail() {
    (fail "$@") || exit 2
}

# setting NAME [DEFAULT]: the value from the environment, or from the settings file, or the default. Only for the few
# settings that are needed before Python is there; Python checks all of them.
setting() {
    local value=""
    if [[ -n "${!1+given}" ]]; then
        value="${!1}"
    else
        value="$(recorded "$1")" || exit 1
    fi
    printf '%s' "${value:-${2:-}}"
}

# recorded NAME: the value in the settings file, whatever the environment says; nothing where there is none.
recorded() {
    local value
    [[ -e "$ENV_FILE" ]] || return 0
    [[ -r "$ENV_FILE" ]] || fail "the settings file $ENV_FILE cannot be read" "it belongs to $(stat -c %U "$ENV_FILE")" \
        "Call this script as that user or as root."
    value="$(sed -nE "s/^[[:space:]]*(export[[:space:]]+)?$1[[:space:]]*=[[:space:]]*//p" "$ENV_FILE" | tail -n 1)"
    value="${value%%[[:space:]]#*}"
    value="${value%"${value##*[![:space:]]}"}"
    value="${value#[\"\']}"
    value="${value%[\"\']}"
    printf '%s' "$value"
}

# cache_directory: where downloads stay, so that a second clone installs without them.
cache_directory() {
    if [[ -n "${PIPELINE_CACHE_DIR:-}" ]]; then
        printf '%s' "$PIPELINE_CACHE_DIR"
    elif [[ -r "$ROOT/.venv/cache-directory" ]]; then
        cat "$ROOT/.venv/cache-directory" # where this clone was installed from, whoever asks
    elif ((EUID == 0)); then
        printf '/var/cache/randomuser-pipeline'
    else
        printf '%s/randomuser-pipeline' "${XDG_CACHE_HOME:-${HOME:?HOME is not set}/.cache}"
    fi
}

PIPELINE_CACHE_DIR="$(cache_directory)"
export PIPELINE_CACHE_DIR
# Root's bytecode would be in the way of the clone's owner, and another user could not write any.
((EUID != 0)) || export PYTHONDONTWRITEBYTECODE=1

# service_user: the user that everything runs as.
service_user() {
    local name
    if ((EUID != 0)); then
        id -un 2>/dev/null || id -u
        return
    fi
    name="$(setting RUN_AS_USER randomuser)"
    if [[ ! "$name" =~ ^[a-z_][a-z0-9_-]{0,31}$ || "$name" == root ]]; then
        printf "error: RUN_AS_USER is '%s'; allowed: the name of a user other than root\n" "$name" >&2
        return 2
    fi
    printf '%s' "$name"
}

# as_service_user COMMAND...: runs it as the user that everything runs as.
as_service_user() {
    local user home
    if ((EUID != 0)); then
        "$@"
        return
    fi
    user="$(service_user)"
    home="$(getent passwd "$user" | cut -d: -f6)"
    [[ -n "$home" ]] || fail "there is no user $user" "RUN_AS_USER names the user that everything runs as" \
        "Run ./Project_Initialize.sh, which creates it."
    # Not runuser, which stays as a parent, and kills two seconds after it was told to end whoever is still clearing up.
    setpriv --reuid "$user" --regid "$(id -g "$user")" --init-groups env HOME="$home" USER="$user" LOGNAME="$user" "$@"
}

# ask: returns when the person at the terminal types yes, and ends the script when nobody is there or the answer is another.
ask() {
    local answer=""
    if [[ ! -t 0 ]]; then
        printf 'error: there is nobody to ask\nhint: Give --yes if that is meant.\n' >&2
        exit 2
    fi
    read -r -p "Type yes to go on: " answer || true # the end of the input is no yes
    [[ "${answer,,}" == yes ]] || fail "nothing was changed: the answer was not yes"
}

# asks_for_help ARGUMENT...: whether -h or --help is among them.
asks_for_help() {
    local argument
    for argument in "$@"; do
        case "$argument" in -h | --help) return 0 ;; esac
    done
    return 1
}

# run_python ARGUMENT...: the project's Python, as the user that everything runs as.
run_python() {
    is_installed
    as_service_user "$PYTHON" "$@"
}

is_installed() {
    [[ -x "$PYTHON" ]] || fail "the pipeline is not installed" "there is no $PYTHON" "Run ./Project_Initialize.sh first."
}

# operations VERB...: the operations that are written in Python.
operations() {
    is_installed
    if [[ "$(mode)" == docker ]]; then
        fail "this cannot be done with containers yet" "PIPELINE_MODE is docker" "The native way knows it."
    fi
    run_python -m pipeline.operations "$@"
}

# mode: native or docker, as Project_Initialize.sh recorded it; before that, as the environment says. What is recorded goes
# first here, for the data is where it says.
mode() {
    local way
    way="$(recorded PIPELINE_MODE)" || exit 1
    printf '%s' "${way:-${PIPELINE_MODE:-}}"
}

# or_in_containers NAME ARGUMENT...: becomes the container way's script when that way was chosen; else, and in a container,
# does nothing.
or_in_containers() {
    local script="$ROOT/Administrator_scripts/docker/$1.sh" chosen
    shift
    chosen="$(mode)" # apart, so that a settings file that cannot be read ends the script
    [[ "$chosen" != docker || -n "${PIPELINE_INSIDE:-}" ]] || exec "$script" "$@"
}

# What installs; a container has what it needs.
if [[ -z "${PIPELINE_INSIDE:-}" ]]; then
    # shellcheck source=Administrator_scripts/native/packages.sh
    . "$ROOT/Administrator_scripts/native/packages.sh"
    # shellcheck source=Administrator_scripts/native/python.sh
    . "$ROOT/Administrator_scripts/native/python.sh"
    # shellcheck source=Administrator_scripts/native/kafka.sh
    . "$ROOT/Administrator_scripts/native/kafka.sh"
    # shellcheck source=Administrator_scripts/native/postgresql.sh
    . "$ROOT/Administrator_scripts/native/postgresql.sh"
    # shellcheck source=Administrator_scripts/native/nocodb.sh
    . "$ROOT/Administrator_scripts/native/nocodb.sh"
    # shellcheck source=Administrator_scripts/native/page.sh
    . "$ROOT/Administrator_scripts/native/page.sh"
    # shellcheck source=Administrator_scripts/native/install.sh
    . "$ROOT/Administrator_scripts/native/install.sh"
fi
