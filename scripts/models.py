"""The same as `nextchar models`: `python scripts/models.py restore checkpoints/mine`."""

from nextchar.models import program

if __name__ == "__main__":
    program()
