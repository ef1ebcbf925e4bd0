-- Each time the backups were restored to see whether they can be.
CREATE TABLE pipeline.backup_proofs (
    id             bigint GENERATED ALWAYS AS IDENTITY,
    began_at       timestamptz NOT NULL,
    ended_at       timestamptz NOT NULL,
    ok             boolean NOT NULL,
    base_backup    text,
    restored_to    timestamptz,
    reached_lsn    pg_lsn,
    rpo_seconds    double precision,
    rto_seconds    double precision,
    rows_compared  bigint NOT NULL DEFAULT 0,
    rows_removed   bigint NOT NULL DEFAULT 0,
    rows_different bigint NOT NULL DEFAULT 0,
    indexes_checked     integer NOT NULL DEFAULT 0,
    constraints_checked integer NOT NULL DEFAULT 0,
    faults         jsonb NOT NULL DEFAULT '[]',
    CONSTRAINT backup_proofs_pkey PRIMARY KEY (id),
    CONSTRAINT backup_proofs_faults_named CHECK (ok = (faults = '[]'))
);
COMMENT ON TABLE pipeline.backup_proofs IS 'What came of restoring the backups into a scratch cluster and comparing it with the live database';
COMMENT ON COLUMN pipeline.backup_proofs.restored_to IS 'the newest moment that could be restored when the proof began';
COMMENT ON COLUMN pipeline.backup_proofs.reached_lsn IS 'where the replay of the WAL ended';
COMMENT ON COLUMN pipeline.backup_proofs.rpo_seconds IS 'the age of restored_to when the proof began: what a disaster then would have cost';
COMMENT ON COLUMN pipeline.backup_proofs.rto_seconds IS 'from the start of the restore until the restored databases answered';
COMMENT ON COLUMN pipeline.backup_proofs.rows_compared IS 'people of the restored database whose rows were compared';
COMMENT ON COLUMN pipeline.backup_proofs.rows_removed IS 'of these, people that were removed on purpose since';
COMMENT ON COLUMN pipeline.backup_proofs.rows_different IS 'people who are in only one of the two, or not the same in both';
COMMENT ON COLUMN pipeline.backup_proofs.faults IS 'what was found, in words; none in a proof that is ok';
COMMENT ON CONSTRAINT backup_proofs_faults_named ON pipeline.backup_proofs IS 'a failed proof says why';
REVOKE INSERT, UPDATE, DELETE ON pipeline.backup_proofs FROM pipeline;
-- Status.sh asks how many segments of the WAL wait to be archived.
GRANT EXECUTE ON FUNCTION pg_ls_archive_statusdir() TO pipeline;
