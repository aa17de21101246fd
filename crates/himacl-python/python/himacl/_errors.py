"""Exceptions: each is a kind of :class:`Error` and of the built-in exception that users expect."""


class Error(Exception):
    """Something went wrong inside himacl; the last line of the message is a hint where there is one."""


class InputError(Error, ValueError):
    """What was given cannot be used: shapes, values, names, ranges."""


class OutOfMemoryError(Error, MemoryError):
    """The work would need more memory than there is."""


class FileError(Error, OSError):
    """A file or folder cannot be read or written."""


for _class in (Error, InputError, OutOfMemoryError, FileError):
    _class.__module__ = "himacl"
