"""The same as `nextchar generate`: `python scripts/generate.py checkpoints/lyrics 分开`."""

from nextchar.generate import program

if __name__ == "__main__":
    program()
