"""
The floor: the same requests, sent by a bare `requests` session with as many workers, and parsed with `orjson`.

    python -m benchmarks.floor <workers> < URLs

The first line of the input is the Authorization header, each other line a URL. Prints the number of records.
"""

import sys
from concurrent.futures import ThreadPoolExecutor

import orjson
import requests
from requests.adapters import HTTPAdapter


def main() -> None:
    """Sends the requests."""
    authorization, *urls = sys.stdin.read().splitlines()
    workers = int(sys.argv[1])
    session = requests.Session()
    session.headers["Authorization"] = authorization
    session.mount("http://", HTTPAdapter(pool_maxsize=workers))  # ignore-https-check: the sandbox, on loopback

    def records(url: str) -> int:
        response = session.get(url, timeout=60)
        return len(orjson.loads(response.content)["data"]["items"])

    with ThreadPoolExecutor(workers) as pool:
        print(sum(pool.map(records, urls)))


if __name__ == "__main__":
    main()
