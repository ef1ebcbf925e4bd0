#!/usr/bin/env bash
# The native installation of NocoDB and of the Node that runs it. To be sourced; nothing happens by sourcing.

NOCODB_SOURCE="$(cd "$(dirname "${BASH_SOURCE[0]}")/nocodb" && pwd)"

# nocodb_directory CACHE_DIR: prints where this release of NocoDB is, or would be, installed. The name has the hash of
# everything that decides what is in it, so that an update of the project installs beside the old one.
nocodb_directory() {
    local version hash
    version="$(sed -nE 's/^ *"nocodb": "([^"]+)".*/\1/p' "$NOCODB_SOURCE/package.json")"
    hash="$(cd "$NOCODB_SOURCE" && cat package.json package-lock.json server.cjs sqlite3-absent.cjs | sha256sum)"
    printf '%s/nocodb-%s-%s\n' "$1" "$version" "${hash:0:12}"
}

# install_nocodb CACHE_DIR: installs NocoDB from npm by the lock file; ends at once when it is there. Needs npm on the
# PATH (of any age: the server runs on the Node that is installed with it). Readable by every user. An install that was
# cut short leaves nothing but a directory *.partial.*, which the next one removes.
install_nocodb() {
    local cache="$1" target partial npm_log npm status=0
    target="$(nocodb_directory "$cache")"
    if [[ -d "$target" ]]; then
        return 0
    fi
    if ! command -v npm >/dev/null; then
        printf 'error: npm is not installed\nhint: NocoDB is installed with npm; on Debian: apt-get install npm\n' >&2
        return 1
    fi
    mkdir -p "$cache"
    exec {nocodb_lock}>"$cache/nocodb.lock"
    flock "$nocodb_lock"
    if [[ ! -d "$target" ]]; then
        find "$cache" -maxdepth 1 -name 'nocodb-*.partial.*' -exec rm -rf {} +
        partial="$(mktemp -d "$target.partial.XXXXXX")"
        npm_log="$partial/npm.log"
        cp "$NOCODB_SOURCE"/{package.json,package-lock.json,server.cjs,sqlite3-absent.cjs} "$partial/"
        # No scripts: none is needed to run, and so no package runs code of its own while it is installed.
        (cd "$partial" && umask 022 && exec npm ci --ignore-scripts --no-audit --no-fund --omit=dev \
            --loglevel=error >"$npm_log" 2>&1) &
        npm=$!
        _nocodb_progress "$partial" "$npm"
        wait "$npm" || status=$?
        if ((status == 0)); then
            _nocodb_finish "$partial" || status=$?
        fi
        if ((status == 0)); then
            mv "$partial" "$target"
        else
            printf 'error: NocoDB could not be installed\ndetail: %s\nhint: %s\n' "$(tail -n 5 "$npm_log" | tr '\n' ' ')" \
                'Check that npm reaches its registry and that the disk has 2 GB free, then try again.' >&2
            rm -rf "$partial"
        fi
    fi
    exec {nocodb_lock}>&-
    return "$status"
}

# _nocodb_progress DIRECTORY PID: until the process ends, shows every ten seconds how much is installed.
_nocodb_progress() {
    local begin=$SECONDS
    while kill -0 "$2" 2>/dev/null; do
        if ((SECONDS - begin >= 10)); then
            printf '  NocoDB: %s MB of about 950 MB installed\n' "$(du -sm "$1" 2>/dev/null | cut -f1)"
            begin=$SECONDS
        fi
        sleep 0.5
    done
}

# _nocodb_finish DIRECTORY: puts Node at DIRECTORY/node, drops what nothing reads at run time, and opens it to all.
_nocodb_finish() {
    local machine
    case "$(uname -m)" in
        x86_64) machine=x64 ;;
        aarch64 | arm64) machine=arm64 ;;
        *)
            printf 'error: there is no Node package for %s\n' "$(uname -m)" >>"$1/npm.log"
            return 1
            ;;
    esac
    ln -s "node_modules/node-linux-$machine/bin/node" "$1/node" || return 1
    find "$1/node_modules" -type f \( -name '*.map' -o -name '*.d.ts' -o -name '*.d.mts' -o -name '*.d.cts' \) -delete
    chmod 755 "$1" && chmod -R a+rX "$1" && chmod a+x "$1/node_modules/node-linux-$machine/bin/node" || return 1
    if ! "$1/node" --version >>"$1/npm.log" 2>&1; then
        printf 'the Node of the package node-linux-%s does not run here\n' "$machine" >>"$1/npm.log"
        return 1
    fi
}
