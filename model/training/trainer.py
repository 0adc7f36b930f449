"""Training itself: epochs over batches, what is kept of them, and events about it. Prints nothing, writes no file.

Longer than most modules: what a snapshot holds and what changes it are best read together.

Everything random is a function of the seed and of how far the run is, so a run that goes on from a snapshot does
bit for bit what the uninterrupted one does. A snapshot may be taken whenever an event has been handed out.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from itertools import islice
from typing import Any

import numpy as np
import numpy.typing as npt

from model import batches, cells
from model.checkpoint import Checkpoint
from model.config import ModelConfig
from model.corpus import EMBEDDED
from model.encoding import EncodedCorpus
from model.errors import CheckpointError, CorpusError, TrainingError
from model.training import advice, dropout, validation, writing
from model.training.backend import Backend, create, zero_state
from model.training.events import Advice, BatchDone, EpochDone, Event, Finished, Sampled, Started
from model.training.objective import clipping_factor, global_norm, perplexity
from model.training.optimizers import OPTIMIZERS, follow
from model.training.options import TrainingOptions
from model.training.record import training_record
from model.training.schedules import learning_rate

# Streams of random numbers; the seed and the place in the run choose within each.
_INITIAL, _ORDER, _DROPOUT, _RESET = range(4)


@dataclass
class Position:
    """How far a run is. All of it is in a snapshot."""

    epoch: int = 0  # complete
    batch: int = 0  # done in the epoch under way
    step: int = 0  # updates in all
    seconds: float = 0.0
    epoch_seconds: float = 0.0
    loss_sum: float = 0.0
    norm_sum: float = 0.0
    train_perplexity: float = math.inf  # of the last complete epoch
    best_loss: float = math.inf  # nats per character on the validation text
    best_epoch: int = 0
    rises: int = 0  # validations since
    memorised: float | None = None
    # One row per epoch: epoch, seconds, training perplexity, validation perplexity.
    history: list[tuple[int, float, float, float | None]] = field(default_factory=list)


class Trainer:
    """One run. `options` name what to do, `corpus` on what; `backend` is chosen by the options unless given."""

    def __init__(self, corpus: EncodedCorpus, options: TrainingOptions, backend: Backend | None = None) -> None:
        self.corpus, self.options = corpus, options
        self.config = ModelConfig(options.cell, options.num_layers, options.hidden_dim, len(corpus.vocabulary))
        length = len(corpus.indices)
        self.num_training = length - round(length * options.validation_fraction)
        if options.validation_fraction and self.num_training == length:
            raise CorpusError(
                f"validation_fraction {options.validation_fraction} of {length} characters is none of them"
            )
        batches.check_length(self.num_training, options.batch_size, options.num_steps, options.sampling)
        self.num_batches = batches.num_batches(
            self.num_training, options.batch_size, options.num_steps, options.sampling
        )
        for prefix in options.prefixes:
            corpus.vocabulary.encode(corpus.rules.apply(prefix))  # an unknown character is told now, not after an hour
        self.backend = backend or create(options.backend, options.device, self.config, options.precision)
        self.backend.load(cells.initial_parameters(self.config, self._rng(_INITIAL), options.initialisation))
        weights = self.backend.weights
        self.optimizer = OPTIMIZERS[options.optimizer](weights, self.backend.num_decayed)
        self.average = weights.copy() if options.averaging else None
        self.best = weights.copy()
        self.state = zero_state(self.config, options.batch_size, weights.dtype)
        self.position = Position()
        self._stop = False
        self._eval_seconds = 0.0

    def request_stop(self) -> None:
        """Ends the run after the batch under way; a signal handler may call it."""
        self._stop = True

    def events(self) -> Iterator[Event]:
        """Trains to the end. Raises TrainingError once the loss is no longer finite."""
        options, at = self.options, self.position
        yield Started(
            self.config, self.backend.name, len(self.backend.weights), self.num_training,
            len(self.corpus.indices) - self.num_training, self.num_batches, at.epoch,
        )  # fmt: skip
        # The embedded texts are there to be learnt by heart.
        own = self.corpus.name not in EMBEDDED
        words = advice.size(len(self.backend.weights), self.num_training) if own else None
        if words and not options.validation_fraction and at.step == 0:
            yield Advice(words)
        reason = None
        while reason is None:
            if at.epoch >= options.epochs:
                reason = "epochs"
            elif options.patience is not None and at.rises >= options.patience:
                reason = "patience"
            elif self._time_is_up():
                reason = "time"
            else:
                yield from self._batches()
                if self._stop:
                    reason = "stopped"
                    break
                yield from self._end_epoch()
        if not options.validation_fraction:
            self.best[:] = self._kept()
        yield Finished(reason, at.epoch, at.seconds, at.best_epoch)

    def _batches(self) -> Iterator[Event]:
        """The rest of the epoch under way."""
        options, at = self.options, self.position
        N, T = options.batch_size, options.num_steps
        if at.batch == 0:
            at.loss_sum = at.norm_sum = at.epoch_seconds = 0.0
            self.state = zero_state(self.config, N, self.backend.weights.dtype)
        began, before, before_epoch = time.perf_counter(), at.seconds, at.epoch_seconds
        for data, labels in islice(self._iterator(), at.batch, None):
            self._update(np.asarray(data, np.int32), np.asarray(labels, np.int32))
            passed = time.perf_counter() - began
            at.seconds, at.epoch_seconds = before + passed, before_epoch + passed
            count = at.batch * N * T
            yield BatchDone(
                at.epoch + 1, at.batch, self._progress(), perplexity(at.loss_sum, count), count / at.epoch_seconds
            )
            if self._stop or self._time_is_up():
                return

    def _iterator(self) -> Iterator[tuple[npt.NDArray[Any], npt.NDArray[Any]]]:
        options, text = self.options, self.corpus.indices[: self.num_training]
        if options.sampling == "random":
            order = self._rng(_ORDER, self.position.epoch)
            return batches.data_iter_random(text, options.batch_size, options.num_steps, order)
        return batches.data_iter_consecutive(text, options.batch_size, options.num_steps)

    def _update(self, data: npt.NDArray[np.int32], labels: npt.NDArray[np.int32]) -> None:
        options, at, backend = self.options, self.position, self.backend
        N, T = data.shape
        carried = options.sampling == "consecutive" or options.carry_state
        state = self.state if carried else zero_state(self.config, N, backend.weights.dtype)
        if carried and options.state_reset:
            kept = self._rng(_RESET, at.step).random((N, 1)) >= options.state_reset
            state = tuple(array * kept.astype(array.dtype) for array in state)
        masks = dropout.draw(self._rng(_DROPOUT, at.step), options, N, T)
        loss, self.state = backend.gradients(data, labels, state, masks)
        scale = 1.0 if options.loss_reduction == "sum" else 1.0 / (N * T)
        norm = scale * global_norm(backend.gradient)
        if not (math.isfinite(loss) and math.isfinite(norm)):
            raise TrainingError(advice.diverged(options, at.epoch + 1))
        rate = learning_rate(options, self._progress())
        at.step += 1
        scale *= clipping_factor(norm, options.clipping_theta)
        self.optimizer.update(backend.weights, backend.gradient, scale, rate, options.weight_decay, at.step)
        if self.average is not None:
            # Early on the average follows quickly, or it would remember the initial weights.
            keep = min(options.averaging, (1 + at.step) / (10 + at.step))
            follow(self.average, backend.weights, self.average.dtype.type(1 - keep))
        at.batch += 1
        at.loss_sum += loss
        at.norm_sum += norm

    def _end_epoch(self) -> Iterator[Event]:
        """Validation, samples and the epoch's line of figures."""
        options, at = self.options, self.position
        began = time.perf_counter()
        epoch, last = at.epoch + 1, self._time_is_up() or at.epoch + 1 >= options.epochs
        count = at.batch * options.batch_size * options.num_steps
        at.train_perplexity = perplexity(at.loss_sum, count)
        loss = None
        if options.validation_fraction and (epoch % options.eval_every == 0 or last):
            with _Weights(self.backend, self._kept()):
                loss = validation.mean_loss(self.backend, self.config, self.corpus.indices, self.num_training)
            at.rises += 1
        best = loss is None and not options.validation_fraction
        if loss is not None and loss < at.best_loss:
            at.best_loss, at.rises, best = loss, 0, True
        if best:
            at.best_epoch = epoch
            self.best[:] = self._kept()
        memorised = None
        if epoch % options.pred_period == 0 or last:
            samples = self.samples(epoch)
            yield from samples
            shares = [s.memorised for s in samples if s.memorised is not None]
            memorised = at.memorised = sum(shares) / len(shares) if shares else None
        self._eval_seconds = time.perf_counter() - began
        done = EpochDone(
            epoch, at.epoch_seconds, count / at.epoch_seconds, at.train_perplexity,
            None if loss is None else math.exp(min(loss, 700.0)), learning_rate(options, self._progress()),
            at.norm_sum / max(at.batch, 1), memorised, best, at.seconds + self._eval_seconds,
        )  # fmt: skip
        at.seconds += self._eval_seconds
        at.epoch, at.batch = epoch, 0
        at.history.append((epoch, round(at.seconds, 3), done.train_perplexity, done.validation_perplexity))
        yield done
        words = advice.overfitting(options, at.best_epoch, at.rises) if loss is not None else None
        if words:
            yield Advice(words)

    def samples(self, epoch: int) -> list[Sampled]:
        """What each prefix becomes with the parameters kept at this moment."""
        options = self.options
        found = []
        with _Weights(self.backend, self._kept()):
            for prefix in options.prefixes or writing.default_prefixes(self.corpus):
                read = self.corpus.rules.apply(prefix)
                text = writing.write(self.backend, self.config, self.corpus.vocabulary, read, options.pred_len)
                found.append(Sampled(epoch, prefix, text, writing.memorised(text, self.corpus)))
        return found

    def checkpoint(self) -> Checkpoint:
        """The best parameters so far: by validation, or the latest where nothing is held out."""
        kept = self.best if self.options.validation_fraction and self.position.best_epoch else self._kept()
        return Checkpoint(
            self.config, self.corpus.rules, self.corpus.vocabulary, self.backend.named(kept), training_record(self)
        )

    def snapshot(self) -> tuple[dict[str, npt.NDArray[Any]], dict[str, Any]]:
        """All that a run of the same options on the same text needs to go on from here."""
        arrays = {"weights": self.backend.weights, "best": self.best}
        arrays.update({f"optimizer.{name}": array for name, array in self.optimizer.arrays.items()})
        arrays.update({f"state.{i}": array for i, array in enumerate(self.state)})
        if self.average is not None:
            arrays["average"] = self.average
        facts = {
            "options": asdict(self.options), "corpus": self.corpus.sha256, "backend": self.backend.name,
            "position": asdict(self.position),
        }  # fmt: skip
        return arrays, facts

    def restore(self, arrays: dict[str, npt.NDArray[Any]], facts: dict[str, Any]) -> None:
        """Goes back to a snapshot. Raises CheckpointError where it is of another text, backend or shape."""
        for key, ours in (("corpus", self.corpus.sha256), ("backend", self.backend.name)):
            if facts[key] != ours:
                raise CheckpointError(f"the run to resume has {key} {facts[key]!r}, this one has {ours!r}")
        mine, _ = self.snapshot()
        if {k: (a.shape, a.dtype) for k, a in mine.items()} != {k: (a.shape, a.dtype) for k, a in arrays.items()}:
            raise CheckpointError("the run to resume has other settings than this one")
        for name, array in mine.items():
            if not name.startswith("state."):
                array[...] = arrays[name]
        self.state = tuple(arrays[f"state.{i}"].copy() for i in range(len(self.state)))
        self.position = Position(**facts["position"])

    def _kept(self) -> npt.NDArray[np.floating[Any]]:
        return self.backend.weights if self.average is None else self.average

    def _progress(self) -> float:
        """The share of the run that is over, by epochs or by time, whichever ends it first."""
        options, at = self.options, self.position
        progress = (at.epoch + at.batch / self.num_batches) / options.epochs
        if options.time_budget_s is not None:
            progress = max(progress, at.seconds / options.time_budget_s)
        return min(progress, 1.0)

    def _time_is_up(self) -> bool:
        budget = self.options.time_budget_s
        return budget is not None and self.position.seconds + self._eval_seconds >= budget

    def _rng(self, *place: int) -> np.random.Generator:
        return np.random.default_rng([self.options.seed, *place])


class _Weights:
    """Lends a backend other weights for the length of a `with` block."""

    def __init__(self, backend: Backend, weights: npt.NDArray[np.floating[Any]]) -> None:
        self._backend, self._lent = backend, weights

    def __enter__(self) -> None:
        self._own = self._backend.weights.copy()
        self._backend.weights[:] = self._lent

    def __exit__(self, *_: object) -> None:
        self._backend.weights[:] = self._own
