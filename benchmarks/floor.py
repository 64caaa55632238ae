"""
The floor: the same calls, made by a bare `requests` session and parsed with `orjson`, with the same number of workers.

    python -m benchmarks.floor <workers> < addresses

The first line of the input is the Authorization header, each other one an address. Prints the number of records.
"""

import sys
from concurrent.futures import ThreadPoolExecutor

import orjson
import requests
from requests.adapters import HTTPAdapter


def main() -> None:
    """Makes the calls."""
    authorization, *addresses = sys.stdin.read().splitlines()
    workers = int(sys.argv[1])
    session = requests.Session()
    session.headers["Authorization"] = authorization
    session.mount("http://", HTTPAdapter(pool_maxsize=workers))  # ignore-https-check: the sandbox, on loopback

    def records(address: str) -> int:
        response = session.get(address, timeout=60)
        return len(orjson.loads(response.content)["data"]["items"])

    with ThreadPoolExecutor(workers) as pool:
        print(sum(pool.map(records, addresses)))


if __name__ == "__main__":
    main()
