"""The two services of tests/peers: one asks for a key, the other answers anybody."""

from tests.peers.conftest import keyed, models_dir, open_to_all

__all__ = ["keyed", "models_dir", "open_to_all"]
