#!/usr/bin/env bash
set -Eeuo pipefail
cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.."
# shellcheck source=Administrator_scripts/native/testing.sh
. Administrator_scripts/native/testing.sh

# Two processes take the files of tests in turn; each has instances of its own.
SIDE_BY_SIDE=(-q -rs -n 2 --dist loadgroup --no-loadscope-reorder)

usage() {
    cat <<'TEXT'
Runs every check of the project: ruff, mypy, shellcheck and all tests. Installs what it needs, as Project_Initialize.sh
does, and starts real servers on free ports in scratch directories; an instance that runs here is left alone. Two tests run side by
side. Those of the container way run where a container engine answers; where none does they are skipped, and it says so.

usage: Administrator_scripts/Run_Tests.sh [--unit] [-- ARGUMENTS OF PYTEST]
  --unit   the checks and the unit tests only: seconds, no servers

examples:
  Administrator_scripts/Run_Tests.sh
  Administrator_scripts/Run_Tests.sh --unit
  Administrator_scripts/Run_Tests.sh -- -k repeats
  Administrator_scripts/Run_Tests.sh -- -n 0     one test after the other
TEXT
}

# elsewhere ARGUMENTS: runs the same in a copy that the unprivileged user can reach, and removes the copy.
elsewhere() {
    local copy status=0
    copy="$(mktemp -d /var/tmp/randomuser-tests.XXXXXX)"
    chmod 755 "$copy"
    echo "this directory cannot be reached by the user that runs the servers; testing in a copy, $copy"
    git clone -q . "$copy/project"
    "$copy/project/Administrator_scripts/Run_Tests.sh" "$@" || status=$?
    rm -rf "$copy"
    return "$status"
}

checks() {
    local scripts
    mapfile -t scripts < <(git ls-files '*.sh' .ci/run)
    echo "== ruff"
    .venv/bin/ruff check .
    .venv/bin/ruff format --check .
    echo "== mypy"
    .venv/bin/mypy Python_Files/pipeline
    echo "== shellcheck"
    .venv/bin/shellcheck -x "${scripts[@]}"
}

# containers_told: one line that says whether the tests of the container way run here, and why not.
containers_told() {
    local said
    # shellcheck source=Administrator_scripts/docker/compose.sh
    if said="$( (. Administrator_scripts/docker/compose.sh && check_engine && printf '%s' "$ENGINE") 2>&1)"; then
        printf 'containers: the engine %s answers, the tests of the container way are run' "$said"
    else
        printf 'containers: THE TESTS OF THE CONTAINER WAY ARE SKIPPED: %s' \
            "$(sed -nE 's/^(error|detail): //p' <<<"$said" | paste -sd ';' | sed 's/;/; /g')"
    fi
}

main() {
    local unit=false containers status=0 arguments=("$@")
    while (($#)); do
        case "$1" in
            -h | --help) usage && return ;;
            --unit) unit=true ;;
            --) shift && break ;;
            *) printf 'error: unknown argument %s\nhint: Call it with --help for its usage.\n' "$1" >&2 && return 2 ;;
        esac
        shift
    done
    if ((EUID == 0)) && ! reachable; then
        elsewhere ${arguments[@]+"${arguments[@]}"}
        return
    fi
    # shellcheck source=Administrator_scripts/lib.sh
    . Administrator_scripts/lib.sh
    if $unit; then install_for_tests unit; else install_for_tests; fi
    checks
    if $unit; then
        echo "== pytest"
        .venv/bin/pytest "${SIDE_BY_SIDE[@]}" Python_Files/tests/unit "$@"
        return
    fi
    containers="$(containers_told)"
    printf '== %s\n== pytest\n' "$containers"
    .venv/bin/pytest "${SIDE_BY_SIDE[@]}" "$@" || status=$?
    printf '== %s\n' "$containers"
    return "$status"
}

main "$@"
