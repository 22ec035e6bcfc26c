-- A log of facts kept by month, so that a closed month can be exported and dropped.
-- It is the log of 0001_events.sql otherwise: read that one first.
--
-- A partitioned table cannot have a unique key without the column it is parted by.
-- Positions and versions are unique all the same, because `append` assigns both while
-- it holds the head row, and nothing else may insert.

CREATE TABLE events (
    position    bigint      NOT NULL,
    stream      text        COLLATE "C" NOT NULL,
    version     integer     NOT NULL CHECK (version > 0),
    type        text        COLLATE "C" NOT NULL,
    data        text        NOT NULL,
    metadata    text        NOT NULL,
    recorded_at timestamptz NOT NULL,
    hash        bytea       NOT NULL CHECK (length(hash) = 32),

    PRIMARY KEY (position, recorded_at),
    CONSTRAINT events_stream_version UNIQUE (stream, version, recorded_at)
) PARTITION BY RANGE (recorded_at);

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

-- Called by `append` before it inserts: the month of `at` gets its partition. A
-- statement trigger does not reach a partition written by its own name, so each
-- partition carries the trigger as well.
CREATE FUNCTION make_room(at timestamptz) RETURNS void
LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
DECLARE
    month     timestamp := date_trunc('month', at AT TIME ZONE 'UTC');
    partition text      := 'events_' || to_char(month, 'YYYY_MM');
BEGIN
    IF to_regclass(partition) IS NOT NULL THEN
        RETURN;
    END IF;
    EXECUTE format(
        'CREATE TABLE %I PARTITION OF events FOR VALUES FROM (%L) TO (%L)',
        partition,
        month AT TIME ZONE 'UTC',
        (month + interval '1 month') AT TIME ZONE 'UTC'
    );
    EXECUTE format(
        'CREATE TRIGGER events_are_append_only
             BEFORE UPDATE OR DELETE OR TRUNCATE ON %I
             FOR EACH STATEMENT EXECUTE FUNCTION refuse_to_rewrite_history()',
        partition
    );
END
$$;
