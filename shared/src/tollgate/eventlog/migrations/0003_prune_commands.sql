-- For a log whose commands are never repeated on purpose, only when an answer was lost.
-- There a command need not be known for long, and there is one for every event.

-- Forgets commands that were in the log an hour ago already, some at a time, and says
-- how many; the rest goes with the next call. What was the head then is remembered as
-- the checkpoint of this function.
CREATE FUNCTION prune_commands() RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT
AS $$
DECLARE
    chunk  CONSTANT bigint := 100000;
    reached bigint;
    since   timestamptz;
    gone    bigint;
BEGIN
    INSERT INTO checkpoints (subscriber, position)
    SELECT 'prune_commands', head.position FROM head
    ON CONFLICT DO NOTHING;

    SELECT checkpoints.position, checkpoints.moved_at INTO reached, since
    FROM checkpoints WHERE subscriber = 'prune_commands' FOR UPDATE;
    IF since > clock_timestamp() - interval '1 hour' THEN
        RETURN 0;
    END IF;

    DELETE FROM commands WHERE command_id IN (
        SELECT command_id FROM commands WHERE last_position <= reached LIMIT chunk
    );
    GET DIAGNOSTICS gone = ROW_COUNT;
    IF gone < chunk THEN
        PERFORM advance_checkpoint('prune_commands', head.position) FROM head;
    END IF;
    RETURN gone;
END
$$;

REVOKE ALL ON FUNCTION prune_commands FROM PUBLIC;
