"""Continuation tokens: where a continuation ended, signed, so that any process with the same secret can go on.

A token holds the weights' digest, the seed, and the `Continuation` (position in the random stream, last character,
state before it); base64url over bytes, with an HMAC-SHA-256 of them in front. Knows nothing of HTTP or of engines.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import struct

import numpy as np

from app.scheduling.requests import Continuation
from model.config import ModelConfig
from model.errors import OptionError

# version, digest of the weights, seed (−1: none), position, pending character (_NOTHING: none was read); the state
# follows as float32.
_HEADER = struct.Struct("<B32sqQI")
_NOTHING = 2**32 - 1
_VERSION = 1
_MAC_BYTES = 32


class OtherWeightsError(OptionError):
    """A good token, but of a model with other weights."""


def sign(continuation: Continuation, seed: int | None, digest: str, secret: bytes) -> str:
    """digest: of the weights, 64 hexadecimal digits. seed: None where the text was greedy."""
    header = _HEADER.pack(
        _VERSION,
        bytes.fromhex(digest),
        -1 if seed is None else seed,
        continuation.position,
        _NOTHING if continuation.pending is None else continuation.pending,
    )
    payload = header + b"".join(np.ascontiguousarray(array, "<f4").tobytes() for array in continuation.arrays)
    return base64.urlsafe_b64encode(_mac(payload, secret) + payload).decode().rstrip("=")


def read(token: str, secret: bytes, config: ModelConfig, digest: str) -> tuple[Continuation, int | None]:
    """The continuation in a token for the model of that configuration and digest, and its seed.

    Raises OptionError for one that this secret did not sign, OtherWeightsError for one of other weights.
    """
    try:
        data = base64.b64decode(token.encode("ascii") + b"=" * (-len(token) % 4), altchars=b"-_", validate=True)
    except ValueError:
        data = b""
    mac, payload = data[:_MAC_BYTES], data[_MAC_BYTES:]
    # Encoded again it must be the same token: the last letter has bits that decoding drops.
    canonical = base64.urlsafe_b64encode(data).decode().rstrip("=") == token
    if not canonical or not hmac.compare_digest(mac, _mac(payload, secret)):
        raise OptionError("state", "is not a token that this server gave, or it was changed; begin again with a prefix")
    # From here on the bytes are our own.
    version, digest_bytes, seed, position, pending = _HEADER.unpack_from(payload)
    if version != _VERSION or digest_bytes.hex() != digest:
        raise OtherWeightsError("state", "belongs to other weights than this model has now; begin again with a prefix")
    arrays = np.frombuffer(payload, "<f4", offset=_HEADER.size).reshape(len(config.state_names), config.hidden_dim)
    own = Continuation(tuple(arrays.astype(np.float32)), None if pending == _NOTHING else pending, position)
    return own, None if seed < 0 else seed


def _mac(payload: bytes, secret: bytes) -> bytes:
    return hmac.new(secret, payload, hashlib.sha256).digest()
