"""Asks the service at URL, with KEY, through what openapi-python-client made; writes the answers as JSON."""

from __future__ import annotations

import json
import sys
from typing import Any

from nextchar_client import AuthenticatedClient
from nextchar_client.api.generate import generate, generate_by_query
from nextchar_client.api.models import get_model, list_models
from nextchar_client.api.openai import create_completion
from nextchar_client.api.score import score
from nextchar_client.models import (
    Completion,
    CompletionBody,
    GenerateAnswer,
    GenerateBody,
    ModelCards,
    ModelWithVersions,
    OnUnknown,
    Problem,
    ScoreAnswer,
    ScoreBody,
)

from tests.clients.generated.events import told


def answers(client: AuthenticatedClient) -> dict[str, Any]:
    by_query = generate_by_query.sync(client=client, prefix="分开", num_chars=12, unknown=OnUnknown.SKIP)
    of_prefix = generate.sync(client=client, body=GenerateBody(prefix="a"))
    fields = GenerateBody(prefix="a", num_chars=20, temperature=0.7, seed=3, stop=["zz"], n=2, logprobs=1)
    of_fields = generate.sync(client=client, body=fields)
    posted = generate.sync(client=client, prefix="b", num_chars=9, stop=["zz", "zy"], return_state=False)
    both = generate.sync(client=client, body=GenerateBody(prefix="a", num_chars=7), num_chars=7, top_k=5)
    scored = score.sync(client=client, body=ScoreBody(text="ab分开"))
    cards = list_models.sync(client=client)
    card = get_model.sync("other", client=client)
    completed = create_completion.sync(
        client=client, body=CompletionBody(model="tiny", prompt="a", max_tokens=6, temperature=0)
    )
    refused = generate.sync_detailed(client=client, body=GenerateBody(prefix="é"))
    assert isinstance(by_query, GenerateAnswer)
    assert isinstance(of_prefix, GenerateAnswer)
    assert isinstance(of_fields, GenerateAnswer)
    assert isinstance(of_fields.choices, list)
    assert isinstance(of_fields.logprobs, list)
    assert isinstance(posted, GenerateAnswer)
    assert isinstance(both, GenerateAnswer)
    assert isinstance(scored, ScoreAnswer)
    assert isinstance(cards, ModelCards)
    assert isinstance(card, ModelWithVersions)
    assert isinstance(completed, Completion)
    assert isinstance(refused.parsed, Problem)
    assert isinstance(refused.parsed.errors, list)
    return {
        "by_query": by_query.text,
        "of_prefix": of_prefix.text,
        "of_fields": [[choice.text, choice.seed] for choice in of_fields.choices],
        "logprobs": [step.logprob for step in of_fields.logprobs],
        "posted_by_query": posted.text,
        "in_both": both.text,
        "streamed": streamed(client, GenerateBody(prefix="a", stream=True)),
        "scored": scored.total,
        "models": [card.name for card in cards.models],
        "model": [card.name, card.digest],
        "completed": [choice.text for choice in completed.choices],
        "refused": [refused.status_code, refused.parsed.type_, [error.field for error in refused.parsed.errors]],
    }


def streamed(client: AuthenticatedClient, body: GenerateBody) -> dict[str, Any]:
    """The client reads whole answers; its README gives out the httpx client below for the rest."""
    with client.get_httpx_client().stream("POST", "/generate", json=body.to_dict()) as answer:
        return told(answer.iter_lines())


def with_wrong_key(url: str) -> list[Any]:
    answer = generate.sync_detailed(client=AuthenticatedClient(url, token="another"), body=GenerateBody(prefix="a"))
    return [answer.status_code, answer.parsed.type_] if isinstance(answer.parsed, Problem) else []


def main(url: str, key: str) -> None:
    with AuthenticatedClient(base_url=url, token=key) as client:
        print(json.dumps({**answers(client), "with_wrong_key": with_wrong_key(url)}))


if __name__ == "__main__":
    main(*sys.argv[1:])
