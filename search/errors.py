"""Every error that the engine raises on purpose.

    SearchError
    ├── BadPicture            a file that cannot be decoded: recorded by the indexer, told to who asked
    │   └── UnreadFile        a file that the system did not give: nothing is known of it, and it is tried again
    ├── BadImport             vectors or rows that cannot be imported
    ├── ModelUnavailable      weights or a configuration that cannot be had
    │   └── ExportRefused     towers that only PyTorch computes as they should be
    ├── BadQuery              an empty query, k out of range, an unknown id
    │   ├── BadFilter         a condition that cannot be read, or a tag that no image can have
    │   └── NoTextTower       a text, asked of a model for images alone
    ├── ServerError           a server that does not answer, or refuses
    ├── ClusterError          a Ray cluster that cannot be had, or whose machines cannot do their part
    └── CollectionError
        ├── CollectionNotFound
        ├── CollectionBusy    another process is writing
        ├── DiskFull          what was to be written had no room
        ├── EncoderMismatch   the collection was made by another encoder
        └── SchemaTooNew      made by a newer release

A message names the value, the limit and the next step; it is fit to be shown to a user as it is.
"""

from __future__ import annotations


class SearchError(Exception):
    """Base of all errors of this package; the edge shows its message and ends."""


class BadPicture(SearchError):
    """A picture that cannot be used; the message is the reason, without the path."""


class UnreadFile(BadPicture):
    """A file that could not be read this time: no permission, no descriptor left, a disk that does not answer."""


class BadImport(SearchError):
    """Vectors or rows that cannot be imported; the message names the file and the place in it."""


class ModelUnavailable(SearchError):
    """A model whose weights or configuration cannot be had here, with the ways out."""


class ExportRefused(ModelUnavailable):
    """Towers that cannot be exported, or would not give the same vectors; the message is the reason."""


class BadQuery(SearchError):
    """A query that asks for nothing or for something out of range."""


class BadFilter(BadQuery):
    """A filter that cannot be read or asks for what is not known."""


class NoTextTower(BadQuery):
    """A text for a model that has an image tower alone."""


class ServerError(SearchError):
    """A server that was asked in place of a collection, and gave no hits; the message has its words."""


class ClusterError(SearchError):
    """A Ray cluster that does not answer, or a machine of it that lacks what the build needs."""


class CollectionError(SearchError):
    """A collection that cannot be opened or written."""


class CollectionNotFound(CollectionError):
    """No collection in this directory."""


class CollectionBusy(CollectionError):
    """Another process holds the collection for writing."""


class DiskFull(CollectionError):
    """The collection's disk has no room for what was to be written; finished work is kept."""


class EncoderMismatch(CollectionError):
    """The collection holds vectors of another encoder."""


class SchemaTooNew(CollectionError):
    """The catalog was written by a newer release of this package."""
