-- name: know_topic
-- The number of a topic in its present life; made when it is first seen. Two sinks may ask at once.
INSERT INTO pipeline.topics (cluster_id, topic_id, name)
VALUES (%(cluster_id)s, %(topic_id)s, %(name)s)
ON CONFLICT (cluster_id, topic_id) DO UPDATE SET name = EXCLUDED.name
RETURNING id

-- name: read_offsets
-- Where a sink goes on in the partitions of some topics.
SELECT topic, partition, next_offset
FROM pipeline.offsets
WHERE sink = %(sink)s AND topic = ANY (%(topics)s)

-- name: begin_offset
-- A partition that this sink reads for the first time.
INSERT INTO pipeline.offsets (sink, topic, partition, next_offset)
VALUES (%(sink)s, %(topic)s, %(partition)s, %(next_offset)s)
ON CONFLICT DO NOTHING

-- name: advance_offset
-- Move on, if and only if nobody else did since the value was read. No row updated: somebody else owns the partition.
UPDATE pipeline.offsets
SET next_offset = %(next_offset)s,
    processed = processed + %(processed)s,
    stored = stored + %(stored)s,
    repeats = repeats + %(repeats)s,
    rejected = rejected + %(rejected)s,
    updated_at = now()
WHERE sink = %(sink)s AND topic = %(topic)s AND partition = %(partition)s AND next_offset = %(expected)s

-- name: make_staging
-- Rows are copied here first; it empties itself at every commit and belongs to the session alone.
CREATE TEMPORARY TABLE IF NOT EXISTS staging (LIKE pipeline.users INCLUDING CONSTRAINTS INCLUDING DEFAULTS) ON COMMIT DELETE ROWS

-- name: store_new
-- The first record of each uuid makes its row, unless the person was removed on purpose. Answers who is new.
INSERT INTO pipeline.users ({columns})
SELECT DISTINCT ON (uuid) {columns}
FROM staging
WHERE NOT EXISTS (SELECT FROM pipeline.removed r WHERE r.uuid = staging.uuid AND r.store = 'postgresql')
ORDER BY uuid, source_partition, source_offset
ON CONFLICT (uuid) DO NOTHING
RETURNING source_partition, source_offset

-- name: note_repeats
-- Records whose person the store had. One row a source offset.
INSERT INTO pipeline.repeats (sink, source_topic, source_partition, source_offset, uuid, fetch_id)
VALUES %s
ON CONFLICT DO NOTHING

-- name: store_fetch
-- One run of the feed.
INSERT INTO pipeline.fetches (source_topic, source_partition, source_offset, fetch_id, kind, source, seed, page, due_at,
    requested, received, rejected, nationalities, failure, arrived_at)
VALUES (%(source_topic)s, %(source_partition)s, %(source_offset)s, %(fetch_id)s, %(kind)s, %(source)s, %(seed)s,
    %(page)s, %(due_at)s, %(requested)s, %(received)s, %(rejected)s, %(nationalities)s, %(failure)s, %(arrived_at)s)
ON CONFLICT DO NOTHING

-- name: store_fetched_users
-- Whom the run brought, in the order of the response.
INSERT INTO pipeline.fetched_users (source_topic, source_partition, source_offset, ordinal, uuid)
VALUES %s
ON CONFLICT DO NOTHING

-- name: written_to_nocodb
-- Which of these people the sink has written to NocoDB before.
SELECT uuid FROM pipeline.nocodb_users WHERE uuid = ANY (%(uuids)s)

-- name: removed_from_nocodb
-- Which of these people were removed from NocoDB on purpose.
SELECT uuid FROM pipeline.removed WHERE store = 'nocodb' AND uuid = ANY (%(uuids)s)

-- name: note_written
-- People that are in NocoDB now.
INSERT INTO pipeline.nocodb_users (uuid, fetch_id, source)
VALUES %s
ON CONFLICT DO NOTHING

-- name: read_portraits
-- All portraits that lie in NocoDB's storage; at most 200.
SELECT kind, number, origin, attachment FROM pipeline.portraits

-- name: keep_portrait
-- A portrait that was stored; a real one takes the place of one of our own making.
INSERT INTO pipeline.portraits (kind, number, origin, attachment)
VALUES (%(kind)s, %(number)s, %(origin)s, %(attachment)s)
ON CONFLICT (kind, number) DO UPDATE
SET origin = EXCLUDED.origin, attachment = EXCLUDED.attachment, stored_at = now()
