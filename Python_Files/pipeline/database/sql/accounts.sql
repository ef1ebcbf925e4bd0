-- name: count_stores
-- What the database knows of both stores.
SELECT
    (SELECT count(*) FROM pipeline.fetched_users) AS fetched,
    (SELECT count(*) FROM pipeline.users) AS postgresql,
    -- Who should be in NocoDB: written, and not recorded as removed.
    (SELECT count(*) FROM pipeline.nocodb_users w
     WHERE NOT EXISTS (SELECT FROM pipeline.removed r WHERE r.uuid = w.uuid AND r.store = 'nocodb')) AS nocodb_written,
    (SELECT count(*) FROM pipeline.rejected WHERE state = 'open') AS open_rejected,
    -- Of people who were in users.fetched: neither what the feed itself refused nor what the other store alone did.
    (SELECT count(*) FROM pipeline.rejected
     WHERE stage NOT IN (%(feed)s, %(nocodb)s) AND topic <> 'pipeline.fetches') AS postgresql_rejected,
    (SELECT count(*) FROM pipeline.rejected
     WHERE stage NOT IN (%(feed)s, %(postgresql)s) AND topic <> 'pipeline.fetches') AS nocodb_rejected,
    (SELECT count(*) FROM pipeline.repeats WHERE sink = %(postgresql)s) AS postgresql_repeats,
    (SELECT count(*) FROM pipeline.repeats WHERE sink = %(nocodb)s) AS nocodb_repeats,
    (SELECT count(*) FROM pipeline.removed WHERE store = 'postgresql') AS postgresql_removed,
    (SELECT count(*) FROM pipeline.removed WHERE store = 'nocodb') AS nocodb_removed

-- name: unaccounted_postgresql
-- People whom a fetch brought and who are nowhere in PostgreSQL: not stored, not removed, not set aside. By uuid.
SELECT DISTINCT f.uuid
FROM pipeline.fetched_users f
WHERE NOT EXISTS (SELECT FROM pipeline.users u WHERE u.uuid = f.uuid)
  AND NOT EXISTS (SELECT FROM pipeline.removed r WHERE r.uuid = f.uuid AND r.store = 'postgresql')
  AND NOT EXISTS (SELECT FROM pipeline.rejected r WHERE r.uuid = f.uuid AND r.stage NOT IN (%(feed)s, %(nocodb)s))
LIMIT %(limit)s

-- name: unaccounted_nocodb
-- The same for NocoDB.
SELECT DISTINCT f.uuid
FROM pipeline.fetched_users f
WHERE NOT EXISTS (SELECT FROM pipeline.nocodb_users w WHERE w.uuid = f.uuid)
  AND NOT EXISTS (SELECT FROM pipeline.removed r WHERE r.uuid = f.uuid AND r.store = 'nocodb')
  AND NOT EXISTS (SELECT FROM pipeline.rejected r WHERE r.uuid = f.uuid AND r.stage NOT IN (%(feed)s, %(postgresql)s))
LIMIT %(limit)s

-- name: read_progress
-- Where a sink goes on, and what it made of what it read, per partition of the topics as they are now.
SELECT t.name, o.partition, o.next_offset, o.processed, o.rejected
FROM pipeline.offsets o
JOIN pipeline.topics t ON t.id = o.topic
WHERE o.sink = %(sink)s AND t.cluster_id = %(cluster_id)s AND t.topic_id = ANY (%(topic_ids)s)

-- name: newest_fetch
-- The last run of the feed that brought somebody, and the last one that failed.
SELECT
    (SELECT max(arrived_at) FROM pipeline.fetches WHERE received > 0) AS received_at,
    (SELECT max(stored_at) FROM pipeline.fetches WHERE failure IS NOT NULL) AS failed_at,
    (SELECT failure FROM pipeline.fetches WHERE failure IS NOT NULL ORDER BY stored_at DESC LIMIT 1) AS failure

-- name: any_user
-- Whether anybody was ever stored.
SELECT EXISTS (SELECT FROM pipeline.users)

-- name: note_source_removed
-- Everybody of one source, wherever they are by now, is removed from both stores on purpose. Noted first, so that who is
-- still on the way does not arrive afterwards.
INSERT INTO pipeline.removed (uuid, store, fetch_id, source, why)
SELECT DISTINCT ON (everybody.uuid, store.name) everybody.uuid, store.name, everybody.fetch_id, %(source)s, %(why)s
FROM (
    SELECT uuid, fetch_id FROM pipeline.users WHERE source = %(source)s
    UNION ALL
    SELECT uuid, fetch_id FROM pipeline.nocodb_users WHERE source = %(source)s
    UNION ALL
    SELECT f.uuid, r.fetch_id
    FROM pipeline.fetched_users f
    JOIN pipeline.fetches r USING (source_topic, source_partition, source_offset)
    WHERE r.source = %(source)s
      -- Somebody whom another source brought first is that one's.
      AND NOT EXISTS (SELECT FROM pipeline.users u WHERE u.uuid = f.uuid AND u.source <> %(source)s)
) AS everybody
CROSS JOIN (VALUES ('postgresql'), ('nocodb')) AS store (name)
ORDER BY everybody.uuid, store.name, everybody.fetch_id
ON CONFLICT DO NOTHING

-- name: removed_of_source
-- A piece of those who were removed from a store, in the order of their uuids.
SELECT uuid
FROM pipeline.removed
WHERE store = %(store)s AND source = %(source)s AND uuid > %(after)s
ORDER BY uuid
LIMIT %(limit)s

-- name: delete_users
-- Remove people from the table.
DELETE FROM pipeline.users WHERE uuid = ANY (%(uuids)s)
