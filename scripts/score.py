"""The same as `nextchar score`: `python scripts/score.py checkpoints/lyrics 分开`."""

from nextchar.score import program

if __name__ == "__main__":
    program()
