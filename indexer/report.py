"""What a build did: counts of files, seconds by stage."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from indexer.stage import Encoded

Limit = Literal["decode", "encode", "write", "publish"]


@dataclass(slots=True)
class Report:
    """Counts of files. `encoded` counts the pictures that went through the model, `described` those that were indexed
    before without local features and have them now.

    `decode_seconds` is the sum over the loader's threads; `wait_seconds` is how long the encoder had nothing to do.
    `publish_seconds` is how long indexes were made. On a cluster these and `encode_seconds` are sums over its encoders.
    `on_gpu` says that the model was on a GPU here, which decoding does not keep from encoding.
    `unreadable` says why of each place that the walk could not look into, `bad_captions` what was left out of which
    caption file.
    """

    new: int = 0
    changed: int = 0
    moved: int = 0
    copied: int = 0
    recaptioned: int = 0
    unchanged: int = 0
    removed: int = 0
    failed: int = 0
    encoded: int = 0
    described: int = 0
    seconds: float = 0.0
    decode_seconds: float = 0.0
    wait_seconds: float = 0.0
    encode_seconds: float = 0.0
    write_seconds: float = 0.0
    publish_seconds: float = 0.0
    on_gpu: bool = False
    interrupted: bool = False
    unreadable: dict[str, str] = field(default_factory=dict)
    bad_captions: dict[str, None] = field(default_factory=dict)

    def add(self, encoded: Encoded) -> None:
        """Count what went through the model, and the time of the stages before the catalog."""
        self.encoded += len(encoded.vectors)
        self.decode_seconds += encoded.decode_seconds
        self.wait_seconds += encoded.wait_seconds
        self.encode_seconds += encoded.encode_seconds

    @property
    def wrote(self) -> bool:
        """Whether the collection is different now."""
        counts = (
            self.new,
            self.changed,
            self.moved,
            self.copied,
            self.recaptioned,
            self.removed,
            self.failed,
            self.described,
        )
        return any(counts)

    @property
    def images_per_second(self) -> float:
        return self.encoded / self.seconds if self.seconds else 0.0

    @property
    def limit(self) -> Limit | None:
        """The stage that took the most of the time: what to make faster first. None where nothing was encoded."""
        stages: list[tuple[float, Limit]] = [
            (self.wait_seconds, "decode"),
            (self.encode_seconds, "encode"),
            (self.write_seconds, "write"),
            (self.publish_seconds, "publish"),
        ]
        return max(stages)[1] if self.encoded else None

    @property
    def starved(self) -> bool:
        """Whether a GPU waited for pictures more than half of the time."""
        return self.on_gpu and 2 * self.wait_seconds > self.seconds

    def to_dict(self) -> dict[str, Any]:
        derived = {"bad_captions": list(self.bad_captions), "images_per_second": self.images_per_second}
        return {**asdict(self), **derived, "limit": self.limit}
