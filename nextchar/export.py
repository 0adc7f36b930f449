"""Writes a model in another format, or takes one in: `nextchar export checkpoints/lyrics --onnx FILE`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from model import checkpoint as checkpoints
from model import versions
from model.errors import NextcharError
from model.export import mxnet as export
from model.export.onnx import write_onnx
from model.text.rules import TextRules
from nextchar.idle import EXPORT, warn_of_idle
from nextchar.terminal import Program

program = Program(add_completion=False)
console = Console(highlight=False, markup=False, emoji=False, soft_wrap=True)


@program.command()
def main(
    checkpoint: Annotated[Path, typer.Argument(help="A model's folder or file; with --from-mxnet, the one to make.")],
    onnx: Annotated[Path | None, typer.Option(help="Write a self-contained ONNX step model.")] = None,
    to_mxnet: Annotated[Path | None, typer.Option(help="Write the chapter's list of five arrays.")] = None,
    from_mxnet: Annotated[Path | None, typer.Option(help="Take in the chapter's list of five arrays.")] = None,
    vocabulary: Annotated[
        Path | None, typer.Option(help="With --from-mxnet: JSON list of its idx_to_char; else FILE.vocabulary.json.")
    ] = None,
    keep_newlines: Annotated[bool, typer.Option(help="With --from-mxnet: how its text was read.")] = False,
    keep_case: Annotated[bool, typer.Option(help="With --from-mxnet: how its text was read.")] = False,
) -> None:
    """Exports a model, checked against the reference, or imports one of the chapter's."""
    warn_of_idle(EXPORT, main, locals())
    try:
        if from_mxnet is not None:
            characters = export.read_vocabulary(vocabulary or export.vocabulary_file(from_mxnet))
            rules = TextRules(lowercase=not keep_case, newlines="keep" if keep_newlines else "space")
            taken_in, file = export.from_mxnet(from_mxnet, characters, rules), checkpoints.checkpoint_path(checkpoint)
            if file.name == checkpoints.FILE_NAME:
                versions.publish(file.parent, taken_in)
            else:
                checkpoints.save(file, taken_in)
            console.print(f"saved {file}")
            return
        loaded = checkpoints.load(checkpoint)
        if onnx is None and to_mxnet is None:
            raise typer.BadParameter("give --onnx, --to-mxnet or --from-mxnet")
        if onnx is not None:
            difference = write_onnx(loaded, onnx)
            console.print(f"wrote {onnx}; its logits are within {difference:.1e} of a second implementation's")
        if to_mxnet is not None:
            export.to_mxnet(loaded, to_mxnet)
            console.print(f"wrote {to_mxnet} and {export.vocabulary_file(to_mxnet)}")
    except NextcharError as error:
        console.print(str(error))
        raise typer.Exit(1) from None
