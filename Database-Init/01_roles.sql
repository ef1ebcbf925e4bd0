-- Who may do what. Passwords are set from .env by the programs that apply these scripts, never here.
--   pipeline         the stages: reads and writes the schema pipeline, owns nothing
--   pipeline_reader  NocoDB's read-only view of the pipeline, and anybody's reports
--   nocodb           owner of NocoDB's own database
-- Roles belong to the whole cluster and may be there already, so each is made only when it is missing.
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'pipeline') THEN
        CREATE ROLE pipeline LOGIN;
    END IF;
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'pipeline_reader') THEN
        CREATE ROLE pipeline_reader LOGIN;
    END IF;
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'nocodb') THEN
        CREATE ROLE nocodb LOGIN;
    END IF;
END
$$;
ALTER ROLE pipeline_reader SET default_transaction_read_only = on;
CREATE SCHEMA pipeline;
COMMENT ON SCHEMA pipeline IS 'People from randomuser.me, and the account of how each of them got here';
GRANT USAGE ON SCHEMA pipeline TO pipeline, pipeline_reader;
ALTER DEFAULT PRIVILEGES IN SCHEMA pipeline GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO pipeline;
ALTER DEFAULT PRIVILEGES IN SCHEMA pipeline GRANT USAGE ON SEQUENCES TO pipeline;
ALTER DEFAULT PRIVILEGES IN SCHEMA pipeline GRANT SELECT ON TABLES TO pipeline_reader;
REVOKE CREATE ON SCHEMA public FROM PUBLIC;
