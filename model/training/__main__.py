"""Compiles what training on a CPU needs, so that the first run need not: `python -m model.training`."""

from __future__ import annotations

from model.text.corpus import Corpus
from model.text.encoding import encode
from model.text.rules import TextRules
from model.training import Trainer, TrainingOptions

TEXT = "a few words, read and forgotten. " * 10
# What the presets `best`, `quick` and `chapter` train with.
KINDS = (("lstm", "auto", "adam"), ("gru", "float32", "adam"), ("rnn", "float32", "sgd"))


def main() -> None:
    corpus = encode(Corpus("words", TEXT, "0" * 64), TextRules())
    for cell, precision, optimizer in KINDS:
        options = TrainingOptions(
            cell=cell, precision=precision, optimizer=optimizer, device="cpu", hidden_dim=8, num_steps=4, batch_size=4,
            epochs=1, sampling="consecutive", averaging=0.9, dropout_output=0.5, dropout_recurrent=0.5,
            validation_fraction=0.2, pred_len=1,
        )  # fmt: skip
        for _ in Trainer(corpus, options).events():
            pass


if __name__ == "__main__":
    main()
