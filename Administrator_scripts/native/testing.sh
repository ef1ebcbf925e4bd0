#!/usr/bin/env bash
# What the tests need besides what the product needs. To be sourced; nothing happens by sourcing.

# reachable: whether a user without any rights can come to this directory.
reachable() {
    local directory="$PWD"
    while [[ "$directory" != / ]]; do
        [[ "$(stat -c %A "$directory")" == *[xt] ]] || return 1
        directory="$(dirname "$directory")"
    done
}

# install_for_tests [unit]: the product's own programs, a browser, and the Python packages of requirements-dev.lock. With
# "unit" only the Python packages.
install_for_tests() {
    local cache="$PIPELINE_CACHE_DIR" begin
    if [[ "${1:-}" != unit ]]; then
        check_machine "$cache"
        install_packages "$cache"
        install_browser
        create_service_user
    fi
    begin="$(now)"
    install_python_packages requirements-dev.lock
    tell Python "packages of requirements-dev.lock in .venv" "$(since "$begin")"
}

# install_browser: Chromium and its driver, for the test that looks at NocoDB as a person does.
install_browser() {
    local begin
    if command -v chromium >/dev/null && command -v chromedriver >/dev/null; then
        return
    fi
    if ! may_become_root || ! command -v apt-get >/dev/null; then
        fail "the tests need a browser" "chromium or chromedriver is missing" \
            "Run as root: apt-get install -y chromium chromium-driver - then try again."
    fi
    begin="$(now)"
    _apt_update_when_needed chromium chromium-driver
    _apt_install chromium chromium-driver
    tell Packages "chromium and its driver installed" "$(since "$begin")"
}
