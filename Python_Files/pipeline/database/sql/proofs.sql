-- name: note_proof
-- What came of restoring the backups.
INSERT INTO pipeline.backup_proofs (began_at, ended_at, ok, base_backup, restored_to, reached_lsn, rpo_seconds,
    rto_seconds, rows_compared, rows_removed, rows_different, indexes_checked, constraints_checked, faults)
VALUES (%(began_at)s, %(ended_at)s, %(ok)s, %(base_backup)s, %(restored_to)s, %(reached_lsn)s, %(rpo_seconds)s,
    %(rto_seconds)s, %(rows_compared)s, %(rows_removed)s, %(rows_different)s, %(indexes_checked)s,
    %(constraints_checked)s, %(faults)s)

-- name: newest_proof
-- The last proof, and its age in seconds.
SELECT began_at, ok, base_backup, rpo_seconds, rto_seconds, faults, extract(epoch FROM now() - ended_at)::double precision
FROM pipeline.backup_proofs
ORDER BY id DESC
LIMIT 1

-- name: backup_state
-- The archive and the restore points: times, and the ages that a warning needs, in seconds.
SELECT (SELECT max(taken_at) FROM pipeline.restore_points),
    (SELECT extract(epoch FROM now() - max(taken_at))::double precision FROM pipeline.restore_points),
    (SELECT extract(epoch FROM now() - min(taken_at))::double precision FROM pipeline.restore_points),
    extract(epoch FROM now() - pg_postmaster_start_time())::double precision,
    last_archived_time, last_failed_time, last_failed_wal,
    (SELECT count(*) FROM pg_ls_archive_statusdir() WHERE name LIKE '%%.ready'),
    (SELECT extract(epoch FROM now() - min(modification))::double precision
     FROM pg_ls_archive_statusdir() WHERE name LIKE '%%.ready')
FROM pg_stat_archiver

-- name: restored_offsets
-- Where the sink of the rows stood.
SELECT o.topic, o.partition, o.next_offset
FROM pipeline.offsets o
WHERE o.sink = %(sink)s
ORDER BY o.topic, o.partition

-- name: table_columns
-- The columns of the people's table.
SELECT attname::text
FROM pg_attribute
WHERE attrelid = 'pipeline.users'::regclass AND attnum > 0 AND NOT attisdropped
ORDER BY attname

-- name: hash_pieces
-- Of one partition below an offset: pieces of so many offsets, how many people are in each, and the sum of their rows' hashes.
SELECT source_offset / %(piece)s AS piece, count(*),
    sum(('x' || left(md5(ROW({columns})::text), 16))::bit(64)::bigint::numeric)
FROM pipeline.users
WHERE source_topic = %(topic)s AND source_partition = %(partition)s AND source_offset < %(below)s
GROUP BY 1
ORDER BY 1

-- name: hash_rows
-- The rows of one piece, by uuid.
SELECT uuid, md5(ROW({columns})::text)
FROM pipeline.users
WHERE source_topic = %(topic)s AND source_partition = %(partition)s
    AND source_offset >= %(from)s AND source_offset < %(below)s

-- name: removed_people
-- Who of these people was removed from PostgreSQL on purpose.
SELECT uuid FROM pipeline.removed WHERE store = 'postgresql' AND uuid = ANY (%(uuids)s)

-- name: beyond_offsets
-- People of a restored database whose record its own sink had not read: there must be none.
SELECT count(*)
FROM pipeline.users u
LEFT JOIN pipeline.offsets o
    ON o.sink = %(sink)s AND o.topic = u.source_topic AND o.partition = u.source_partition
WHERE o.next_offset IS NULL OR u.source_offset >= o.next_offset

-- name: checked_databases
-- The databases that hold something of ours.
SELECT datname::text FROM pg_database WHERE datallowconn AND NOT datistemplate ORDER BY datname

-- name: amcheck_available
-- Whether the server's package has the extension.
SELECT count(*) > 0 FROM pg_available_extensions WHERE name = 'amcheck'

-- name: btree_indexes
-- Indexes that amcheck can compare with their tables.
SELECT c.oid::bigint, c.oid::regclass::text
FROM pg_class c
JOIN pg_index i ON i.indexrelid = c.oid
JOIN pg_am a ON a.oid = c.relam
WHERE a.amname = 'btree' AND c.relkind = 'i' AND c.relpersistence = 'p' AND i.indisvalid AND i.indisready
ORDER BY 2

-- name: check_index
-- Raises an error unless the index is in order and has every row of its table.
SELECT bt_index_check(%(index)s::oid, true)

-- name: heap_tables
-- Tables whose pages amcheck can look at.
SELECT c.oid::bigint, c.oid::regclass::text
FROM pg_class c
JOIN pg_am a ON a.oid = c.relam
WHERE a.amname = 'heap' AND c.relkind IN ('r', 'm', 't') AND c.relpersistence = 'p'
ORDER BY 2

-- name: check_table
-- The faults of a table's pages.
SELECT blkno, msg FROM verify_heapam(%(table)s::oid::regclass) LIMIT 3

-- name: unvalidate_constraints
-- So that VALIDATE looks at every row again; in a scratch copy only.
UPDATE pg_constraint
SET convalidated = false
WHERE contype IN ('c', 'f') AND conrelid <> 0 AND conparentid = 0 AND coninhcount = 0
    -- A base backup has the temporary tables of the sessions of its time: they are nobody's, and nobody may change them.
    AND conrelid IN (SELECT oid FROM pg_class WHERE relpersistence <> 't')
    AND connamespace NOT IN ('pg_catalog'::regnamespace, 'information_schema'::regnamespace)
RETURNING conrelid::regclass::text, quote_ident(conname)

-- name: known_topics
-- The topics in their lives.
SELECT id, cluster_id, topic_id FROM pipeline.topics
