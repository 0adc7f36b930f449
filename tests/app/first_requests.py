"""Run as a program with a models directory: prints the compiled functions that the first requests compiled or read
from disk, each of which made somebody wait. Nothing, where all were there once the models were ready."""

from __future__ import annotations

import gc
import sys
from pathlib import Path

from fastapi.testclient import TestClient
from numba.core.dispatcher import Dispatcher

from tests.app.conftest import client_of
from tests.app.every_route import examples


def variants() -> set[tuple[str, str]]:
    """Of our functions, with the types of what they were called with."""
    all_of_them = (one for one in gc.get_objects() if isinstance(one, Dispatcher))
    own = (one for one in all_of_them if one.py_func.__module__.startswith("model."))
    return {(one.py_func.__name__, str(types)) for one in own for types in one.signatures}


def ask(client: TestClient) -> None:
    for example in examples(client.app):  # type: ignore[arg-type]
        json = {"Content-Type": "application/json"} if example.body else {}
        assert client.request(example.method, example.target, content=example.body, headers=json).status_code < 400
    wish = {"temperature": 0.8, "top_k": 3, "top_p": 0.5, "n": 2, "logprobs": 2}
    for asked in ({}, wish, {**wish, "seed": 1}):
        for prefix, model in (("abc", "tiny"), ("", "tiny"), ("", "drawn")):
            body = {"prefix": prefix, "num_chars": 3, "model": model, **asked}
            assert client.post("/generate", json=body).status_code == 200


def main() -> None:
    with client_of(Path(sys.argv[1]), log_level="error") as client:
        before = variants()
        assert before
        ask(client)
        print(sorted(name for name, _ in variants() - before))


if __name__ == "__main__":
    main()
