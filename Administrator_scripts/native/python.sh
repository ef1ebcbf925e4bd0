#!/usr/bin/env bash
# The virtual environment from the lock file. To be sourced; nothing happens by sourcing.

# can_execute PROGRAM: whether the user that runs the pipeline can execute it. As root, a user that does not exist yet
# is stood for by nobody.
can_execute() {
    local user
    [[ -x "$1" ]] || return 1
    ((EUID == 0)) || return 0
    user="$(service_user)" || return 1
    id -u "$user" >/dev/null 2>&1 || user=nobody
    runuser -u "$user" -- test -x "$(readlink -f "$1")"
}

# find_python: prints the first Python that is 3.11 or newer, has venv, and can be executed by the pipeline's user. The
# system's own come first: what a version switcher puts in front of them is often closed to other users.
find_python() {
    local directory name python
    for directory in /usr/bin /usr/local/bin ${PATH//:/ }; do
        for name in python3.13 python3.12 python3.11 python3; do
            python="$directory/$name"
            can_execute "$python" || continue
            if (cd / && "$python" -I -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))') 2>/dev/null; then
                printf '%s' "$python"
                return
            fi
        done
    done
    return 1
}

# environment_stamp LOCK_FILE: what the virtual environment was made from. It ends the second run at once.
environment_stamp() {
    printf '%s %s\n' "$(sha256sum <"$ROOT/$1")" "$ROOT"
}

# install_python_packages LOCK_FILE: makes .venv from the lock file (requirements.lock, or requirements-dev.lock for the
# tests, which has all of the former), and ends at once when it is so. Only packages whose hashes the lock has.
install_python_packages() {
    local lock="$1" stamp="$ROOT/.venv/installed-from" log interpreter candidate
    # shellcheck disable=SC2153 # PYTHON is lib.sh's
    # shellcheck disable=SC2153 # PYTHON is the one of lib.sh
    if [[ -x "$PYTHON" && -e "$stamp" ]] && "$PYTHON" -I -c '' 2>/dev/null; then
        # An environment for the tests serves for running, too.
        for candidate in "$lock" requirements-dev.lock; do
            [[ "$(environment_stamp "$candidate")" != "$(<"$stamp")" ]] || return 0
        done
    fi
    interpreter="$(find_python)" || fail "there is no Python 3.11 or newer with venv" "" "Install python3 and python3-venv."
    rm -f "$stamp"
    if ! { [[ -x "$PYTHON" ]] && "$PYTHON" -I -c 'import pip' 2>/dev/null && can_execute "$PYTHON" &&
        grep -qF "$ROOT/.venv/" "$ROOT/.venv/bin/pip"; }; then
        rm -rf "$ROOT/.venv"
        "$interpreter" -m venv "$ROOT/.venv" ||
            fail "the virtual environment cannot be made" "$interpreter -m venv failed" "Install python3-venv."
    fi
    log="$(mktemp)"
    if ! "$PYTHON" -m pip install --require-hashes --disable-pip-version-check --progress-bar off \
        -r "$ROOT/$lock" 2>&1 | tee "$log" | sed -nE 's/^ *Downloading ([^ ]+) (\(.* MB\)).*/  Python: \1 \2/p'; then
        local told
        told="$(grep -m 3 -E 'ERROR|error' "$log" | tr '\n' ' ')"
        rm -f "$log"
        fail "the Python packages could not be installed" "$told" "Check that pip reaches its index, then try again."
    fi
    rm -f "$log"
    chmod -R a+rX "$ROOT/.venv"
    environment_stamp "$lock" >"$stamp"
}
