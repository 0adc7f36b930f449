"""The same as `nextchar runs`: `python scripts/runs.py checkpoints`."""

from nextchar.runs import program

if __name__ == "__main__":
    program()
