-- The moments that can be restored by name. A restored database knows only those before its own moment, so the same is
-- kept in a file beside the backups.
CREATE TABLE pipeline.restore_points (
    name             text NOT NULL,
    taken_at         timestamptz NOT NULL,
    lsn              pg_lsn NOT NULL,
    wal_segment      text NOT NULL,
    offsets          jsonb NOT NULL,
    base_backup      text,
    duration_seconds double precision NOT NULL,
    CONSTRAINT restore_points_pkey PRIMARY KEY (name),
    CONSTRAINT restore_points_wal_segment_name CHECK (wal_segment ~ '^[0-9A-F]{24}$')
);
COMMENT ON TABLE pipeline.restore_points IS 'Moments whose WAL is safe in the repository, so that the databases can be restored to them';
COMMENT ON COLUMN pipeline.restore_points.lsn IS 'the end of the restore point''s own record in the WAL';
COMMENT ON COLUMN pipeline.restore_points.wal_segment IS 'the segment that holds the restore point';
COMMENT ON COLUMN pipeline.restore_points.offsets IS 'per sink and partition the next offset to read, shortly before the moment: the restored database has these or later ones';
COMMENT ON COLUMN pipeline.restore_points.base_backup IS 'the base backup that was taken in the same run; normally none';
REVOKE INSERT, UPDATE, DELETE ON pipeline.restore_points FROM pipeline;
