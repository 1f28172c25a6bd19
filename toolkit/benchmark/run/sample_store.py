"""The samples of one dataset by id; images of a large dataset are kept as PNG and decoded when needed."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator, Mapping
from dataclasses import replace

import xxhash
from PIL import Image

from toolkit.benchmark.run.spec import SpecError
from toolkit.benchmark.run.units import Unreadable
from toolkit.datasets.image_file import png_bytes
from toolkit.datasets.sample import Sample

MAX_DECODED = 256
"""So many samples keep their decoded pictures; those after them are packed, without loss, each picture once."""

_NOTHING = Image.new("RGB", (1, 1))


def _content(sample: Sample | Unreadable) -> tuple[object, ...]:
    if isinstance(sample, Unreadable):
        return sample.id, sample.reason
    images = [part for i in sample.images for part in (xxhash.xxh3_128(i.tobytes()).hexdigest(), i.size, i.mode)]
    return *images, sample.id, sample.image_id, sample.question, sample.instruction, sample.choices, sample.answer


class SampleStore(Mapping[str, Sample | Unreadable]):
    """Samples by id, in the order in which they were added."""

    def __init__(self) -> None:
        self._samples: dict[str, Sample | Unreadable] = {}
        self._digests: dict[str, list[str]] = {}
        self._packed: dict[str, bytes] = {}
        self._content = hashlib.sha256()

    def add(self, sample: Sample | Unreadable) -> None:
        """Add a sample at the end.

        Raises:
            SpecError: There is one with this id.
        """
        if sample.id in self._samples:
            raise SpecError(f"the dataset has the id {sample.id!r} more than once; ids must be unique")
        self._content.update(repr(_content(sample)).encode())
        if isinstance(sample, Sample) and len(self._samples) >= MAX_DECODED:
            self._digests[sample.id] = [self._pack(image.convert("RGB")) for image in sample.images]
            sample = replace(sample, image=_NOTHING, further_images=())
        self._samples[sample.id] = sample

    def _pack(self, image: Image.Image) -> str:
        """Keep an image as PNG, each distinct one once, and give its digest."""
        digest = hashlib.sha256(repr(image.size).encode() + image.tobytes()).hexdigest()
        if digest not in self._packed:
            self._packed[digest] = png_bytes(image, compress_level=1)
        return digest

    def _unpack(self, digest: str) -> Image.Image:
        with Image.open(io.BytesIO(self._packed[digest])) as image:
            return image.convert("RGB")

    @property
    def digest(self) -> str:
        """Digest of what was added: ids, images, questions, choices and answers, in order."""
        return self._content.hexdigest()[:16]

    def __getitem__(self, name: str) -> Sample | Unreadable:
        sample = self._samples[name]
        if isinstance(sample, Sample) and name in self._digests:
            first, *further = map(self._unpack, self._digests[name])
            return replace(sample, image=first, further_images=tuple(further))
        return sample

    def __iter__(self) -> Iterator[str]:
        return iter(self._samples)

    def __len__(self) -> int:
        return len(self._samples)
