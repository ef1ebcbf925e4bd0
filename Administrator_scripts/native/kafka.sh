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
            printf '  Kafka: one trial run, so that Java keeps its classes ready for quick starts\n'
            _archive_kafka_classes "$target" || true # a start without them only takes longer
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

# _archive_kafka_classes DIRECTORY: makes DIRECTORY/classes.jsa, Java's archive of loaded classes, by running a broker of
# no consequence once. It almost halves what a start costs. Java itself ignores an archive that does not fit it.
_archive_kafka_classes() {
    local scratch java broker status=1 end=$((SECONDS + 60))
    java="$(find_java)" || return 1
    scratch="$(mktemp -d)"
    cat >"$scratch/server.properties" <<TEXT
process.roles=broker,controller
node.id=1
controller.quorum.bootstrap.servers=127.0.0.1:0
listeners=PLAINTEXT://127.0.0.1:0,CONTROLLER://127.0.0.1:0
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
offsets.topic.replication.factor=1
log.dirs=$scratch/log
TEXT
    printf '%s\n' 'status = error' 'appender.c.type = Console' 'appender.c.name = c' 'appender.c.layout.type = PatternLayout' \
        'rootLogger.level = info' 'rootLogger.appenderRef.c.ref = c' >"$scratch/log4j2.properties"
    if "$java" -XX:TieredStopAtLevel=1 -cp "$1/libs/*" kafka.tools.StorageTool format --standalone \
        -t AAAAAAAAAAAAAAAAAAAAAQ -c "$scratch/server.properties" >"$scratch/format.log" 2>&1; then
        "$java" -XX:ArchiveClassesAtExit="$scratch/classes.jsa" -XX:TieredStopAtLevel=1 -Xmx256m \
            -Dlog4j2.configurationFile="$scratch/log4j2.properties" -cp "$1/libs/*" kafka.Kafka \
            "$scratch/server.properties" >"$scratch/run.log" 2>&1 &
        broker=$!
        until grep -qs 'Kafka Server started' "$scratch/run.log" || ! kill -0 "$broker" 2>/dev/null || ((SECONDS > end)); do
            sleep 0.2
        done
        kill "$broker" 2>/dev/null || true
        until ! kill -0 "$broker" 2>/dev/null || ((SECONDS > end + 20)); do sleep 0.2; done
        kill -KILL "$broker" 2>/dev/null || true
        wait "$broker" 2>/dev/null || true
        if [[ -s "$scratch/classes.jsa" ]]; then
            # Whole or not at all: Java trusts an archive's length.
            cp "$scratch/classes.jsa" "$1/.classes.jsa" && chmod 644 "$1/.classes.jsa" && sync "$1/.classes.jsa" &&
                mv "$1/.classes.jsa" "$1/classes.jsa" && status=0
        fi
    fi
    rm -rf "$scratch"
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
