"""`contracted`: as `compiled`, and a multiplication with the addition after it may become one instruction.

What training on a CPU is compiled with. Decoding takes `compiled`, which rounds after every operation.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

from numba.extending import intrinsic as _intrinsic
from numba.extending import overload as _overload

from model.kernels.compiled import kept

F = TypeVar("F", bound=Callable[..., object])


def contracted(function: F) -> F:
    """Machine code, kept on disk between runs; it lets other threads run.

    Of the fast-math licences only fused multiply-add is taken: NaN and infinity stay what they are, and nothing is
    reordered, so the same input gives the same bytes.
    """
    return kept(function, error_model="numpy", fastmath={"contract"})


def intrinsic(function: Callable[..., object]) -> Any:
    """A function that says in LLVM's vocabulary what compiled code does where it is called."""
    return _intrinsic(function)


def compiled_form_of(function: Callable[..., object]) -> Callable[[F], F]:
    """Decorates what chooses, by the types of its arguments, the compiled form of a plain function."""

    def register(choose: F) -> F:
        return cast(F, _overload(function, strict=False)(choose))

    return register
