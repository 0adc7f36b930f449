"""Ids of a stream's events: what a client that comes back has seen, and what makes the rest the same text.

`20.17-8210463-0f3a…`: characters of each continuation, the seed (`greedy` for none), the weights' digest, shortened.
Checked, not signed: there is nothing to forge where the asker may name any seed. Knows nothing of HTTP.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from app.scheduling.requests import GenerateRequest
from model.errors import OptionError
from model.sampling.options import MAX_SEED

DONE = "done"  # behind the last event
FIELD = "Last-Event-ID"

_DIGEST_LETTERS = 16
_ID = re.compile(rf"([0-9]{{1,16}}(?:\.[0-9]{{1,16}})*)-([0-9]{{1,19}}|greedy)-([0-9a-f]{{{_DIGEST_LETTERS}}})")


class OtherWeightsError(OptionError):
    """An id of a stream that other weights wrote."""


@dataclass(frozen=True)
class Place:
    """seen: characters of each continuation. seed: None where they are greedy. digest: its first letters."""

    seen: tuple[int, ...]
    seed: int | None
    digest: str

    @classmethod
    def beginning(cls, request: GenerateRequest, digest: str) -> Place:
        return cls((0,) * request.n, request.sampling.seed, digest[:_DIGEST_LETTERS])

    @classmethod
    def read(cls, event_id: str) -> Place:
        """Raises OptionError for what this server never gave."""
        found = _ID.fullmatch(event_id)
        if found is None or (found[2] != "greedy" and int(found[2]) > MAX_SEED):
            raise OptionError(FIELD, "is not an id that this server gave; leave it out to begin again")
        seen, seed, digest = found.groups()
        return cls(tuple(map(int, seen.split("."))), None if seed == "greedy" else int(seed), digest)

    def written(self, seen: tuple[int, ...]) -> str:
        """The id of an event, behind which a client has seen so much."""
        seed = "greedy" if self.seed is None else self.seed
        return f"{'.'.join(map(str, seen))}-{seed}-{self.digest}"

    def check(self, request: GenerateRequest, digest: str) -> None:
        """Raises OtherWeightsError where a model of that digest did not give the id, and OptionError where it did not
        give it for this request."""
        first = Place.beginning(request, digest)
        if self.digest != first.digest:
            raise OtherWeightsError(
                FIELD, "belongs to other weights than this model has now; leave it out to begin again"
            )
        if len(self.seen) != request.n:
            raise OptionError(FIELD, f"is of {len(self.seen)} continuations; this request has n: {request.n}")
        if max(self.seen) > request.most_chars:
            most = f"num_chars is {request.num_chars}" + (f", and end {request.end!r}" if request.end else "")
            raise OptionError(FIELD, f"is behind {max(self.seen)} characters; {most}")
        if self.seed != first.seed:
            raise OptionError(FIELD, f"is of {_told(self.seed)}; this request is of {_told(first.seed)}")


def _told(seed: int | None) -> str:
    return "a greedy text" if seed is None else f"the seed {seed}"
