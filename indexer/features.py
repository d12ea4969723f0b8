"""Images that were indexed without local features -> these, from their files."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from typing import TYPE_CHECKING

from indexer.in_flight import InFlight
from indexer.load import ahead
from indexer.patience import Patience
from search.errors import BadPicture
from search.feature_records import FeatureRecords, Missing
from search.image import decode_picture, digest_of
from search.local_features import LONGEST, record_of
from search.paths import may_ask, read_file
from search.types import Root

if TYPE_CHECKING:
    from indexer.build import Options

_ROWS_A_TRANSACTION = 256


def describe(
    records: FeatureRecords, roots: Sequence[Root], options: Options, patience: Patience, in_flight: InFlight
) -> int:
    """How many images have got their local features; those whose files are gone or changed stay without.

    An older release indexed them, or a build that kept none. Of stores only those in `roots` are asked. A stop ends
    with what is done.
    """

    def read(image: Missing) -> tuple[int, bytes | None]:
        if patience.stop.is_set():
            return image.id, None
        suspect = image.path in in_flight.suspects
        try:
            data = read_file(image.path)
            if digest_of(data) != image.digest:
                return image.id, None
            with nullcontext() if suspect else in_flight.decoding(image.path):
                picture = decode_picture(data, max_pixels=options.max_pixels, short_side=LONGEST, suspect=suspect)
        except BadPicture:
            if suspect:  # nothing else records that it fails
                in_flight.doubt()
            return image.id, None
        return image.id, record_of(picture.image, options.keypoints)

    count, found = 0, dict[int, bytes]()
    missing = [image for image in records.missing() if may_ask(image.path, roots)]
    workers, waiting = options.workers, patience.waiting
    for image_id, record in ahead(read, missing, workers=workers, look_ahead=2 * workers, waiting=waiting):
        if record is not None:
            found[image_id] = record
        if len(found) == _ROWS_A_TRANSACTION:
            records.add(found)
            count, found = count + len(found), {}
    records.add(found)
    return count + len(found)
