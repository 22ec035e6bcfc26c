-- `append_groups` (0004_append_groups.sql tells what it is given and answers) with less
-- to begin at each call: what a call costs once is what a short one takes.

-- A CHECK is read from its text anew by every statement that writes to its table. What
-- these three asked holds by the way that versions and hashes are made, of which
-- `append_groups` and `append` are the only ones; the chain would tell of another.
-- `head` comes first, as it does for those two.
ALTER TABLE head
    DROP CONSTRAINT head_hash_check,
    -- There is room for events (`make_room`) that are recorded before this moment.
    ADD COLUMN room_until timestamptz NOT NULL DEFAULT '-infinity';
ALTER TABLE events
    DROP CONSTRAINT events_version_check,
    DROP CONSTRAINT events_hash_check;

-- Nearly always no command of a call is known and no assertion spent. So they are
-- written, and a unique index tells if it is not so; then what was written is undone.
--
-- In each call every expression is made ready once before it is used, and a statement
-- costs ten times as much: hence few of both.
CREATE OR REPLACE FUNCTION append_groups(
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
    e_count      integer   := cardinality(e_slots);
    e_versions   integer[];
    e_hashes     bytea[];

    versions     integer[];
    one_by_one   boolean;
    chain        bytea;
    moment       timestamptz;
    has_room_to  timestamptz;
    micros       bytea;
    written      integer;
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
    SELECT position, hash, greatest(recorded_at, clock_timestamp()), room_until
    INTO before, chain, moment, has_room_to
    FROM head FOR UPDATE;

    versions := ARRAY(
        SELECT coalesce(
            (
                SELECT version FROM events WHERE stream = line
                ORDER BY version DESC LIMIT 1
            ), 0
        )
        FROM unnest(streams) AS line
    );
    IF versions <> foreseen AND cardinality(array_remove(foreseen, NULL)) > 0 THEN
        one_by_one := EXISTS (
            SELECT FROM unnest(versions, foreseen) AS is_at (version, wanted)
            WHERE version <> wanted
        );
    END IF;

    IF (command_ids IS NOT NULL OR spend_jtis IS NOT NULL)
        AND one_by_one IS NOT TRUE
    THEN
        BEGIN
            IF command_ids IS NOT NULL THEN
                INSERT INTO commands (command_id, first_position, last_position)
                SELECT id, before + coalesce(g_ends[g - 1], 0) + 1, before + g_ends[g]
                FROM unnest(command_ids) WITH ORDINALITY AS named (id, g)
                WHERE id IS NOT NULL AND g_ends[g] > coalesce(g_ends[g - 1], 0);
                GET DIAGNOSTICS written = ROW_COUNT;
                IF written < cardinality(array_remove(command_ids, NULL)) THEN
                    -- One without events is not written, and may be known.
                    RAISE unique_violation;
                END IF;
            END IF;
            IF spend_jtis IS NOT NULL THEN
                INSERT INTO spent_jtis (client_id, jti, expires_at)
                SELECT asked.client_id, asked.jti, asked.expires_at
                FROM unnest(spend_clients, spend_jtis, spend_expiries)
                    AS asked (client_id, jti, expires_at)
                WHERE asked.jti IS NOT NULL;
            END IF;
        EXCEPTION WHEN unique_violation THEN
            one_by_one := true;  -- both tables are as they were
        END;
    END IF;

    IF one_by_one THEN
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
        INTO e_slots, e_groups, e_types, e_data, event_digests
        FROM unnest(taken) AS i;
        e_count := cardinality(taken);
    END IF;

    IF e_count > 0 THEN
        micros := int8send((extract(epoch FROM moment) * 1000000)::bigint);
        e_hashes[0] := chain;  -- so that each event finds the hash before its own
        FOR i IN 1 .. e_count LOOP
            versions[e_slots[i]] := versions[e_slots[i]] + 1;
            e_versions[i] := versions[e_slots[i]];
            e_hashes[i] := sha256(
                e_hashes[i - 1] || int8send(before + i) || int4send(e_versions[i])
                || micros || substr(event_digests, 32 * i - 31, 32)
            );
        END LOOP;

        IF moment >= has_room_to THEN
            PERFORM make_room(moment);
            has_room_to := (
                date_trunc('month', moment AT TIME ZONE 'UTC') + interval '1 month'
            ) AT TIME ZONE 'UTC';
        END IF;
        INSERT INTO events (
            position, stream, version, type, data, metadata, recorded_at, hash
        )
        SELECT
            before + i, streams[e_slots[i]], e_versions[i], e_types[i], e_data[i],
            g_metadata[e_groups[i]], moment, e_hashes[i]
        FROM generate_series(1, e_count) AS i;

        UPDATE head
        SET
            position = before + e_count, hash = e_hashes[e_count],
            recorded_at = moment, room_until = has_room_to;
        -- Once per call: a notification in every commit costs most of the throughput.
        -- As an assignment it needs no statement; there is nothing to assign.
        detail := pg_notify(current_schema() || '_log', (before + e_count)::text);
    END IF;
END
$$;
