"""Exits 0 when the service in this container answers /readyz with 200, else 1 with what it answered."""

from __future__ import annotations

import os
import sys
import urllib.error
import urllib.request

HERE = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # never through a proxy of the environment


def main() -> int:
    url = f"http://127.0.0.1:{os.environ.get('NEXTCHAR_PORT', '8000')}/readyz"
    try:
        with HERE.open(url, timeout=4):
            return 0
    except urllib.error.HTTPError as error:
        print(error.code, error.read(2000).decode(errors="replace"))
    except OSError as error:
        print(error)
    return 1


if __name__ == "__main__":
    sys.exit(main())
