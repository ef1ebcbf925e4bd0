#!/usr/bin/env bash
# The npm packages of the page at /. To be sourced; nothing happens by sourcing.

PAGE_SOURCE="$(cd "$(dirname "${BASH_SOURCE[0]}")/../../Python_Files/pipeline/page/npm" && pwd)"

# page_directory CACHE_DIR: prints where they are, or would be, installed. The name has the hash of what decides what is in
# it; pipeline/page/assets.py makes the same.
page_directory() {
    local hash
    hash="$(cat "$PAGE_SOURCE/package.json" "$PAGE_SOURCE/package-lock.json" | sha256sum)"
    printf '%s/page-%s\n' "$1" "${hash:0:12}"
}

# install_page CACHE_DIR: installs them from npm by the lock file; ends at once when they are there.
install_page() {
    local target partial status=0
    target="$(page_directory "$1")"
    [[ ! -d "$target" ]] || return 0
    mkdir -p "$1"
    partial="$(mktemp -d "$target.partial.XXXXXX")"
    cp "$PAGE_SOURCE"/package*.json "$partial/"
    (cd "$partial" && umask 022 && npm ci --ignore-scripts --no-audit --no-fund --omit=dev --loglevel=error \
        >npm.log 2>&1) || status=$?
    if ((status != 0)); then
        local told
        told="$(tail -n 5 "$partial/npm.log" | tr '\n' ' ')"
        rm -rf "$partial"
        fail "the packages of the page could not be installed" "$told" "Check that npm reaches its registry, then try again."
    fi
    chmod 755 "$partial" && chmod -R a+rX "$partial"
    # Two installs at once: the first one's is as good.
    mv -T "$partial" "$target" 2>/dev/null || rm -rf "$partial"
}
