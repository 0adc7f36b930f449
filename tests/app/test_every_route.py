"""The examples that other tests ask every route with are answered, and no route is without one."""

from __future__ import annotations

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from app.main import create_app
from app.settings import Settings
from tests.app.every_route import examples


def test_every_example_is_answered(client: TestClient) -> None:
    app: FastAPI = client.app  # type: ignore[assignment]
    for example in examples(app):
        headers = {"Content-Type": "application/json"} if example.body else {}
        response = client.request(example.method, example.target, content=example.body, headers=headers)
        assert response.status_code == 200, (str(example), response.text)


def test_a_route_without_an_example_is_noticed() -> None:
    app = create_app(Settings())
    app.add_api_route("/new", lambda: None)
    with pytest.raises(KeyError):
        list(examples(app))
