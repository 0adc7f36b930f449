"""The chapter's model in PyTorch behind LitServe: `-m nextchar.benchmarks.litserve_peer CHECKPOINT PORT BATCH`."""

from __future__ import annotations

import sys
from typing import Any

import litserve  # type: ignore[import-not-found,unused-ignore]
import torch  # type: ignore[import-not-found,unused-ignore]

from model import checkpoint as checkpoints

BATCH_WAIT_S = 0.005


class Generate(litserve.LitAPI):  # type: ignore[misc,unused-ignore]
    def setup(self, device: str) -> None:
        self.checkpoint = checkpoints.load(sys.argv[1])
        p = {name: torch.from_numpy(array) for name, array in self.checkpoint.parameters.items()}
        self.W_x, self.W_hh, self.W_hy, self.b_y = p["W_xh"] + p["b_h"], p["W_hh"], p["W_hy"], p["b_y"]

    def decode_request(self, request):  # type: ignore[no-untyped-def]  # LitServe reads annotations, and wants none
        return self.checkpoint.vocabulary.encode(request["prefix"]).tolist(), request["num_chars"]

    def batch(self, inputs: list[Any]) -> list[Any]:
        return list(inputs)

    def predict(self, inputs: list[tuple[list[int], int]]) -> list[list[int]]:
        """All prefixes of the benchmark are of one length, and so are the texts."""
        with torch.inference_mode():
            prefixes = torch.tensor([prefix for prefix, _ in inputs])
            H = torch.zeros(len(inputs), len(self.W_hh))
            written: list[Any] = []
            for t in range(prefixes.shape[1] + inputs[0][1] - 1):
                last = prefixes[:, t] if t < prefixes.shape[1] else written[-1]
                H = torch.addmm(self.W_x[last], H, self.W_hh).tanh_()
                if t >= prefixes.shape[1] - 1:
                    written.append(torch.addmm(self.b_y, H, self.W_hy).argmax(1))
            return torch.stack(written, 1).tolist()  # type: ignore[no-any-return,unused-ignore]

    def unbatch(self, output: list[list[int]]) -> list[list[int]]:
        return output

    def encode_response(self, output: list[int]) -> dict[str, str]:
        return {"generated": self.checkpoint.vocabulary.decode(output)}


if __name__ == "__main__":
    api = Generate(max_batch_size=int(sys.argv[3]), batch_timeout=BATCH_WAIT_S, api_path="/generate")
    server = litserve.LitServer(api, accelerator="cpu", workers_per_device=1)
    server.run(port=int(sys.argv[2]), generate_client_file=False, log_level="error")
