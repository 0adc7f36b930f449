from __future__ import annotations

from pathlib import Path

from tests.app.conftest import client_of


def test_once_it_is_stopping_nothing_new_is_taken_but_what_operators_look_at(models_dir: Path) -> None:
    with client_of(models_dir) as client:
        client.app.state.service.draining = True  # type: ignore[attr-defined]
        for path in ("/generate?prefix=a", "/models", "/", "/nothing/here"):
            refused = client.get(path)
            assert (refused.status_code, refused.headers["connection"]) == (503, "close"), path
            assert int(refused.headers["retry-after"]) >= 1
        assert client.get("/v1/models").json()["error"]["code"] == "stopping"
        assert client.get("/healthz").status_code == client.get("/metrics").status_code == 200
        assert client.get("/readyz").json()["status"] == "stopping"
