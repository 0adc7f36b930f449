"""The same as `nextchar train`: `python scripts/train.py --corpus my.txt --out checkpoints/mine`."""

from nextchar.train import program

if __name__ == "__main__":
    program()
