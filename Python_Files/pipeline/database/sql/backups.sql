-- name: sink_places
-- Per sink and topic the next offset to read of each partition, as one JSON list.
SELECT coalesce(jsonb_agg(jsonb_build_object('sink', sink, 'topic', name, 'cluster_id', cluster_id,
    'topic_id', topic_id, 'next_offsets', next_offsets) ORDER BY sink, id), '[]')
FROM (
    SELECT o.sink, t.id, t.name, t.cluster_id, t.topic_id,
        jsonb_object_agg(o.partition, o.next_offset) AS next_offsets
    FROM pipeline.offsets o
    JOIN pipeline.topics t ON t.id = o.topic
    GROUP BY o.sink, t.id
) AS places

-- name: make_restore_point
-- A mark in the WAL; its place there.
SELECT pg_create_restore_point(%(name)s)

-- name: switch_wal
-- The segment that a place lies in, which ends now and leaves for the repository.
SELECT pg_walfile_name(%(lsn)s), pg_switch_wal()

-- name: archiving
-- Where the WAL is sent.
SELECT current_setting('archive_mode'), current_setting('archive_command')

-- name: last_archived
-- The newest file of the WAL that was archived; nothing since the last crash.
SELECT last_archived_wal FROM pg_stat_archiver

-- name: archiving_fails
-- Whether the last attempt failed.
SELECT coalesce(last_failed_time > coalesce(last_archived_time, '-infinity'), false) FROM pg_stat_archiver

-- name: archiving_failures
-- Why segments do not leave: failures, the last one, and how many segments wait.
SELECT failed_count, last_failed_wal, last_failed_time,
    (SELECT count(*) FROM pg_ls_archive_statusdir() WHERE name LIKE '%%.ready')
FROM pg_stat_archiver

-- name: pushing_errors
-- What pgBackRest has left in this directory of the server: per segment, why it could not be sent.
SELECT pg_read_file(%(directory)s || '/' || name, 0, 8192, true)
FROM pg_ls_dir(%(directory)s, true, false) AS files(name)
WHERE name LIKE '%%.error'
ORDER BY name

-- name: note_restore_point
-- A moment that can be restored from now on.
INSERT INTO pipeline.restore_points (name, taken_at, lsn, wal_segment, offsets, base_backup, duration_seconds)
VALUES (%(name)s, %(taken_at)s, %(lsn)s, %(wal_segment)s, %(offsets)s, %(base_backup)s, %(duration_seconds)s)

-- name: forget_restore_points
-- Moments that no base backup reaches any more.
DELETE FROM pipeline.restore_points WHERE taken_at < %(moment)s

-- name: system_id
-- Which cluster this is: made with it, and the same for ever.
SELECT system_identifier FROM pg_control_system()

-- name: nocodb_tables
-- The tables that NocoDB keeps people's rows in: schema, table, title, whether the pipeline fills it.
SELECT c.table_schema, c.table_name, coalesce(min(m.title), c.table_name), bool_or(c.column_name = 'uuid')
FROM information_schema.columns c
JOIN information_schema.tables t USING (table_schema, table_name)
-- Another source of the same base, the pipeline's, may have a table of the same name; that one is not in this database.
LEFT JOIN (public.nc_models_v2 m JOIN public.nc_sources_v2 s ON s.id = m.source_id AND s.alias IS DISTINCT FROM 'pipeline')
    ON m.table_name = c.table_name AND m.base_id = c.table_schema
WHERE t.table_type = 'BASE TABLE' AND c.table_schema NOT IN ('public', 'pg_catalog', 'information_schema')
GROUP BY 1, 2
HAVING bool_or(c.column_name = 'created_at') AND bool_or(c.column_name = 'updated_at')
ORDER BY 1, 2

-- name: nocodb_designs_since
-- What else people made or changed in NocoDB since a moment: kind, how many. Not the project's own work: its table, the
-- first account, what NocoDB reads of the pipeline's database at a start, and what comes with a new table.
WITH models AS (
    SELECT m.id, m.table_name, m.created_at, m.updated_at, s.alias IS NOT DISTINCT FROM 'pipeline' AS is_read,
        m.created_at + interval '1 minute' AS settled_at
    FROM public.nc_models_v2 m
    LEFT JOIN public.nc_sources_v2 s ON s.id = m.source_id
)
SELECT kind, count(*)
FROM (
    SELECT 'tables' AS kind, greatest(created_at, updated_at) AS changed_at
    FROM models
    WHERE NOT is_read AND (table_name <> 'users' OR updated_at > settled_at)
    UNION ALL
    SELECT 'columns', greatest(c.created_at, c.updated_at)
    FROM public.nc_columns_v2 c
    JOIN models m ON m.id = c.fk_model_id
    WHERE NOT m.is_read AND greatest(c.created_at, c.updated_at) > m.settled_at
    UNION ALL
    SELECT 'views', greatest(v.created_at, v.updated_at)
    FROM public.nc_views_v2 v
    JOIN models m ON m.id = v.fk_model_id
    WHERE greatest(v.created_at, v.updated_at) > m.settled_at
    UNION ALL
    SELECT 'comments', greatest(created_at, updated_at) FROM public.nc_comments
    UNION ALL
    SELECT 'accounts', created_at
    FROM public.nc_users_v2
    WHERE created_at > (SELECT min(created_at) FROM public.nc_users_v2)
) AS made
WHERE changed_at >= %(moment)s
GROUP BY kind
ORDER BY kind

-- name: people_since
-- Since a moment: people stored; people removed on purpose, and of them those whose NocoDB row is of that time, too;
-- decisions about refused records.
SELECT (SELECT count(*) FROM pipeline.users WHERE created_at >= %(moment)s),
    count(DISTINCT r.uuid),
    count(DISTINCT r.uuid) FILTER (WHERE r.store = 'nocodb' AND (w.uuid IS NULL OR w.written_at >= %(moment)s)),
    (SELECT count(*) FROM pipeline.rejected WHERE state <> 'open' AND state_at >= %(moment)s)
FROM pipeline.removed r
LEFT JOIN pipeline.nocodb_users w ON w.uuid = r.uuid
WHERE r.removed_at >= %(moment)s
