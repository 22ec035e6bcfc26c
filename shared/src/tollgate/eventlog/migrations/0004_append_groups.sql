-- The way into the log that processes take since this file. `append` (0002_append.sql)
-- does the same at a higher price; it stays for those of the version before, which may
-- run beside them: both lock the head and continue the same chain.

-- Appends groups of events in order and says what became of each. A group is appended
-- whole or not at all, and what is wrong with one group is nothing to the others.
--
-- Nearly always all groups of a call are appended. So that is looked at for all of them
-- at once, and only if it is not so they are decided one by one: then those that are
-- not appended are taken out of the call, and the rest goes on as if it had come alone.
--
-- Drivers encode an array element by element, which costs a writer more than all else
-- that is done for an event. So lists come packed: texts one a line (JSON without
-- spaces, stream names and tags hold no line feed), integers as an array's text.
--
--   stream_names       every stream named anywhere in the call, once; its line is its
--                      slot
--   foreseen_versions  of each stream: the version at which all groups that expect one
--                      would find theirs, if all of them are appended; null if none
--                      does, negative if no version would do
--   group_ends         how many events the groups have up to and with this one
--   group_metadata     JSON of each group's events, UTF-8
--   event_slots        stream
--   event_groups       group, from 1
--   event_types        tag
--   event_data         JSON, UTF-8
--   event_digests      `chain.event_digest`, 32 bytes each
--   expectations       group, slot and version, one after the other, in order of groups
--   command_ids,       of each group, null where it has none; null if none has
--   spend_*
--
-- It answers `before`, the position of the event before the first, and null for all
-- else if all groups were appended. Otherwise of each group, in order:
--   appended  first_position … last_position (null if the group has no events)
--   conflict  detail names the stream that is at another version
--   repeated  the command is in the log at first_position … last_position
--   spent     the assertion was used before
--
-- Versions, commands and assertions are read by statements that come after the lock:
-- they see what the last holder of the lock committed. Groups are decided against
-- versions as the groups before them in the same call left them.
--
-- Plans are made once for a session. One made for a table that is still empty would
-- read the whole of it, if it might.
CREATE FUNCTION append_groups(
    stream_names        text,
    foreseen_versions   text,
    group_ends          text,
    group_metadata      bytea,
    event_slots         text,
    event_groups        text,
    event_types         text,
    event_data          bytea,
    event_digests       bytea,
    expectations        text,
    command_ids         text[],
    spend_clients       text[],
    spend_jtis          text[],
    spend_expiries      timestamptz[],
    OUT before          bigint,
    OUT outcomes        text[],
    OUT details         text[],
    OUT first_positions bigint[],
    OUT last_positions  bigint[]
)
LANGUAGE plpgsql SECURITY DEFINER
SET search_path FROM CURRENT
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off
AS $$
#variable_conflict use_column
DECLARE
    -- An array in a variable is kept unpacked: each element is found at once.
    streams      CONSTANT text[]    := string_to_array(stream_names, E'\n');
    foreseen     CONSTANT integer[] := foreseen_versions::integer[];
    g_ends       CONSTANT integer[] := group_ends::integer[];
    g_metadata   CONSTANT text[]    :=
        string_to_array(convert_from(group_metadata, 'UTF8'), E'\n');
    e_slots      integer[] := event_slots::integer[];
    e_groups     integer[] := event_groups::integer[];
    e_types      text[]    := string_to_array(event_types, E'\n');
    e_data       text[]    :=
        string_to_array(convert_from(event_data, 'UTF8'), E'\n');
    e_digests    bytea     := event_digests;
    e_count      integer   := cardinality(e_slots);
    e_versions   integer[] := array_fill(NULL::integer, ARRAY[e_count]);
    e_hashes     bytea[]   := array_fill(NULL::bytea, ARRAY[e_count]);

    versions     integer[];
    all_go       boolean;
    chain        bytea;
    moment       timestamptz;
    micros       bytea;
    slot         integer;

    -- Where groups are decided one by one.
    x_all        integer[];
    x            integer   := 1;
    seen         integer[];
    taken        integer[] := '{}';
    outcome      text;
    detail       text;
    starts_at    bigint;
    ends_at      bigint;
BEGIN
    SELECT head.position, head.hash, greatest(head.recorded_at, clock_timestamp())
    INTO before, chain, moment
    FROM head FOR UPDATE;

    -- OFFSET 0: else the version would be looked up once for each time it is named.
    SELECT
        array_agg(is_at.version ORDER BY slot),
        coalesce(bool_and(is_at.version = foreseen[slot]), true)
    INTO versions, all_go
    FROM generate_series(1, cardinality(streams)) AS slot
    CROSS JOIN LATERAL (
        SELECT coalesce(
            (
                SELECT version FROM events WHERE stream = streams[slot]
                ORDER BY version DESC LIMIT 1
            ), 0
        ) AS version
        OFFSET 0
    ) AS is_at;

    IF all_go AND command_ids IS NOT NULL THEN
        SELECT count(id) = count(DISTINCT id) AND count(commands.command_id) = 0
        INTO all_go
        FROM unnest(command_ids) AS id
        LEFT JOIN commands ON commands.command_id = id;
    END IF;

    IF all_go AND spend_jtis IS NOT NULL THEN
        SELECT
            count(asked.jti) = count(DISTINCT (asked.client_id, asked.jti))
                FILTER (WHERE asked.jti IS NOT NULL)
            AND count(spent_jtis.expires_at) = 0
        INTO all_go
        FROM unnest(spend_clients, spend_jtis) AS asked (client_id, jti)
        LEFT JOIN spent_jtis USING (client_id, jti);
    END IF;

    IF all_go THEN
        IF command_ids IS NOT NULL THEN
            INSERT INTO commands (command_id, first_position, last_position)
            SELECT id, before + coalesce(g_ends[g - 1], 0) + 1, before + g_ends[g]
            FROM unnest(command_ids) WITH ORDINALITY AS named (id, g)
            WHERE id IS NOT NULL AND g_ends[g] > coalesce(g_ends[g - 1], 0);
        END IF;
        IF spend_jtis IS NOT NULL THEN
            INSERT INTO spent_jtis (client_id, jti, expires_at)
            SELECT asked.client_id, asked.jti, asked.expires_at
            FROM unnest(spend_clients, spend_jtis, spend_expiries)
                AS asked (client_id, jti, expires_at)
            WHERE asked.jti IS NOT NULL;
        END IF;
    ELSE
        x_all := expectations::integer[];
        seen := versions;
        FOR g IN 1 .. cardinality(g_ends) LOOP
            outcome := 'appended';
            detail := NULL;
            starts_at := NULL;
            ends_at := NULL;

            IF command_ids[g] IS NOT NULL THEN
                SELECT known.first_position, known.last_position
                INTO starts_at, ends_at
                FROM commands AS known WHERE known.command_id = command_ids[g];
                IF FOUND THEN
                    outcome := 'repeated';
                END IF;
            END IF;

            WHILE x_all[x] = g LOOP
                slot := x_all[x + 1];
                IF outcome = 'appended' AND seen[slot] <> x_all[x + 2] THEN
                    outcome := 'conflict';
                    detail := streams[slot];
                END IF;
                x := x + 3;
            END LOOP;

            IF outcome = 'appended' AND spend_jtis[g] IS NOT NULL THEN
                INSERT INTO spent_jtis (client_id, jti, expires_at)
                VALUES (spend_clients[g], spend_jtis[g], spend_expiries[g])
                ON CONFLICT DO NOTHING;
                IF NOT FOUND THEN
                    outcome := 'spent';
                END IF;
            END IF;

            IF outcome = 'appended' AND g_ends[g] > coalesce(g_ends[g - 1], 0) THEN
                starts_at := before + cardinality(taken) + 1;
                FOR i IN coalesce(g_ends[g - 1], 0) + 1 .. g_ends[g] LOOP
                    slot := e_slots[i];
                    seen[slot] := seen[slot] + 1;
                    taken := taken || i;
                END LOOP;
                ends_at := before + cardinality(taken);
                IF command_ids[g] IS NOT NULL THEN
                    INSERT INTO commands (command_id, first_position, last_position)
                    VALUES (command_ids[g], starts_at, ends_at);
                END IF;
            END IF;

            outcomes := outcomes || outcome;
            details := details || detail;
            first_positions := first_positions || starts_at;
            last_positions := last_positions || ends_at;
        END LOOP;

        SELECT
            array_agg(e_slots[i] ORDER BY i), array_agg(e_groups[i] ORDER BY i),
            array_agg(e_types[i] ORDER BY i), array_agg(e_data[i] ORDER BY i),
            string_agg(substr(event_digests, 32 * i - 31, 32), '' ORDER BY i)
        INTO e_slots, e_groups, e_types, e_data, e_digests
        FROM unnest(taken) AS i;
        e_count := cardinality(taken);
    END IF;

    IF e_count > 0 THEN
        micros := int8send((extract(epoch FROM moment) * 1000000)::bigint);
        FOR i IN 1 .. e_count LOOP
            slot := e_slots[i];
            versions[slot] := versions[slot] + 1;
            chain := sha256(
                chain || int8send(before + i) || int4send(versions[slot])
                || micros || substr(e_digests, 32 * i - 31, 32)
            );
            e_versions[i] := versions[slot];
            e_hashes[i] := chain;
        END LOOP;

        PERFORM make_room(moment);
        INSERT INTO events (
            position, stream, version, type, data, metadata, recorded_at, hash
        )
        SELECT
            before + i, streams[e_slots[i]], e_versions[i], e_types[i], e_data[i],
            g_metadata[e_groups[i]], moment, e_hashes[i]
        FROM generate_series(1, e_count) AS i;

        UPDATE head
        SET position = before + e_count, hash = chain, recorded_at = moment;
        -- Once per call: a notification in every commit costs most of the throughput.
        PERFORM pg_notify(current_schema() || '_log', (before + e_count)::text);
    END IF;
END
$$;

REVOKE ALL ON FUNCTION append_groups FROM PUBLIC;
