-- A log of facts. Each log has a schema of its own in its owner's database, made by
-- these files with the schema first on the search path.
--
-- position     orders all events: 1, 2, 3 … without gaps, in commit order. Writers hold
--              the head row to commit before they assign it (0002_append.sql), so no
--              reader can see 7 before 6.
-- version      orders the events of one stream, from 1.
-- data,        JSON as text, byte for byte as written: it enters the hash chain, so
-- metadata     jsonb, which rewrites what it is given, will not do.
-- recorded_at  never earlier than that of the event before.
-- hash         SHA-256 over the hash before it and this event (`tollgate.eventlog.chain`).

CREATE TABLE events (
    position    bigint      PRIMARY KEY,
    stream      text        COLLATE "C" NOT NULL,
    version     integer     NOT NULL CHECK (version > 0),
    type        text        COLLATE "C" NOT NULL,
    data        text        NOT NULL,
    metadata    text        NOT NULL,
    recorded_at timestamptz NOT NULL,
    hash        bytea       NOT NULL CHECK (length(hash) = 32),

    CONSTRAINT events_stream_version UNIQUE (stream, version)
);

-- Rows come in the order of time, so a few summaries find a day among millions.
CREATE INDEX events_recorded_at ON events USING brin (recorded_at);

CREATE FUNCTION refuse_to_rewrite_history() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% on % refused: events are append-only', TG_OP, TG_TABLE_NAME;
END
$$;

CREATE TRIGGER events_are_append_only
    BEFORE UPDATE OR DELETE OR TRUNCATE ON events
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_to_rewrite_history();

-- Called by `append` before it inserts; a log kept by month makes its partition here.
CREATE FUNCTION make_room(at timestamptz) RETURNS void
LANGUAGE sql AS $$ SELECT $$;
