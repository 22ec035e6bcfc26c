"""Secrets at rest: sealed by one key, opened by every key that is still valid."""

import os

import msgspec
import pytest

from token_issuer.sealing import CannotOpen, Sealer

OLD, NEW = os.urandom(32), os.urandom(32)
SECRET = b"a private key"


def test_what_is_sealed_opens_under_the_same_name_only() -> None:
    sealer = Sealer([NEW])
    sealed = sealer.seal("kid-1", SECRET)

    assert sealer.open("kid-1", sealed) == SECRET
    with pytest.raises(CannotOpen):
        sealer.open("kid-2", sealed)


def test_nothing_of_the_secret_stands_in_the_box() -> None:
    sealed = Sealer([NEW]).seal("kid-1", SECRET)

    assert SECRET not in sealed.box
    assert NEW.hex()[:16] != sealed.sealed_by


def test_the_same_secret_is_never_sealed_to_the_same_box() -> None:
    sealer = Sealer([NEW])

    assert sealer.seal("kid-1", SECRET).box != sealer.seal("kid-1", SECRET).box


@pytest.mark.parametrize("place", [0, 11, 12, -17, -1])
def test_a_changed_byte_does_not_open(place: int) -> None:
    """Nonce, text and tag are each vouched for."""
    sealer = Sealer([NEW])
    sealed = sealer.seal("kid-1", SECRET)
    box = bytearray(sealed.box)
    box[place] ^= 1

    with pytest.raises(CannotOpen):
        sealer.open("kid-1", msgspec.structs.replace(sealed, box=bytes(box)))


@pytest.mark.parametrize("length", [0, 1, 12, 27])
def test_a_box_that_was_cut_does_not_open(length: int) -> None:
    sealer = Sealer([NEW])
    sealed = sealer.seal("kid-1", SECRET)

    with pytest.raises(CannotOpen):
        sealer.open("kid-1", msgspec.structs.replace(sealed, box=sealed.box[:length]))


class TestRotation:
    def test_the_first_key_seals_and_all_of_them_open(self) -> None:
        before = Sealer([OLD]).seal("kid-1", SECRET)
        rotated = Sealer([NEW, OLD])

        assert rotated.open("kid-1", before) == SECRET
        assert Sealer([NEW]).open("kid-1", rotated.seal("kid-1", SECRET)) == SECRET

    def test_it_is_known_what_still_needs_the_old_key(self) -> None:
        before = Sealer([OLD]).seal("kid-1", SECRET)
        rotated = Sealer([NEW, OLD])

        assert not rotated.is_current(before)
        assert rotated.is_current(rotated.seal("kid-1", SECRET))

    def test_a_key_that_is_gone_opens_nothing(self) -> None:
        before = Sealer([OLD]).seal("kid-1", SECRET)

        with pytest.raises(CannotOpen, match="not among those configured"):
            Sealer([NEW]).open("kid-1", before)


@pytest.mark.parametrize("keys", [[], [b"short"], [NEW, os.urandom(16)]])
def test_unfit_keys_are_refused(keys: list[bytes]) -> None:
    with pytest.raises(ValueError, match="key-encryption key"):
        Sealer(keys)
