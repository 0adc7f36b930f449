"""Asks the service at URL, with KEY, through what openapi-generator made for Python; writes the answers as JSON."""

from __future__ import annotations

import json
import sys
from typing import Any

from openapi_client import (
    ApiClient,
    ApiException,
    CompletionBody,
    CompletionBodyPrompt,
    Configuration,
    GenerateApi,
    GenerateBody,
    GenerateBodyStop,
    ModelsApi,
    OnUnknown,
    OpenaiApi,
    Problem,
    ScoreApi,
    ScoreBody,
)

from tests.clients.generated.events import told


def answers(client: ApiClient) -> dict[str, Any]:
    api = GenerateApi(client)
    fields = GenerateBody(
        prefix="a", num_chars=20, temperature=0.7, seed=3, stop=GenerateBodyStop(["zz"]), n=2, logprobs=1
    )
    of_fields = api.generate(generate_body=fields)
    assert of_fields.choices is not None
    assert of_fields.logprobs is not None
    completion = CompletionBody(model="tiny", prompt=CompletionBodyPrompt("a"), max_tokens=6, temperature=0)
    card = ModelsApi(client).get_model("other")
    return {
        "by_query": api.generate_by_query(prefix="分开", num_chars=12, unknown=OnUnknown.SKIP).text,
        "of_prefix": api.generate(generate_body=GenerateBody(prefix="a")).text,
        "of_fields": [[choice.text, choice.seed] for choice in of_fields.choices],
        "logprobs": [step.logprob for step in of_fields.logprobs],
        "posted_by_query": api.generate(prefix="b", num_chars=9, stop=["zz", "zy"], return_state=False).text,
        "in_both": api.generate(generate_body=GenerateBody(prefix="a", num_chars=7), num_chars=7, top_k=5).text,
        "streamed": streamed(api, GenerateBody(prefix="a", stream=True)),
        "scored": ScoreApi(client).score(ScoreBody(text="ab分开")).total,
        "models": [card.name for card in ModelsApi(client).list_models().models],
        "model": [card.name, card.digest],
        "completed": [choice.text for choice in OpenaiApi(client).create_completion(completion).choices],
        "refused": refused(api, GenerateBody(prefix="é")),
    }


def streamed(api: GenerateApi, body: GenerateBody) -> dict[str, Any]:
    answer = api.generate_without_preload_content(generate_body=body)
    return told(line.decode() for line in answer)


def refused(api: GenerateApi, body: GenerateBody) -> list[Any]:
    """The status, the type of the problem and the fields that are wrong; nothing where it was answered."""
    try:
        api.generate(generate_body=body)
    except ApiException as error:
        problem = error.data
    else:
        return []
    assert isinstance(problem, Problem)
    return [problem.status, problem.type, [wrong.var_field for wrong in problem.errors or ()]]


def main(url: str, key: str) -> None:
    with ApiClient(Configuration(host=url, api_key={"apiKey": key})) as client:
        found = answers(client)
    with ApiClient(Configuration(host=url, access_token="another")) as client:
        found["with_wrong_key"] = refused(GenerateApi(client), GenerateBody(prefix="a"))[:2]
    print(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
