-- The two roles of an installation and its database; run once, as an administrator of the server:
--
--   psql --set ON_ERROR_STOP=1 --file deploy/postgres/roles.sql postgresql://ADMINISTRATOR@HOST/postgres
--
-- Running it again changes nothing.
-- It sets no passwords; deploy/README.md says how to.

-- Owns the schema and migrates it: cobrand db upgrade. No service runs under it.
SELECT 'CREATE ROLE cobrand_owner LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS'
WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'cobrand_owner')
\gexec

-- Runs the service: cobrand serve, cobrand verify. What it may do to each table, cobrand db upgrade grants.
SELECT 'CREATE ROLE cobrand_service LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS'
WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'cobrand_service')
\gexec

-- Identifiers are ordered by their bytes, as the processor itself orders them: the collation must be C.
SELECT $$CREATE DATABASE cobrand OWNER cobrand_owner TEMPLATE template0 ENCODING 'UTF8' LOCALE 'C'$$
WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = 'cobrand')
\gexec

-- Nobody else reaches it, and the service makes no tables of its own, not even temporary ones.
REVOKE ALL ON DATABASE cobrand FROM PUBLIC;
GRANT CONNECT ON DATABASE cobrand TO cobrand_service;
