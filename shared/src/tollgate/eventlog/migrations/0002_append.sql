-- The one way into the log.

-- The place and hash of the last event. Whoever appends locks this row to commit.
CREATE TABLE head (
    one         boolean     PRIMARY KEY DEFAULT true CHECK (one),
    position    bigint      NOT NULL,
    hash        bytea       NOT NULL CHECK (length(hash) = 32),
    recorded_at timestamptz NOT NULL
) WITH (fillfactor = 10);

-- The event before the first: its hash binds the chain to the name of the log.
INSERT INTO head (position, hash, recorded_at)
VALUES (
    0,
    sha256(convert_to('tollgate log ' || current_schema(), 'UTF8')),
    'epoch'
);

-- Which command wrote which events, so that a retry is answered from the log.
CREATE TABLE commands (
    command_id     text   COLLATE "C" PRIMARY KEY,
    first_position bigint NOT NULL,
    last_position  bigint NOT NULL
);

-- Client assertions that were used: each works once, on every replica (RFC 7523 §3).
CREATE TABLE spent_jtis (
    client_id  text        COLLATE "C" NOT NULL,
    jti        text        COLLATE "C" NOT NULL,
    expires_at timestamptz NOT NULL,

    PRIMARY KEY (client_id, jti)
);
CREATE INDEX spent_jtis_expires_at ON spent_jtis (expires_at);

-- Appends groups of events in order and says what became of each. A group is appended
-- whole or not at all, and what is wrong with one group is nothing to the others.
--
-- Drivers encode an array element by element, which costs a writer more than all else
-- that is done for an event. So lists come packed: texts one a line (JSON without
-- spaces, stream names and tags hold no line feed), integers as an array's text.
--
--   stream_names          every stream named anywhere in the call, once; its line is
--                         its slot
--   expectation_counts    of each group; the expectations themselves follow in order:
--   expectation_slots       the stream of this slot must be
--   expectation_versions    at this version
--   event_counts          of each group; the events themselves follow in order:
--   event_slots             stream
--   event_types             tag
--   event_data              JSON, UTF-8
--   event_digests           `chain.event_digest`, 32 bytes each
--   group_metadata        JSON of each group's events, UTF-8
--   command_ids, spend_*  of each group, null where it has none; null if none has
--
-- outcome per group, in order:
--   appended  first_position … last_position (null if the group has no events)
--   conflict  detail names the stream that is at another version
--   repeated  the command is in the log at first_position … last_position
--   spent     the assertion was used before
--
-- Versions are read by a statement that comes after the lock: it sees what the last
-- holder of the lock committed. Groups are decided against versions as the groups
-- before them in the same call left them.
CREATE FUNCTION append(
    stream_names         text,
    expectation_counts   text,
    expectation_slots    text,
    expectation_versions text,
    event_counts         text,
    event_slots          text,
    event_types          text,
    event_data           bytea,
    event_digests        bytea,
    group_metadata       bytea,
    command_ids          text[],
    spend_clients        text[],
    spend_jtis           text[],
    spend_expiries       timestamptz[]
) RETURNS TABLE (
    outcome text, detail text, first_position bigint, last_position bigint
)
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT
AS $$
#variable_conflict use_column
DECLARE
    -- An array in a variable is kept unpacked: each element is found at once.
    streams      CONSTANT text[]    := string_to_array(stream_names, E'\n');
    x_counts     CONSTANT integer[] := expectation_counts::integer[];
    x_slots      CONSTANT integer[] := expectation_slots::integer[];
    x_versions   CONSTANT integer[] := expectation_versions::integer[];
    e_counts     CONSTANT integer[] := event_counts::integer[];
    e_slots      CONSTANT integer[] := event_slots::integer[];
    e_types      CONSTANT text[]    := string_to_array(event_types, E'\n');
    e_data       CONSTANT text[]    :=
        string_to_array(convert_from(event_data, 'UTF8'), E'\n');
    g_metadata   CONSTANT text[]    :=
        string_to_array(convert_from(group_metadata, 'UTF8'), E'\n');
    g_commands   CONSTANT text[]    := command_ids;
    g_clients    CONSTANT text[]    := spend_clients;
    g_jtis       CONSTANT text[]    := spend_jtis;
    event_count  CONSTANT integer   := cardinality(e_slots);

    versions     integer[];
    place        bigint;
    chain        bytea;
    moment       timestamptz;
    micros       bytea;
    start        bigint;
    e            integer := 0;
    x            integer := 0;
    slot         integer;

    -- Of each event; null in those of a group that is not appended.
    e_groups     integer[] := array_fill(NULL::integer, ARRAY[event_count]);
    e_positions  bigint[]  := array_fill(NULL::bigint, ARRAY[event_count]);
    e_versions   integer[] := array_fill(NULL::integer, ARRAY[event_count]);
    e_hashes     bytea[]   := array_fill(NULL::bytea, ARRAY[event_count]);
BEGIN
    SELECT head.position, head.hash, greatest(head.recorded_at, clock_timestamp())
    INTO place, chain, moment
    FROM head FOR UPDATE;
    start := place;
    micros := int8send((extract(epoch FROM moment) * 1000000)::bigint);

    SELECT array_agg(
        coalesce(
            (SELECT max(version) FROM events WHERE events.stream = named.stream), 0
        ) ORDER BY named.slot
    )
    INTO versions
    FROM unnest(streams) WITH ORDINALITY AS named (stream, slot);

    FOR g IN 1 .. cardinality(e_counts) LOOP
        outcome := 'appended';
        detail := NULL;
        first_position := NULL;
        last_position := NULL;

        IF g_commands[g] IS NOT NULL THEN
            SELECT known.first_position, known.last_position
            INTO first_position, last_position
            FROM commands AS known WHERE known.command_id = g_commands[g];
            IF FOUND THEN
                outcome := 'repeated';
            END IF;
        END IF;

        FOR i IN 1 .. x_counts[g] LOOP
            x := x + 1;
            IF outcome = 'appended' AND versions[x_slots[x]] <> x_versions[x] THEN
                outcome := 'conflict';
                detail := streams[x_slots[x]];
            END IF;
        END LOOP;

        IF outcome = 'appended' AND g_jtis[g] IS NOT NULL THEN
            INSERT INTO spent_jtis (client_id, jti, expires_at)
            VALUES (g_clients[g], g_jtis[g], spend_expiries[g])
            ON CONFLICT DO NOTHING;
            IF NOT FOUND THEN
                outcome := 'spent';
            END IF;
        END IF;

        IF outcome <> 'appended' THEN
            e := e + e_counts[g];
        ELSIF e_counts[g] > 0 THEN
            first_position := place + 1;
            FOR i IN 1 .. e_counts[g] LOOP
                e := e + 1;
                place := place + 1;
                slot := e_slots[e];
                versions[slot] := versions[slot] + 1;
                chain := sha256(
                    chain || int8send(place) || int4send(versions[slot])
                    || micros || substr(event_digests, 32 * e - 31, 32)
                );
                e_groups[e] := g;
                e_positions[e] := place;
                e_versions[e] := versions[slot];
                e_hashes[e] := chain;
            END LOOP;
            last_position := place;
            IF g_commands[g] IS NOT NULL THEN
                INSERT INTO commands (command_id, first_position, last_position)
                VALUES (g_commands[g], first_position, last_position);
            END IF;
        END IF;

        RETURN NEXT;
    END LOOP;

    IF place > start THEN
        PERFORM make_room(moment);
        INSERT INTO events (
            position, stream, version, type, data, metadata, recorded_at, hash
        )
        SELECT
            e_positions[i], streams[e_slots[i]], e_versions[i], e_types[i], e_data[i],
            g_metadata[e_groups[i]], moment, e_hashes[i]
        FROM generate_series(1, event_count) AS i
        WHERE e_positions[i] IS NOT NULL;

        UPDATE head SET position = place, hash = chain, recorded_at = moment;
        -- Once per call: a notification in every commit costs most of the throughput.
        PERFORM pg_notify(current_schema() || '_log', place::text);
    END IF;
END
$$;

-- Forgets assertions that expired an hour ago by the time of the log, and says how
-- many. By the log's time, so that a clock that jumps cannot revive one.
CREATE FUNCTION prune_spent_jtis() RETURNS bigint
LANGUAGE sql SECURITY DEFINER SET search_path FROM CURRENT
AS $$
    WITH gone AS (
        DELETE FROM spent_jtis
        WHERE expires_at < (SELECT recorded_at FROM head) - interval '1 hour'
        RETURNING 1
    )
    SELECT count(*) FROM gone
$$;

-- How far each relay has published. A checkpoint only grows.
CREATE TABLE checkpoints (
    subscriber text        COLLATE "C" PRIMARY KEY,
    position   bigint      NOT NULL,
    moved_at   timestamptz NOT NULL DEFAULT clock_timestamp()
);

CREATE FUNCTION advance_checkpoint(whose text, reached bigint) RETURNS bigint
LANGUAGE sql SECURITY DEFINER SET search_path FROM CURRENT
AS $$
    INSERT INTO checkpoints AS held (subscriber, position) VALUES (whose, reached)
    ON CONFLICT (subscriber) DO UPDATE
    SET position = greatest(held.position, excluded.position),
        moved_at = clock_timestamp()
    RETURNING position
$$;

-- Functions may be called by anybody unless it is taken back; who may is granted by
-- the migration command to the service's role.
REVOKE ALL ON FUNCTION append, prune_spent_jtis, advance_checkpoint FROM PUBLIC;
