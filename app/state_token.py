"""Continuation tokens: where a continuation ended, signed, so that any process with the same secret can go on.

A token holds the weights' digest, the seed and position in the random stream, the last character (`pending`, chosen but
not read yet) and the state before it; base64url over bytes, with an HMAC-SHA-256 of them in front. Knows nothing of
HTTP or of engines.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import struct
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from model.config import ModelConfig
from model.errors import OptionError

# version, digest of the weights, seed (−1: none), position, pending character; the state follows as float32.
_HEADER = struct.Struct("<B32sqQI")
_VERSION = 1
_MAC_BYTES = 32


class OtherWeightsError(OptionError):
    """A good token, but of a model with other weights."""


@dataclass(frozen=True)
class Continuation:
    """state: one float32 (H,) array per name of `ModelConfig.state_names`."""

    digest: str
    seed: int | None
    position: int
    pending: int
    state: tuple[npt.NDArray[np.float32], ...]


def sign(continuation: Continuation, secret: bytes) -> str:
    c = continuation
    header = _HEADER.pack(_VERSION, bytes.fromhex(c.digest), -1 if c.seed is None else c.seed, c.position, c.pending)
    payload = header + b"".join(np.ascontiguousarray(array, "<f4").tobytes() for array in c.state)
    return base64.urlsafe_b64encode(_mac(payload, secret) + payload).decode().rstrip("=")


def read(token: str, secret: bytes, config: ModelConfig, digest: str) -> Continuation:
    """The continuation in a token for the model of that configuration and digest.

    Raises OptionError for one that this secret did not sign, OtherWeightsError for one of other weights.
    """
    try:
        data = base64.b64decode(token.encode("ascii") + b"=" * (-len(token) % 4), altchars=b"-_", validate=True)
    except (ValueError, binascii.Error):
        data = b""
    mac, payload = data[:_MAC_BYTES], data[_MAC_BYTES:]
    if len(payload) < _HEADER.size or not hmac.compare_digest(mac, _mac(payload, secret)):
        raise OptionError("state", "is not a token that this server gave, or it was changed; begin again with a prefix")
    # From here on the bytes are our own.
    version, digest_bytes, seed, position, pending = _HEADER.unpack_from(payload)
    if version != _VERSION or digest_bytes.hex() != digest:
        raise OtherWeightsError("state", "belongs to other weights than this model has now; begin again with a prefix")
    arrays = np.frombuffer(payload, "<f4", offset=_HEADER.size).reshape(len(config.state_names), config.hidden_dim)
    return Continuation(digest, None if seed < 0 else seed, position, pending, tuple(arrays))


def _mac(payload: bytes, secret: bytes) -> bytes:
    return hmac.new(secret, payload, hashlib.sha256).digest()
