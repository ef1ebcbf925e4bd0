-- The read API reads as a role of its own, which can change nothing and cannot hold the database up: what takes longer
-- than it may is ended, and so many connections and no more are its.
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'pipeline_api') THEN
        CREATE ROLE pipeline_api LOGIN;
    END IF;
END
$$;
ALTER ROLE pipeline_api CONNECTION LIMIT 20;
ALTER ROLE pipeline_api SET default_transaction_read_only = on;
ALTER ROLE pipeline_api SET statement_timeout = '10s';
GRANT USAGE ON SCHEMA pipeline TO pipeline_api;
GRANT SELECT ON ALL TABLES IN SCHEMA pipeline TO pipeline_api;
ALTER DEFAULT PRIVILEGES IN SCHEMA pipeline GRANT SELECT ON TABLES TO pipeline_api;
