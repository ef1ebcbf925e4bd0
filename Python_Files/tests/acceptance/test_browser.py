"""NocoDB as a person sees it: sign in, look at the grid and the gallery, find a person and a face."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import NamedTuple

import pytest
from selenium import webdriver
from selenium.common.exceptions import StaleElementReferenceException
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import WebDriverWait

from chromium import browser
from conftest import Instance, until
from pipeline import settings as all_settings
from pipeline.nocodb.client import Client
from pipeline.nocodb.tables import find_base, find_table
from pipeline.settings import Settings

SECONDS = 90
"""How long a page may take on a busy machine."""

# A face that is drawn on the screen: loaded, from NocoDB's own storage, and wide enough to be a portrait.
_FACES = """
    return [...arguments[0].querySelectorAll('img')]
        .filter(image => image.complete && image.naturalWidth >= 32 && new URL(image.src).host === location.host)
        .map(image => image.naturalWidth)
"""


# The grid is painted when its canvas has more than a few colours.
_PAINTED = """
    const canvas = document.querySelector('canvas')
    if (!canvas.width || !canvas.height) {
        return false  // not laid out yet
    }
    const pixels = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data
    const colours = new Set()
    for (let at = 0; at < pixels.length; at += 28) {
        colours.add(pixels[at] << 16 | pixels[at + 1] << 8 | pixels[at + 2])
    }
    return colours.size > 400
"""

# Nothing on the screen fades in, slides or loads any more; what lies below its edge loads when it is scrolled to.
_STILL = """
    const onScreen = one => {
        const box = one.getBoundingClientRect()
        return box.width && box.height && box.top < innerHeight && box.left < innerWidth && box.bottom > 0
    }
    return document.getAnimations().every(one => one.playState !== 'running' || one.effect.getTiming().iterations > 1)
        && ![...document.querySelectorAll('.ant-skeleton, .ant-spin-spinning')].some(onScreen)
        && [...document.images].filter(onScreen).every(image => image.complete)
"""

_STALE = (StaleElementReferenceException,)


class Seen(NamedTuple):
    """What was seen of a person: the texts, the widths of loaded faces, and the screenshots."""

    record: str
    faces_of_record: list[int]
    card: str
    faces_of_card: list[int]
    screenshots: list[Path]


def _seen(driver: webdriver.Chrome, selector: str, text: str = "") -> WebElement:
    """The first visible element of the selector that holds the text; waits for it."""

    def found(_: object) -> WebElement | bool:
        for element in driver.find_elements(By.CSS_SELECTOR, selector):
            if element.is_displayed() and text in element.text:
                return element
        return False

    element = WebDriverWait(driver, SECONDS, ignored_exceptions=_STALE).until(
        found, f"no visible {selector} with {text!r} at {driver.current_url}"
    )
    assert isinstance(element, WebElement)
    return element


def _faces(driver: webdriver.Chrome, element: WebElement) -> list[int]:
    """The widths of the loaded faces in an element; waits for the first."""
    widths: list[int] = WebDriverWait(driver, SECONDS).until(
        lambda _: driver.execute_script(_FACES, element), f"no face is loaded at {driver.current_url}"
    )
    return widths


def _sign_in(driver: webdriver.Chrome, settings: Settings) -> None:
    driver.get(f"{settings.nocodb_url}/dashboard/#/signin")
    _seen(driver, "[data-testid=nc-form-signin__email]").send_keys(settings.nocodb_admin_email)
    _seen(driver, "[data-testid=nc-form-signin__password]").send_keys(settings.nocodb_admin_password)
    _seen(driver, "[data-testid=nc-form-signin__submit]").click()
    WebDriverWait(driver, SECONDS).until(lambda _: "/signin" not in driver.current_url, "nobody was signed in")


def addresses(settings: Settings, name: str) -> dict[str, str]:
    """The addresses of the views by title, and of the person's own record as ``record``."""
    client = Client(settings)
    try:
        base = find_base(client)
        assert base
        table = find_table(client, base)
        assert table
        workspace = client.call("GET", "/api/v2/meta/nocodb/info")["ncDefaultWorkspaceId"]
        # With all its columns the answer has the Id too, whatever people have shown or hidden.
        where = {"where": f"(Name,eq,{name})", "limit": 1}
        [row] = client.call("GET", f"/api/v2/tables/{table['id']}/records", params=where)["list"]
        root = f"{settings.nocodb_url}/dashboard/#/{workspace}/{base['id']}/{table['id']}"
        views = client.every(f"/api/v2/meta/tables/{table['id']}/views")
        found = {view["title"]: f"{root}/{view['id']}" for view in views}
        return {**found, "grid": root, "record": f"{root}?rowId={row['Id']}"}
    finally:
        client.close()


def open_views(settings: Settings, person_name: str, directory: Path) -> Seen:
    """Look at the people as a person does, with a screenshot of every view in ``directory``."""
    directory.mkdir(parents=True, exist_ok=True)
    views = addresses(settings, person_name)
    shots: list[Path] = []

    def shoot(driver: webdriver.Chrome, name: str) -> None:
        WebDriverWait(driver, SECONDS).until(lambda _: driver.execute_script(_STILL), "the page does not come to rest")
        shots.append(directory / f"{name}.png")
        driver.save_screenshot(str(shots[-1]))

    with browser() as driver:
        _sign_in(driver, settings)

        driver.get(views["grid"])
        # The grid is drawn on a canvas: its people are pixels, and what it says of one is read in the record below.
        _seen(driver, "canvas")
        WebDriverWait(driver, SECONDS).until(lambda _: driver.execute_script(_PAINTED), "the grid stays empty")
        shoot(driver, "grid")

        driver.get(views["record"])
        form = _seen(driver, ".nc-drawer-expanded-form", person_name)
        record, faces_of_record = form.text, _faces(driver, form)
        shoot(driver, "record")

        driver.get(views["Faces"])
        one = _seen(driver, ".nc-gallery-container .ant-card", person_name)
        card, faces_of_card = one.text, _faces(driver, one)
        shoot(driver, "gallery")

        for title, name, shown in (
            ("Calendar", "calendar", "[data-testid=nc-calendar-view-mode]"),
            ("By gender", "board", ".nc-kanban-item"),
        ):
            driver.get(views[title])
            _seen(driver, shown)
            shoot(driver, name)
    return Seen(record, faces_of_record, card, faces_of_card, shots)


@pytest.mark.acceptance
def test_a_person_signs_in_and_finds_somebody_and_a_face_in_every_view(stack: Instance, tmp_path: Path) -> None:
    settings = stack.settings
    ((begin,),) = stack.rows("SELECT clock_timestamp()")
    stack.feed("--results", "5")
    # The newest people: the views show them first, and what is further down loads only when somebody scrolls there.
    newest = until(
        lambda: (
            they
            if len(
                they := stack.rows(
                    "SELECT first_name || ' ' || last_name FROM pipeline.users u "
                    "JOIN pipeline.nocodb_users USING (uuid) "
                    "WHERE u.fetched_at > %s AND u.fetch_id LIKE '%%hand%%' ORDER BY u.uuid",
                    (begin,),
                )
            )
            >= 5
            else None
        ),
        "five people more are in both stores",
    )
    name = newest[0][0]
    seen = open_views(settings, name, tmp_path)
    assert name in seen.record
    assert name in seen.card
    assert seen.faces_of_record
    assert seen.faces_of_card
    assert [shot.stem for shot in seen.screenshots] == ["grid", "record", "gallery", "calendar", "board"]
    assert all(shot.stat().st_size > 20_000 for shot in seen.screenshots)


if __name__ == "__main__":
    print(open_views(all_settings.load(), sys.argv[1], Path(sys.argv[2])))
