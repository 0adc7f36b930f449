"""The same as `nextchar evaluate`: `python scripts/evaluate.py checkpoints/lyrics my.txt`."""

from nextchar.evaluate import program

if __name__ == "__main__":
    program()
