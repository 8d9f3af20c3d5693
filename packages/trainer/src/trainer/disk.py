"""What the system says when there is no room: a full disk, a used-up quota, a limit to a file."""

import errno

NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class NoSpaceError(OSError):
    """There is no room for what a run needs; the words are a line of their own."""

    def __str__(self) -> str:
        return self.strerror or ""
