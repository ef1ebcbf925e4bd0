"""The feed under torture: fetch after fetch, each asked for again until it is there, and whom that asked for."""

from __future__ import annotations

import random
import threading
import time

from conftest import DATA, Instance
from pipeline.stand_in import api

SAMPLE = DATA / "randomuser_200.json"


def people_of(seed: str, page: int, results: int) -> list[str]:
    """The uuids that the stand-in of the API answers with, asked in this process and by nobody else."""
    query = api.read({"seed": seed, "page": str(page), "results": str(results)})
    return [one["login"]["uuid"] for one in api.answer(query)["results"]]


class Feeder:
    """Feeds ``rate`` people a second, on average, in fetches of any size; now and then the file of real people again.

    A fetch that fails is asked for again with the same seed and page, so it brings the same people: what was published
    although the feed did not hear of it makes repeats, nothing else.
    """

    def __init__(self, instance: Instance, seed: int, rate: float, environment: dict[str, str]) -> None:
        self._instance = Instance(instance.directory, {**instance.environment, **environment})
        self._chance = random.Random(f"feed {seed}")
        self._seed = f"torture-{seed}-seed"
        if len(self._seed) == 18:  # the API would take its end for a nationality
            self._seed += "s"
        self._rate = rate
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._feed, name="feeder", daemon=True)
        self.done: list[tuple[int, int]] = []  # page and number of people of each fetch that is there
        self.failed = 0
        self.files = 0

    def start(self) -> None:
        self._thread.start()

    def stop(self, seconds: float) -> bool:
        """No new fetch; the one at hand is asked for until it is there. Whether that was so in time."""
        self._stop.set()
        self._thread.join(seconds)
        return not self._thread.is_alive()

    def _feed(self) -> None:
        page = 0
        begin = time.monotonic()
        fed = 0
        while not self._stop.is_set():
            if page % 20 == 2:
                self._until_done("--file", str(SAMPLE))
                self.files += 1
            page += 1
            people = self._chance.randrange(50, 800)
            arguments = ("--offline", "--seed", self._seed, "--page", str(page), "--results", str(people))
            self._until_done(*arguments)
            self.done.append((page, people))
            fed += people
            self._stop.wait(max(0.0, begin + fed / self._rate - time.monotonic()))

    def _until_done(self, *arguments: str) -> None:
        while self._instance.feed(*arguments, ok=False).returncode != 0:
            self.failed += 1
            time.sleep(1)

    def asked(self) -> set[str]:
        """Everybody whose fetch was done, by the API's own rules and not by what the pipeline says of itself."""
        everybody: set[str] = set()
        for page, people in self.done:
            everybody.update(people_of(self._seed, page, people))
        return everybody
