"""What a tar archive of somebody else may make this process hold in memory, beside the files in it."""

import tarfile

MAX_HEADER_BYTES = 2**20
"""Of one long name, or of one set of extended attributes."""

_READ_WHOLE = (
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
    tarfile.XHDTYPE,
    tarfile.XGLTYPE,
    tarfile.SOLARIS_XHDTYPE,
)


class BoundedTarInfo(tarfile.TarInfo):
    """An entry, for `tarfile.open(..., tarinfo=BoundedTarInfo)`.

    Python reads a header that says more of the next entry whole, and a small archive may unpack to one of any size.
    Here a large one raises `tarfile.ReadError` before it is read.
    """

    def _proc_member(self, archive: tarfile.TarFile) -> tarfile.TarInfo:
        if self.type in _READ_WHOLE and self.size > MAX_HEADER_BYTES:
            raise tarfile.ReadError(f"a header of {self.size:,} bytes; expected {MAX_HEADER_BYTES:,} at most")
        # The one place where a header is known and not yet read; typeshed leaves the method out.
        entry: tarfile.TarInfo = super()._proc_member(archive)  # type: ignore[misc]
        return entry
