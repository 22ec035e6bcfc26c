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
-- Arrays come in three lengths:
--   slots         streams: every stream named anywhere in the call, once
--   expectations  sorted by group: the stream of the slot must be at that version
--   events        sorted by group; digest is `chain.event_digest` of the event
--   groups        command_ids, spend_*: null where the group has none
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
    streams              text[],
    expectation_groups   integer[],
    expectation_slots    integer[],
    expectation_versions integer[],
    event_groups         integer[],
    event_slots          integer[],
    event_types          text[],
    event_data           text[],
    event_metadata       text[],
    event_digests        bytea[],
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
    place         bigint;
    chain         bytea;
    moment        timestamptz;
    micros        bytea;
    versions      integer[];
    digests       bytea[] := event_digests;
    group_count   integer := cardinality(command_ids);
    event_count   integer := cardinality(event_groups);
    e             integer := 1;
    x             integer := 1;
    slot          integer;
    new_positions bigint[] := array_fill(NULL::bigint, ARRAY[event_count]);
    new_versions  integer[] := array_fill(NULL::integer, ARRAY[event_count]);
    new_hashes    bytea[] := array_fill(NULL::bytea, ARRAY[event_count]);
    start         bigint;
    verdict       text;
    reason        text;
    known_first   bigint;
    known_last    bigint;
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

    FOR g IN 1 .. group_count LOOP
        verdict := 'appended';
        reason := NULL;
        known_first := NULL;
        known_last := NULL;

        IF command_ids[g] IS NOT NULL THEN
            SELECT commands.first_position, commands.last_position
            INTO known_first, known_last
            FROM commands WHERE commands.command_id = command_ids[g];
            IF FOUND THEN
                verdict := 'repeated';
            END IF;
        END IF;

        WHILE x <= cardinality(expectation_groups) AND expectation_groups[x] = g LOOP
            IF verdict = 'appended'
                AND versions[expectation_slots[x]] <> expectation_versions[x]
            THEN
                verdict := 'conflict';
                reason := streams[expectation_slots[x]];
            END IF;
            x := x + 1;
        END LOOP;

        IF verdict = 'appended' AND spend_jtis[g] IS NOT NULL THEN
            INSERT INTO spent_jtis (client_id, jti, expires_at)
            VALUES (spend_clients[g], spend_jtis[g], spend_expiries[g])
            ON CONFLICT DO NOTHING;
            IF NOT FOUND THEN
                verdict := 'spent';
            END IF;
        END IF;

        WHILE e <= event_count AND event_groups[e] = g LOOP
            IF verdict = 'appended' THEN
                slot := event_slots[e];
                place := place + 1;
                versions[slot] := versions[slot] + 1;
                chain := sha256(
                    chain || int8send(place) || int4send(versions[slot])
                    || micros || digests[e]
                );
                new_positions[e] := place;
                new_versions[e] := versions[slot];
                new_hashes[e] := chain;
                known_first := coalesce(known_first, place);
                known_last := place;
            END IF;
            e := e + 1;
        END LOOP;

        IF verdict = 'appended' AND command_ids[g] IS NOT NULL
            AND known_first IS NOT NULL
        THEN
            INSERT INTO commands (command_id, first_position, last_position)
            VALUES (command_ids[g], known_first, known_last);
        END IF;

        outcome := verdict;
        detail := reason;
        first_position := known_first;
        last_position := known_last;
        RETURN NEXT;
    END LOOP;

    IF place > start THEN
        PERFORM make_room(moment);
        INSERT INTO events (
            position, stream, version, type, data, metadata, recorded_at, hash
        )
        SELECT
            new.position, streams[new.slot], new.version, new.type, new.data,
            new.metadata, moment, new.hash
        FROM unnest(
            new_positions, event_slots, new_versions, event_types, event_data,
            event_metadata, new_hashes
        ) AS new (position, slot, version, type, data, metadata, hash)
        WHERE new.position IS NOT NULL;

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
