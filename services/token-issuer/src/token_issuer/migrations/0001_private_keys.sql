-- The private halves of the signing keys, sealed by the service (AES-256-GCM). The
-- public halves, and which key signs, are events of the tokens log.
--
-- kid        RFC 7638 thumbprint of the public half
-- sealed_by  id of the key-encryption key that opens `box`
-- box        nonce, ciphertext and tag

CREATE TABLE private_keys (
    kid       text        COLLATE "C" PRIMARY KEY,
    sealed_by text        NOT NULL,
    box       bytea       NOT NULL,
    kept_at   timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- The service writes through these functions only: it can add a key and seal one again,
-- but never replace one key by another.

CREATE FUNCTION keep(new_kid text, new_sealed_by text, new_box bytea) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path FROM CURRENT
AS $$
    INSERT INTO private_keys (kid, sealed_by, box)
    VALUES (new_kid, new_sealed_by, new_box)
$$;

-- Under another key-encryption key. Does nothing if somebody else has done it.
CREATE FUNCTION seal_again(
    held_kid text, old_box bytea, new_sealed_by text, new_box bytea
) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path FROM CURRENT
AS $$
    UPDATE private_keys SET sealed_by = new_sealed_by, box = new_box
    WHERE kid = held_kid AND box = old_box
$$;

-- A key that signs no more needs no private half.
CREATE FUNCTION forget(held_kid text) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path FROM CURRENT
AS $$ DELETE FROM private_keys WHERE kid = held_kid $$;

REVOKE ALL ON FUNCTION keep, seal_again, forget FROM PUBLIC;
