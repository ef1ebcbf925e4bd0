#!/usr/bin/env bash
# The native installation of Apache Kafka from its Maven artifacts. To be sourced; nothing happens by sourcing.

KAFKA_POM="$(cd "$(dirname "${BASH_SOURCE[0]}")/kafka" && pwd)/pom.xml"

# kafka_directory CACHE_DIR: prints where this release of Kafka is, or would be, installed. The name has the hash of the
# pom, so that an update of the project installs beside the old one.
kafka_directory() {
    local version hash
    version="$(sed -nE 's|.*<kafka.version>(.*)</kafka.version>.*|\1|p' "$KAFKA_POM")"
    hash="$(sha256sum "$KAFKA_POM")"
    printf '%s/kafka-%s-%s' "$1" "$version" "${hash:0:12}"
}

# install_kafka CACHE_DIR: downloads the jars with Maven; ends at once when they are there. An install that was cut short
# leaves nothing but a directory *.partial.*, which the next one removes.
install_kafka() {
    local target partial maven_log status=0 maven begin=$SECONDS
    target="$(kafka_directory "$1")"
    [[ ! -d "$target" ]] || return 0
    mkdir -p "$1"
    exec {kafka_lock}>"$1/kafka.lock"
    flock "$kafka_lock"
    if [[ ! -d "$target" ]]; then
        find "$1" -maxdepth 1 -name 'kafka-*.partial.*' -exec rm -rf {} +
        partial="$(mktemp -d "$target.partial.XXXXXX")"
        maven_log="$partial/maven.log"
        cp "$KAFKA_POM" "$partial/pom.xml"
        mvn -B -f "$partial/pom.xml" dependency:copy-dependencies -DincludeScope=runtime \
            -DoutputDirectory="$partial/libs" >"$maven_log" 2>&1 &
        maven=$!
        while kill -0 "$maven" 2>/dev/null; do
            if ((SECONDS - begin >= 10)); then
                printf '  Kafka: %s of about 44 MB downloaded\n' "$(du -sh "$partial" 2>/dev/null | cut -f1)"
                begin=$SECONDS
            fi
            sleep 0.2
        done
        wait "$maven" || status=$?
        if ((status == 0)) && compgen -G "$partial/libs/kafka_2.13-*.jar" >/dev/null; then
            rm -f "$maven_log"
            chmod -R a+rX "$partial"
            mv "$partial" "$target"
        else
            printf 'error: Kafka could not be downloaded\ndetail: %s\nhint: %s\n' \
                "$(grep -m 3 ERROR "$maven_log" | tr '\n' ' ')" \
                'Check that mvn reaches its repository and that the disk has 200 MB free, then try again.' >&2
            rm -rf "$partial"
            status=1
        fi
    fi
    exec {kafka_lock}>&-
    return "$status"
}

# find_java: prints the first java that is 17 or newer and that the user who runs the pipeline can execute.
find_java() {
    local java version
    for java in "${JAVA_HOME:+$JAVA_HOME/bin/java}" /usr/bin/java "$(command -v java || true)" /usr/lib/jvm/*/bin/java; do
        can_execute "$java" || continue
        version="$("$java" -version 2>&1 | sed -nE 's/.*version "([0-9]+).*/\1/p' | head -n 1)"
        if ((${version:-0} >= 17)); then
            printf '%s' "$java"
            return
        fi
    done
    return 1
}
