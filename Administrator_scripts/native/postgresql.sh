#!/usr/bin/env bash
# Where the system's PostgreSQL is. To be sourced; nothing happens by sourcing.

# find_postgresql: prints the directory of the newest PostgreSQL server programs, 15 or newer.
find_postgresql() {
    local directory newest=0 version
    for directory in /usr/lib/postgresql/*/bin; do
        version="${directory#/usr/lib/postgresql/}"
        version="${version%/bin}"
        if [[ "$version" =~ ^[0-9]+$ && -x "$directory/initdb" && -x "$directory/postgres" && -x "$directory/psql" ]]; then
            ((version <= newest)) || newest="$version"
        fi
    done
    ((newest >= 15)) || return 1
    printf '/usr/lib/postgresql/%s/bin' "$newest"
}
