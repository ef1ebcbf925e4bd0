-- The account of each run of the feed, to browse. What only Kafka and NocoDB themselves can tell (who is on the way, who was
-- deleted in NocoDB a moment ago) is not in here: Administrator_scripts/Ledger.sh asks them too.
-- A fetch is asked for by person, too: whoever was brought twice and removed later is a repeat of the second fetch.
DROP INDEX pipeline.repeats_fetch_id;
CREATE INDEX repeats_fetch_id ON pipeline.repeats (fetch_id, uuid);

CREATE VIEW pipeline.ledger AS
SELECT fetches.arrived_at,
       fetches.fetch_id,
       fetches.kind,
       fetches.source,
       fetches.requested,
       fetches.received,
       fetches.rejected AS refused_by_feed,
       counted.fetched,
       counted.postgresql_stored,
       counted.postgresql_known,
       counted.postgresql_removed,
       counted.postgresql_rejected,
       counted.fetched - counted.postgresql_stored - counted.postgresql_known - counted.postgresql_removed
           - counted.postgresql_rejected AS postgresql_open,
       counted.nocodb_stored,
       counted.nocodb_known,
       counted.nocodb_removed,
       counted.nocodb_rejected,
       counted.fetched - counted.nocodb_stored - counted.nocodb_known - counted.nocodb_removed
           - counted.nocodb_rejected AS nocodb_open,
       fetches.failure
FROM pipeline.fetches
LEFT JOIN LATERAL (
    SELECT count(*) AS fetched,
           count(*) FILTER (WHERE u.fetch_id = fetches.fetch_id) AS postgresql_stored,
           count(*) FILTER (WHERE u.fetch_id <> fetches.fetch_id OR again.to_postgresql) AS postgresql_known,
           count(*) FILTER (WHERE u.uuid IS NULL AND p.uuid IS NOT NULL AND NOT again.to_postgresql) AS postgresql_removed,
           count(*) FILTER (WHERE u.uuid IS NULL AND p.uuid IS NULL AND refused.by_postgresql) AS postgresql_rejected,
           count(*) FILTER (WHERE n.uuid IS NULL AND w.fetch_id = fetches.fetch_id) AS nocodb_stored,
           count(*) FILTER (WHERE n.uuid IS NULL AND w.fetch_id <> fetches.fetch_id OR again.to_nocodb) AS nocodb_known,
           count(*) FILTER (WHERE n.uuid IS NOT NULL AND NOT again.to_nocodb) AS nocodb_removed,
           count(*) FILTER (WHERE n.uuid IS NULL AND w.uuid IS NULL AND refused.by_nocodb) AS nocodb_rejected
    FROM pipeline.fetched_users f
    LEFT JOIN pipeline.users u ON u.uuid = f.uuid
    LEFT JOIN pipeline.nocodb_users w ON w.uuid = f.uuid
    LEFT JOIN pipeline.removed p ON p.uuid = f.uuid AND p.store = 'postgresql'
    LEFT JOIN pipeline.removed n ON n.uuid = f.uuid AND n.store = 'nocodb'
    CROSS JOIN LATERAL (
        -- Noted as a repeat of a row that another run had made, and removed since.
        SELECT u.uuid IS NULL AND COALESCE(p.fetch_id <> fetches.fetch_id, false) AND EXISTS (
                   SELECT FROM pipeline.repeats r
                   WHERE r.fetch_id = fetches.fetch_id AND r.uuid = f.uuid AND r.sink = '3-Add_Database-postgresql'
               ) AS to_postgresql,
               COALESCE(n.fetch_id <> fetches.fetch_id, false) AND EXISTS (
                   SELECT FROM pipeline.repeats r
                   WHERE r.fetch_id = fetches.fetch_id AND r.uuid = f.uuid AND r.sink = '3-Add_Database-nocodb'
               ) AS to_nocodb
    ) AS again
    LEFT JOIN LATERAL (
        SELECT bool_or(r.stage <> '3-Add_Database-nocodb') AS by_postgresql,
               bool_or(r.stage <> '3-Add_Database-postgresql') AS by_nocodb
        FROM pipeline.rejected r
        WHERE r.uuid = f.uuid AND r.stage <> '0-Get_Data' AND r.topic <> 'pipeline.fetches'
    ) AS refused ON true
    WHERE f.source_topic = fetches.source_topic
      AND f.source_partition = fetches.source_partition
      AND f.source_offset = fetches.source_offset
) AS counted ON true
ORDER BY fetches.arrived_at DESC;
COMMENT ON VIEW pipeline.ledger IS 'One row a run of the feed: whom it brought, and what became of them in each store. "known": another run''s record made the row; "open": on the way or missing, which Ledger.sh tells apart';
