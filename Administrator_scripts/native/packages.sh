#!/usr/bin/env bash
# The Debian packages that the native way needs, and the user it runs as. To be sourced; nothing happens by sourcing.

# The name of the file that keeps Debian's postgresql from making a cluster of its own while it is installed.
NO_CLUSTER=/etc/postgresql-common/createcluster.d/randomuser-pipeline.conf

# first_package NAME...: prints the first package that this release of the system has.
first_package() {
    local name
    for name in "$@"; do
        if [[ -n "$(apt-cache policy "$name" 2>/dev/null | sed -nE '/Candidate: \(none\)/d; s/.*Candidate: //p')" ]]; then
            printf '%s\n' "$name"
            return
        fi
    done
    printf '%s\n' "$1"
}

# missing_packages CACHE_DIR: prints the packages to be installed, one a line.
missing_packages() {
    find_python >/dev/null || printf 'python3\npython3-venv\n'
    find_java >/dev/null || first_package openjdk-17-jre-headless openjdk-21-jre-headless openjdk-25-jre-headless
    find_postgresql >/dev/null || printf 'postgresql\n'
    command -v pgbackrest >/dev/null || printf 'pgbackrest\n'
    if [[ ! -d "$(kafka_directory "$1")" ]] && ! command -v mvn >/dev/null; then
        printf 'maven\n'
    fi
    if [[ ! -d "$(nocodb_directory "$1")" || ! -d "$(page_directory "$1")" ]] && ! command -v npm >/dev/null; then
        printf 'npm\n'
    fi
}

# may_become_root: whether a command can be run as root without asking anybody.
may_become_root() {
    ((EUID == 0)) || { command -v sudo >/dev/null && sudo -n true 2>/dev/null; }
}

as_root() {
    if ((EUID == 0)); then "$@"; else sudo -n "$@"; fi
}

# install_packages CACHE_DIR: lists what is missing, then installs it when that can be done without asking; otherwise
# prints the command and ends with status 1.
install_packages() {
    local missing begin
    mapfile -t missing < <(missing_packages "$1")
    if ((${#missing[@]} == 0)); then
        tell Packages "all there"
        return
    fi
    if ! command -v apt-get >/dev/null; then
        fail "programs are missing" "on Debian their packages are called: ${missing[*]}" \
            "Install them with this system's own package manager (Python 3.11, Java 17, PostgreSQL 15 or newer), then try again."
    fi
    tell Packages "to be installed: ${missing[*]}"
    printf '  The command: apt-get install --no-install-recommends %s\n' "${missing[*]}"
    printf '  No PostgreSQL cluster of the system is made, and no service of it is used.\n'
    if ! may_become_root; then
        fail "packages are missing, and this user may not install them" "missing: ${missing[*]}" \
            "Run as root: $(packages_command "${missing[@]}") - then try again."
    fi
    begin="$(now)"
    _apt_update_when_needed "${missing[@]}"
    if [[ " ${missing[*]} " == *" postgresql "* || " ${missing[*]} " == *" pgbackrest "* ]]; then
        _apt_install postgresql-common
        _without_cluster "${missing[@]}"
    else
        _apt_install "${missing[@]}"
    fi
    mapfile -t missing < <(missing_packages "$1")
    ((${#missing[@]} == 0)) || fail "packages were installed, and yet something is missing or too old" \
        "still needed: ${missing[*]}" "This release of the system may be too old: Debian 12, Ubuntu 24.04 or newer have all of it."
    tell Packages installed "$(since "$begin")"
}

# packages_command PACKAGE...: the whole command for a person, in one line, with the same care for the cluster.
packages_command() {
    if [[ " $* " == *" postgresql "* ]]; then
        printf 'apt-get update && apt-get install -y --no-install-recommends postgresql-common && '
        printf 'mkdir -p %s && echo create_main_cluster = false > %s && ' "$(dirname "$NO_CLUSTER")" "$NO_CLUSTER"
        printf 'apt-get install -y --no-install-recommends %s; rm -f %s' "$*" "$NO_CLUSTER"
    else
        printf 'apt-get update && apt-get install -y --no-install-recommends %s' "$*"
    fi
}

_apt_install() {
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends \
        -o Dpkg::Use-Pty=0 -o DPkg::Lock::Timeout=120 "$@" >&2 ||
        fail "the packages could not be installed" "apt-get install $* failed" "See its messages above."
}

# The package lists of a fresh machine are empty or old; a package that cannot be found or fetched shows it.
_apt_update_when_needed() {
    if ! apt-get install --simulate --no-install-recommends "$@" >/dev/null 2>&1 ||
        [[ -z "$(find /var/lib/apt/lists -maxdepth 1 -name '*Packages*' -mtime -1 -print -quit 2>/dev/null)" ]]; then
        as_root apt-get update -q >&2 || fail "the package lists could not be fetched" "apt-get update failed" \
            "See its messages above."
    fi
}

# Debian's postgresql would make a cluster and start it on port 5432.
_without_cluster() {
    as_root mkdir -p "$(dirname "$NO_CLUSTER")"
    printf 'create_main_cluster = false\n' | as_root tee "$NO_CLUSTER" >/dev/null
    local status=0
    (_apt_install "$@") || status=$?
    as_root rm -f "$NO_CLUSTER"
    ((status == 0)) || exit "$status"
}

# check_reach: as root, refuses a clone that the pipeline's user cannot reach, before anything is done.
check_reach() {
    local user
    ((EUID == 0)) || return 0
    user="$(service_user)"
    id -u "$user" >/dev/null 2>&1 || user=nobody
    if ! (cd / && runuser -u "$user" -- test -r "$ROOT/pyproject.toml" -a -x "$ROOT/Python_Files"); then
        fail "the user $(service_user), as whom everything runs, cannot reach $ROOT" \
            "started as root, nothing of the pipeline runs as root; a directory on the way is closed to other users" \
            "Move the clone to a place like /srv or /opt, or open the way with chmod o+x; or do not start it as root."
    fi
}

# create_service_user: as root, creates the user of the setting RUN_AS_USER when there is none.
create_service_user() {
    local user
    ((EUID == 0)) || return 0
    user="$(service_user)"
    if id -u "$user" >/dev/null 2>&1; then
        return
    fi
    tell User "to be created: $user, a system user, as whom everything runs"
    useradd --system --user-group --home-dir /nonexistent --no-create-home --shell /usr/sbin/nologin \
        --comment "Randomuser pipeline" "$user" || fail "the user $user could not be created"
}

# check_machine CACHE_DIR: memory, and the disk's room for what is not installed yet.
check_machine() {
    local memory_mb free_mb directory needed=1000
    memory_mb="$(awk '/^MemAvailable/ {print int($2 / 1024)}' /proc/meminfo)"
    # What runs already has its memory.
    if ((memory_mb < 3000)) && [[ ! -S "$(setting DATA_DIR Database/Data)/run/supervisor.sock" ]]; then
        fail "there is too little memory" "$memory_mb MiB are available; Kafka, NocoDB and PostgreSQL need about 3000" \
            "End other programs, or give the machine more memory."
    fi
    [[ -d "$(nocodb_directory "$1")" ]] || needed=6000
    for directory in "$ROOT" "$1"; do
        while [[ ! -d "$directory" ]]; do directory="$(dirname "$directory")"; done
        free_mb="$(df -Pm "$directory" | awk 'NR == 2 {print $4}')"
        if ((free_mb < needed)); then
            fail "there is too little room on the disk of $directory" "$free_mb MiB are free; installing needs about $needed" \
                "Free some room, or set PIPELINE_CACHE_DIR and DATA_DIR to a larger disk."
        fi
    done
}
