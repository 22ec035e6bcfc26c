"""A state in a file of its own, private, with a checksum that is kept elsewhere."""

import hashlib
import os
import stat
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from io import BufferedReader, BufferedWriter, FileIO
from pathlib import Path
from typing import TypeVar

import msgspec

T = TypeVar("T")

MODE = 0o600
BUFFER = 1024 * 1024


class FileRefused(Exception):
    """The file cannot be believed; its text says why."""


class StateFile(msgspec.Struct, frozen=True, kw_only=True):
    """What was written: the name in its folder, and SHA-256 of the content in hex."""

    name: str
    bytes: int
    sha256: str


def write_state(folder: Path, name: str, parts: Iterable[bytes]) -> StateFile:
    """Write `parts` as lines, all or nothing; it lasts when this returns."""
    checksum = hashlib.sha256()
    size = 0
    with replacing(folder / name) as file:
        for part in parts:
            line = part + b"\n"
            checksum.update(line)
            size += file.write(line)
    return StateFile(name=name, bytes=size, sha256=checksum.hexdigest())


def read_state(
    folder: Path, described: StateFile, of_parts: Callable[[Iterable[bytes]], T]
) -> T:
    """What `of_parts` makes of the lines of the file, or `FileRefused`.

    Nothing is decoded before the whole file is known to be what was written.
    """
    if "/" in described.name:
        raise FileRefused("a state lies elsewhere")
    with private(folder / described.name) as file:
        if hashlib.file_digest(file, "sha256").hexdigest() != described.sha256:
            raise FileRefused("a state is damaged")
        file.seek(0)
        try:
            return of_parts(line.rstrip(b"\n") for line in file)
        except (msgspec.MsgspecError, ValueError) as error:
            raise FileRefused("a state cannot be read") from error


@contextmanager
def private(path: Path) -> Iterator["BufferedReader[FileIO]"]:
    """The file at `path` to read, or `FileRefused` if it is not ours alone."""
    with BufferedReader(FileIO(path), BUFFER) as file:
        about = os.fstat(file.fileno())
        if about.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
            raise FileRefused("others may read or write it")
        if about.st_uid != os.geteuid():
            raise FileRefused("it belongs to somebody else")
        yield file


@contextmanager
def replacing(path: Path) -> Iterator["BufferedWriter[FileIO]"]:
    """A file to write that then is at `path`, whole and flushed, or not at all.

    It is written under one other name, so that processes killed here leave one file.
    """
    fresh = path.with_name(f".{path.name}.new")
    fresh.unlink(missing_ok=True)  # one that is being written still goes to nobody
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
    with BufferedWriter(FileIO(os.open(fresh, flags, MODE), "wb"), BUFFER) as file:
        os.fchmod(file.fileno(), MODE)
        yield file
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)  # else a power cut may bring the old file back
    finally:
        os.close(folder)
