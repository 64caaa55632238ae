"""
The floor: the same requests, sent by a bare `requests` session with as many workers, and parsed with `orjson`.

    python -m benchmarks.floor <workers> < URLs

The first line of the input is the Authorization header, each other line a URL. Prints the number of records.
"""

import csv
import io
import json
import sys
import time
import zipfile
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
        if "/analytics/" in url:
            return rows(response.content) if url.endswith("/download") else 0
        return len(orjson.loads(response.content)["data"]["items"])

    with ThreadPoolExecutor(workers) as pool:
        print(sum(pool.map(records, urls)))


def rows(packed: bytes, as_messages: bool = False) -> int:
    """Reads the CSV in a ZIP with the standard library; prints its rows as the connector does, if that is wanted."""
    count = 0
    with zipfile.ZipFile(io.BytesIO(packed)) as archive, archive.open(archive.namelist()[0]) as file:
        for row in csv.DictReader(io.TextIOWrapper(file, "utf-8-sig", newline="")):
            count += 1
            if as_messages:
                record = {"stream": "report_enrollments", "data": row, "emitted_at": time.time_ns() // 1_000_000}
                sys.stdout.write(json.dumps({"type": "RECORD", "record": record}, separators=(",", ":")) + "\n")
    return count


if __name__ == "__main__":
    main()
