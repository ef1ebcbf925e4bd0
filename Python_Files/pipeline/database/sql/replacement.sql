-- name: replacement_exists
-- Whether there is such a database.
SELECT EXISTS (SELECT FROM pg_database WHERE datname = %(name)s)

-- name: replacement_size
-- How many bytes a database has.
SELECT pg_database_size(%(name)s::name)

-- name: replacement_kept
-- Databases that were replaced and are still there, oldest first, with their bytes.
SELECT datname::text, pg_database_size(oid) FROM pg_database WHERE datname LIKE %(pattern)s ORDER BY datname

-- name: replacement_model
-- What a database alike is made with. The names of some columns differ between PostgreSQL's versions, so all are given.
SELECT pg_get_userbyid(d.datdba)::text, pg_encoding_to_char(d.encoding)::text, t.spcname::text, to_jsonb(d)
FROM pg_database d
JOIN pg_tablespace t ON t.oid = d.dattablespace
WHERE d.datname = %(name)s

-- name: replacement_comment
-- What is said about a database.
SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = %(name)s

-- name: replacement_rights
-- Who may do what with a database ("" is everybody), and whether they may hand it on.
SELECT coalesce(r.rolname::text, ''), given.privilege_type, given.is_grantable
FROM pg_database d
CROSS JOIN aclexplode(coalesce(d.datacl, acldefault('d', d.datdba))) AS given
LEFT JOIN pg_roles r ON r.oid = given.grantee
WHERE d.datname = %(name)s
ORDER BY 1, 2

-- name: replacement_settings
-- The settings of a database, of everybody ("") or of one role in it: name and value.
SELECT coalesce(r.rolname::text, ''), split_part(one, '=', 1), substr(one, strpos(one, '=') + 1)
FROM pg_database d
JOIN pg_db_role_setting s ON s.setdatabase = d.oid
LEFT JOIN pg_roles r ON r.oid = s.setrole
CROSS JOIN unnest(s.setconfig) AS one
WHERE d.datname = %(name)s
ORDER BY 1, 2

-- name: replacement_end_sessions
-- Everybody leaves these databases; their programs connect anew.
SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = ANY (%(names)s) AND pid <> pg_backend_pid()

-- name: replacement_columns
-- The columns of a table, in order.
SELECT attname::text
FROM pg_attribute
WHERE attrelid = to_regclass(%(table)s) AND attnum > 0 AND NOT attisdropped
ORDER BY attnum

-- name: replacement_next_proof
-- The next proof gets a number of its own.
SELECT setval(pg_get_serial_sequence('pipeline.backup_proofs', 'id'), max(id)) FROM pipeline.backup_proofs HAVING max(id) IS NOT NULL

-- name: replacement_extensions
-- What was added to a database, and in which schema.
SELECT 'extension ' || extname || ' in ' || extnamespace::regnamespace::text FROM pg_extension ORDER BY 1
