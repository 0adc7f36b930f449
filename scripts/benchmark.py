"""The same as `nextchar benchmark`: `python scripts/benchmark.py decode`."""

from nextchar.benchmark import program

if __name__ == "__main__":
    program()
