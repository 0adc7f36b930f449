"""The same as `nextchar export`: `python scripts/export.py checkpoints/lyrics --onnx FILE`."""

from nextchar.export import program

if __name__ == "__main__":
    program()
