"""Members of .zip and .tar archives as files that can be opened; nothing is ever unpacked to the disk by its name.

A member's name is a label and no path: what climbs out of the archive, links and devices are refused by name.
"""

import io
import tarfile
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import PurePosixPath
from typing import Any, BinaryIO

from trainers.contract.names import UnsafeName, checked
from trainers.contract.walk import Refusal, is_litter, name_of
from trainers.text.unpack import DAMAGE, Allowance, Broken, Bytes, Packed, UnpacksTooFar, kind_of

ZIP = ".zip"
TARS = {".tar": None, ".tgz": "gzip", ".tbz2": "bzip2", ".txz": "xz", ".tzst": "zstd"}
"""How an archive of this ending is compressed, where its ending says so alone."""
_UTF8_NAME = 0x800
_ENCRYPTED = 0x1
_METHODS = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}
"""Those that zipfile unpacks piece by piece; four kilobytes of the others may become gigabytes at once."""
_LONGEST_HEADER = 1 << 20
"""Bytes of a .tar's entry that only describes the next one; tarfile reads it into memory as a whole."""
_HEADERS = {
    tarfile.XHDTYPE,
    tarfile.XGLTYPE,
    tarfile.SOLARIS_XHDTYPE,
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
}
_LONGEST_LABEL = 200
_READS_AT_THE_END = 8
"""tarfile asks on and on for what a member says that it has, and there is no more."""
Member = tuple[str, Packed | Refusal]
"""A member's name below the archive's, and what can be opened, or why it cannot."""


def members_of(file: Packed) -> Iterator[Member] | None:
    """Members of what its name says is an archive, each read before the next is asked for; None for other files."""
    kind, compression = kind_of(file.name)
    if kind == ZIP and not compression:
        return zip_members(file)
    return tar_members(file, compression or TARS[kind]) if kind in TARS else None


def zip_members(archive: Packed) -> Iterator[Member]:
    """Members of a .zip, in order."""
    try:
        with archive.rewindable().open() as stream, zipfile.ZipFile(stream) as opened:
            yield from _checked(archive, ((_zip_name(info), _of_zip(archive, opened, info)) for info in _files(opened)))
    except UnpacksTooFar as error:
        yield archive.name, Refusal("unpacks_too_far", str(error), archive.size)
    except DAMAGE as error:
        yield archive.name, Refusal("file_breaks_off", f"no readable archive: {error}", archive.size)


def tar_members(archive: Packed, compression: str | None) -> Iterator[Member]:
    """Members of a .tar, however it is compressed, in their order: each is read before the next is asked for."""
    stream = Bytes(archive, compression, is_text=False)
    try:
        with tarfile.open(fileobj=_Stream(stream), mode="r|", tarinfo=_Bounded) as opened:
            infos = (info for info in opened if not info.isdir())
            yield from _checked(archive, ((info.name, _of_tar(archive, opened, info)) for info in infos))
        damage = ""
    except DAMAGE as error:
        damage = f"no readable archive: {error}"
    if why := stream.broken or (damage and Broken("file_breaks_off", damage)):
        yield archive.name, Refusal(*why, stream.unread or archive.size)


def _checked(archive: Packed, members: Iterable[tuple[str, Packed | Refusal]]) -> Iterator[Member]:
    """Members with safe names, without litter."""
    for raw, member in members:
        path = PurePosixPath(name_of(raw.replace("\\", "/")))
        name = str(path)
        label = f"{archive.name}/{name.lstrip('/')}"
        if ".." in path.parts or path.is_absolute() or name[1:2] == ":":
            size = member.size
            yield label, Refusal("path_climbs_out", "the name of a member that is not inside its archive", size)
        elif not is_litter(name):
            try:
                checked(name)
            except UnsafeName as error:
                label = f"{archive.name}/{name[:_LONGEST_LABEL]}"
                member = Refusal("unsafe_name", str(error), member.size)
            yield label, member


def is_misplaced(opened: zipfile.ZipFile, info: zipfile.ZipInfo) -> bool:
    """Whether a member is said to lie where there is none; to look there would be an error of the disk's."""
    return not 0 <= info.header_offset < opened.start_dir


def _files(opened: zipfile.ZipFile) -> Iterator[zipfile.ZipInfo]:
    return (info for info in opened.infolist() if not info.is_dir())


def _zip_name(info: zipfile.ZipInfo) -> str:
    """A member's name; those of Korean Windows are CP949 and were taken for CP437."""
    if info.flag_bits & _UTF8_NAME:
        return info.filename
    raw = info.orig_filename.encode("cp437", "replace")
    for encoding in ("utf-8", "cp949"):
        try:
            return raw.decode(encoding)
        except UnicodeDecodeError:
            continue
    return info.filename


def _of_zip(archive: Packed, opened: zipfile.ZipFile, info: zipfile.ZipInfo) -> Packed | Refusal:
    if is_misplaced(opened, info):
        return Refusal("file_breaks_off", "the archive says that it lies outside of it", info.compress_size)
    if info.flag_bits & _ENCRYPTED:
        return Refusal("encrypted", "a member with a password; unpack it yourself", info.compress_size)
    if info.compress_type not in _METHODS:
        detail = f"compressed by method {info.compress_type}, which is not read here; unpack it yourself"
        return Refusal("unsupported_file", detail, info.compress_size)
    if info.external_attr >> 16 & 0o170000 == 0o120000:
        return Refusal("link_out", "a link in an archive is not followed", info.compress_size)

    def open_member() -> BinaryIO:
        return _Forward(opened.open(info), archive.allowance)  # type: ignore[return-value]

    return Packed(info.filename, info.file_size, open_member, archive.allowance)


def _of_tar(archive: Packed, opened: tarfile.TarFile, info: tarfile.TarInfo) -> Packed | Refusal:
    if info.issym() or info.islnk():
        return Refusal("link_out", "a link in an archive is not followed")
    stream = opened.extractfile(info) if info.isreg() else None
    if stream is None or info.issparse():
        return Refusal("not_a_file", "neither a file nor a folder", info.size)
    forward = _Forward(stream, None)  # counted as the archive was unpacked
    return Packed(info.name, info.size, lambda: forward, archive.allowance)  # type: ignore[arg-type, return-value]


class _Bounded(tarfile.TarInfo):
    """An entry of a .tar whose own description is no bomb."""

    def _proc_member(self, opened: tarfile.TarFile) -> Any:
        if self.type in _HEADERS and self.size > _LONGEST_HEADER:
            raise tarfile.ReadError(f"a description of {self.size} bytes, at most {_LONGEST_HEADER} are read")
        return super()._proc_member(opened)  # type: ignore[misc]


class _Forward(io.RawIOBase):
    """A member of an archive, which can only be read on, and counts against the archive's allowance."""

    def __init__(self, stream: Any, allowance: Allowance | None):
        self._stream, self._allowance = stream, allowance

    def read(self, size: int = -1) -> bytes:
        data: bytes = self._stream.read(size)
        if self._allowance:
            self._allowance.take(len(data))
        return data

    def close(self) -> None:
        self._stream.close()
        super().close()


class _Stream(io.RawIOBase):
    """Chunks as a stream that can only be read on."""

    def __init__(self, chunks: Bytes):
        self._chunks, self._rest, self._reads_at_the_end = iter(chunks), b"", 0

    def read(self, size: int = -1) -> bytes:
        while size < 0 or len(self._rest) < size:
            chunk = next(self._chunks, b"")
            if not chunk:
                break
            self._rest += chunk
        self._reads_at_the_end += not self._rest
        if self._reads_at_the_end > _READS_AT_THE_END:
            raise EOFError("it is cut off, or says that it is longer than it is")
        data, self._rest = (self._rest, b"") if size < 0 else (self._rest[:size], self._rest[size:])
        return data
