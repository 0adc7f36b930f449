"""Training itself: epochs over batches, what is kept of them, and events about it. Prints nothing, writes no file.

Longer than most modules: what a snapshot holds and what changes it are best read together.

A run whose loss is hopeless (see `objective`) ends there; what is kept is its best epoch, if there is one that is not.

Everything random is a function of the seed and of how far the run is, so a run that goes on from a snapshot does
bit for bit what the uninterrupted one does. A snapshot may be taken whenever an event has been handed out.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import asdict
from itertools import islice
from typing import Any

import numpy as np

from model.arrays import Int32s2D, Reals, RealState, Unsigneds2D, zero_state
from model.checkpoint import Checkpoint
from model.config import ModelConfig
from model.errors import CheckpointError, OptionError, TrainingError
from model.text import batches, held_out
from model.text.encoding import EncodedCorpus
from model.training import ending, memory, resuming
from model.training.backend import Backend, lent
from model.training.backends.choice import open_backend
from model.training.optimisation import dropout
from model.training.optimisation.initialise import initial_parameters
from model.training.optimisation.objective import clipping_factor, global_norm, hopeless, perplexity
from model.training.optimisation.optimizers import OPTIMIZERS, follow
from model.training.optimisation.schedules import learning_rate
from model.training.options import TrainingOptions, in_todays_words, todays_name
from model.training.position import Position
from model.training.report import advice, validation
from model.training.report import samples as writing
from model.training.report.events import Advice, BatchDone, EpochDone, Event, Finished, Started
from model.training.report.record import training_record

# Streams of random numbers; the seed and the place in the run choose within each.
_INITIAL, _ORDER, _DROPOUT, _RESET = range(4)


class Trainer:
    """One run. `options` name what to do, `corpus` on what; `backend` is chosen by the options unless given."""

    def __init__(self, corpus: EncodedCorpus, options: TrainingOptions, backend: Backend | None = None) -> None:
        self.corpus, self.options = corpus, options
        self.config = ModelConfig(options.cell, options.num_layers, options.hidden_dim, len(corpus.vocabulary))
        self.split = held_out.split(corpus, options.validation_fraction, options.validation)
        self.training_text = held_out.training_text(corpus.indices, self.split)
        self.num_training = self.split.training_chars
        batches.check_length(self.num_training, options.batch_size, options.num_steps, options.sampling)
        self.num_batches = batches.num_batches(
            self.num_training, options.batch_size, options.num_steps, options.sampling
        )
        for prefix in options.prefixes:  # what cannot be written after is told now, not after an hour
            if not len(corpus.vocabulary.encode(corpus.rules.apply(prefix))):
                raise OptionError("prefixes", "one of them is empty; each must hold at least one character")
        memory.check(self.config, options)
        self.backend = backend or open_backend(options.backend, options.device, self.config, options.precision)
        self.backend.load(initial_parameters(self.config, self._rng(_INITIAL), options.initialisation))
        weights = self.backend.weights
        self.optimizer = OPTIMIZERS[options.optimizer](weights, self.backend.num_decayed)
        self.average = weights.copy() if options.averaging else None
        self.best = weights.copy()
        self.state = self._zero_state(options.batch_size)
        self.position = Position()
        self.ended: str | None = None  # why; None while it goes on
        self._stop = False
        self._quotes = False
        self._rises: str | None = None  # what to say where the rate is higher than before the run was taken up

    def request_stop(self) -> None:
        """Ends the run after the batch under way; a signal handler may call it."""
        self._stop = True

    def events(self) -> Iterator[Event]:
        """Trains to the end, which may be that the run diverges: see Finished."""
        options, at = self.options, self.position
        yield Started(
            self.config, self.backend.name, len(self.backend.weights), self.num_training,
            self.split.validation_chars, self.split.margin_chars, self.num_batches, at.epoch,
        )  # fmt: skip
        if self._rises is not None:
            yield Advice(self._rises)
        while self.ended is None:
            if at.batch == 0:
                self.ended = "stopped" if self._stop else ending.reason_to_end(options, at)
                if self.ended is not None:
                    break
            # A run that was taken up may stand behind its very last batch.
            if at.batch == 0 or not ending.ends_within_epoch(options, at):
                yield from self._batches()
            if self._stop:
                self.ended = self.ended or "stopped"
            elif self.ended is None:
                yield from self._end_epoch()
        at.timed |= self.ended == "time"
        if self.ended != "diverged" and at.step and not self._validated():
            loss = self._loss_of(self._kept())
            if self._is_hopeless(loss):
                yield from self._diverge(at.epoch, loss)
        if self.ended == "diverged" and at.best_epoch and self._is_hopeless(self._loss_of(self.best)):
            at.best_epoch = 0
        yield Finished(self.ended, at.epoch, at.seconds, self.kept_epoch)

    def _batches(self) -> Iterator[Event]:
        """The rest of the epoch under way."""
        options, at = self.options, self.position
        N, T = options.batch_size, options.num_steps
        if at.batch == 0:
            at.loss_sum = at.norm_sum = at.epoch_seconds = 0.0
            self.state = self._zero_state(N)
        began, before, before_epoch = time.perf_counter(), at.seconds, at.epoch_seconds
        for data, labels in islice(self._iterator(), at.batch, None):
            loss = self._update(np.asarray(data, np.int32), np.asarray(labels, np.int32))
            passed = time.perf_counter() - began
            at.seconds, at.epoch_seconds = before + passed, before_epoch + passed
            count = at.batch * N * T
            if self._is_hopeless(loss):
                figures = self._figures(at.epoch + 1, at.loss_sum + loss * N * T, at.batch + 1)
                yield from self._diverge(at.epoch + 1, loss, figures)
                return
            yield BatchDone(
                at.epoch + 1,
                at.batch,
                ending.progress(options, at, self.num_batches),
                perplexity(at.loss_sum, count),
                count / at.epoch_seconds,
            )
            if self._stop or ending.ends_within_epoch(options, at):
                return

    def _iterator(self) -> Iterator[tuple[Unsigneds2D, Unsigneds2D]]:
        options, text = self.options, self.training_text
        if options.sampling == "random":
            order = self._rng(_ORDER, self.position.epoch)
            return batches.data_iter_random(text, options.batch_size, options.num_steps, order)
        return batches.data_iter_consecutive(text, options.batch_size, options.num_steps)

    def _update(self, data: Int32s2D, labels: Int32s2D) -> float:
        """One step along the gradient; returns the batch's loss in nats per character. A hopeless one moves nothing."""
        options, at, backend = self.options, self.position, self.backend
        N, T = data.shape
        carried = options.sampling == "consecutive" or options.carry_state
        state = self.state if carried else self._zero_state(N)
        if carried and options.state_reset:
            kept = self._rng(_RESET, at.step).random((N, 1)) >= options.state_reset
            state = tuple(array * kept.astype(array.dtype) for array in state)
        masks = dropout.draw(self._rng(_DROPOUT, at.step), options, N, T)
        loss, self.state = backend.gradients(data, labels, state, masks)
        scale = 1.0 if options.loss_reduction == "sum" else 1.0 / (N * T)
        norm = scale * global_norm(backend.gradient)
        mean = loss / (N * T) if math.isfinite(norm) else math.nan
        if self._is_hopeless(mean):
            return mean
        rate = learning_rate(options, ending.progress(options, at, self.num_batches))
        at.timed |= rate != learning_rate(options, ending.counted_progress(options, at, self.num_batches))
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
        return mean

    def _end_epoch(self) -> Iterator[Event]:
        """Validation, samples and the epoch's line of figures. The position moves once all of them are there."""
        options, at = self.options, self.position
        began = time.perf_counter()
        epoch, last = at.epoch + 1, ending.ends_within_epoch(options, at) or at.epoch + 1 >= options.epochs
        kept = self._kept()
        loss, best = None, not options.validation_fraction
        if options.validation_fraction and (epoch % options.eval_every == 0 or last):
            with lent(self.backend, kept):
                loss = validation.mean_loss(self.backend, self.config, self.corpus.indices, self.split)
            if self._is_hopeless(loss):
                yield from self._diverge(epoch, loss, self._figures(epoch, at.loss_sum, at.batch, loss))
                return
            best = loss < at.best_loss
        memorised = None
        if epoch % options.pred_period == 0 or last:
            with lent(self.backend, kept):
                samples = writing.samples(self.backend, self.config, self.corpus, options, epoch)
            yield from samples
            shares = [s.memorised for s in samples if s.memorised is not None]
            memorised = sum(shares) / len(shares) if shares else None
            at.memorised = memorised
        at.eval_seconds = time.perf_counter() - began
        at.timed |= at.batch < self.num_batches and ending.time_is_up(options, at)
        at.seconds += at.eval_seconds
        done = self._figures(epoch, at.loss_sum, at.batch, loss, memorised, best)
        if loss is not None:
            at.rises = 0 if best else at.rises + 1
            at.stalled = ending.stalled(options, at)
        self._keep_if_best(epoch, loss)
        at.epoch, at.batch, at.train_perplexity = epoch, 0, done.train_perplexity
        at.history.append((epoch, round(at.seconds, 3), done.train_perplexity, done.validation_perplexity))
        yield done
        words = [advice.overfitting(options, at.best_epoch, at.rises)] if loss is not None else []
        if not self._quotes:
            words.append(advice.quoting(memorised))
            self._quotes = words[-1] is not None
        yield from (Advice(text) for text in words if text is not None)

    def _keep_if_best(self, epoch: int, validation_loss: float | None) -> None:
        """Where nothing is held out, the loss in training says to which parameters a run that diverges goes back."""
        at, options, loss, kept = self.position, self.options, validation_loss, self._kept()
        if not options.validation_fraction:
            loss = at.loss_sum / (at.batch * options.batch_size * options.num_steps)
        if loss is not None and loss < at.best_loss and np.isfinite(kept).all():
            at.best_loss, at.best_epoch = loss, epoch
            self.best[:] = kept

    def _diverge(self, epoch: int, loss: float, figures: EpochDone | None = None) -> Iterator[Event]:
        """Ends the run, and says what to lower. `loss` in nats per character."""
        self.ended = "diverged"
        if figures is not None:
            yield figures
        yield Advice(advice.diverged(self.options, epoch, loss, len(self.corpus.vocabulary)))

    def _figures(
        self, epoch: int, loss_sum: float, num_batches: int, validation_loss: float | None = None,
        memorised: float | None = None, best: bool = False,
    ) -> EpochDone:  # fmt: skip
        at, options = self.position, self.options
        count = num_batches * options.batch_size * options.num_steps
        rate = self._rate(options)
        return EpochDone(
            epoch, at.epoch_seconds, count / at.epoch_seconds, perplexity(loss_sum, count),
            None if validation_loss is None else perplexity(validation_loss, 1),
            rate, at.norm_sum / max(at.batch, 1), memorised, best, at.seconds,
        )  # fmt: skip

    def _loss_of(self, weights: Reals) -> float:
        """Nats per character over a batch: the last update of a run is followed by none that would show what it did."""
        if not np.isfinite(weights).all():
            return math.nan
        data, labels = (np.asarray(array, np.int32) for array in next(iter(self._iterator())))
        with lent(self.backend, weights):
            losses, _ = self.backend.losses(data, labels, self._zero_state(len(data)))
        return float(losses.mean(dtype=np.float64))

    def _rate(self, options: TrainingOptions) -> float:
        return learning_rate(options, ending.progress(options, self.position, self.num_batches))

    def _is_hopeless(self, loss: float) -> bool:
        return hopeless(loss, len(self.corpus.vocabulary))

    @property
    def kept_epoch(self) -> int:
        """The epoch whose parameters the checkpoint holds, or that they are in; 0 after divergence: there is none."""
        return self.position.best_epoch if self._validated() or self.ended == "diverged" else self.position.epoch

    def checkpoint(self) -> Checkpoint:
        """The best parameters so far: by validation, or the latest where nothing is held out.

        After divergence, those of the best epoch before it; raises TrainingError where there is none.
        """
        if self.ended == "diverged" and not self.kept_epoch:
            raise TrainingError("the run diverged, and no state before it is worth keeping")
        kept = self.best if self._validated() or self.ended == "diverged" else self._kept()
        return Checkpoint(
            self.config, self.corpus.rules, self.corpus.vocabulary, self.backend.named(kept), training_record(self)
        )

    def snapshot(self) -> tuple[dict[str, Reals], dict[str, Any]]:
        """All that a run of the same options on the same text needs to go on from here."""
        arrays = {"weights": self.backend.weights, "best": self.best}
        arrays.update({f"optimizer.{name}": array for name, array in self.optimizer.arrays.items()})
        arrays.update({f"state.{i}": array for i, array in enumerate(self.state)})
        if self.average is not None:
            arrays["average"] = self.average
        facts = {
            "options": asdict(self.options), **resuming.text_facts(self.corpus), "backend": self.backend.name,
            "position": self.position.to_facts(),
        }  # fmt: skip
        return arrays, facts

    def restore(self, arrays: dict[str, Reals], facts: dict[str, Any], override: bool = False) -> None:
        """Goes back to a snapshot. Raises CheckpointError where it is of another text, backend, shape or other options.

        `override` lets those options differ that may: see `resuming`.
        """
        resuming.check_text(facts, self.corpus)
        try:
            before = in_todays_words(facts["options"])
        except OptionError as error:
            raise CheckpointError(f"the run to resume cannot go on: {error}") from error
        changed = resuming.changes(before, asdict(self.options), override)
        computed_by = todays_name(facts["backend"])
        if computed_by != self.backend.name:
            raise CheckpointError(
                f"the run to resume was computed by {computed_by!r}, this one is by {self.backend.name!r}; "
                "give its --device, --backend and --precision"
            )
        mine, _ = self.snapshot()
        if {k: (a.shape, a.dtype) for k, a in mine.items()} != {k: (a.shape, a.dtype) for k, a in arrays.items()}:
            raise CheckpointError("the run to resume has parameters of other shapes than this one")
        position = Position.from_facts(facts["position"])
        for name, array in mine.items():
            if not name.startswith("state."):
                array[...] = arrays[name]
        self.state = tuple(arrays[f"state.{i}"].copy() for i in range(len(self.state)))
        position.changed = sorted({*position.changed, *changed})
        self.position = position
        rates = (self._rate(TrainingOptions.from_record(before)), self._rate(self.options))
        self._rises = advice.rate_rises(*rates, [name for name in changed if name in resuming.LENGTH])

    def _validated(self) -> bool:
        return bool(self.options.validation_fraction and self.position.best_epoch)

    def _kept(self) -> Reals:
        return self.backend.weights if self.average is None else self.average

    def _zero_state(self, rows: int) -> RealState:
        return zero_state(self.config.state_names, rows, self.config.hidden_dim, self.backend.weights.dtype)

    def _rng(self, *place: int) -> np.random.Generator:
        return np.random.default_rng([self.options.seed, *place])
