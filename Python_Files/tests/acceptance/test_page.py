"""The page at / as a person sees it, against the running pipeline: in Chromium, and never loaded anew."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from bad_input import somebody
from chromium import browser
from conftest import Instance, until
from pipeline import broker, topics
from pipeline.operations import parts
from pipeline.operations.supervision import Supervisor
from pipeline.records import Outgoing

pytestmark = pytest.mark.acceptance

HOSTILE = "<img src=x onerror=\"document.title='taken'\"> & </script>"


class Open:
    """The page, opened once: what it says, and whether it was ever loaded anew."""

    def __init__(self, driver: webdriver.Chrome, stack: Instance) -> None:
        self.driver, self.stack = driver, stack
        driver.get(f"http://127.0.0.1:{stack.settings.api_port}/")
        driver.execute_script("window.opened = 1")
        self.wait(lambda: self.text("#connection") == "Live", "the page says that it is live")

    def text(self, selector: str) -> str:
        # In one step: the page may draw it anew between two.
        one = "one.innerText ?? one.textContent"
        script = f"return [...document.querySelectorAll(arguments[0])].map(one => {one}).join('\\n')"
        return str(self.driver.execute_script(script, selector))

    def there(self, selector: str) -> bool:
        return bool(self.driver.find_elements(By.CSS_SELECTOR, selector))

    def wait(self, condition: Callable[[], object], what: str) -> None:
        until(condition, what)

    @property
    def same(self) -> bool:
        return bool(self.driver.execute_script("return window.opened === 1"))

    def complaints(self) -> list[str]:
        """What the browser holds against the page: errors of its scripts, what its policy forbids."""
        return [
            str(one["message"])
            for one in self.driver.get_log("browser")  # type: ignore[no-untyped-call]
            # A portrait that NocoDB does not have yet, a token that was wrong, and the API while it is stopped.
            if not any(word in one["message"] for word in ("/portraits/", "(Unauthorized)", "net::ERR_"))
        ]


@pytest.fixture
def page(stack: Instance) -> Iterator[Open]:
    with browser() as driver:
        opened = Open(driver, stack)
        yield opened
        assert opened.same, "the page was loaded anew"
        assert opened.complaints() == []


def test_a_person_appears_without_a_reload_and_is_counted(page: Open) -> None:
    page.wait(lambda: "fetched" in page.text("#ledger"), "the ledger is shown")
    page.stack.feed("--results", "3")
    ((uuid, name),) = until(
        lambda: page.stack.rows(
            "SELECT uuid::text, first_name || ' ' || last_name FROM pipeline.users "
            "WHERE fetch_id LIKE '%%hand%%' ORDER BY fetched_at DESC, uuid DESC LIMIT 1"
        ),
        "the person is in PostgreSQL",
    )
    page.wait(lambda: page.there(f"#people [data-uuid='{uuid}']"), "the person appears")
    assert name in page.text(f"#people [data-uuid='{uuid}']")
    page.wait(lambda: page.there(f"#people [data-uuid='{uuid}'] img"), "the person has a face, from NocoDB's storage")
    ((stored,),) = page.stack.rows("SELECT count(*) FROM pipeline.users")
    page.wait(
        lambda: int(page.text("#ledger .sum:first-child .term:nth-child(4) b").replace(",", "")) >= stored,
        "the ledger counts the person",
    )
    page.wait(lambda: "Everybody is accounted for" in page.text("#ledger"), "everybody is accounted for")


def test_every_part_of_the_chain_is_shown_with_its_state(page: Open) -> None:
    def rows() -> dict[str, str]:
        script = (
            "return Object.fromEntries([...document.querySelectorAll('#chain tr[data-stage]')]"
            ".map(row => [row.dataset.stage, row.cells[1].textContent]))"
        )
        found: dict[str, str] = page.driver.execute_script(script)
        return found

    page.wait(lambda: rows() == dict.fromkeys(topics.STAGES, "working"), "every stage works")
    drawn = page.text("#chain svg")
    for name in ("0-Get_Data", "1-Add_Timestamp", "2-Add_Label", "users.rejected", "PostgreSQL", "NocoDB"):
        assert name in drawn
    page.wait(lambda: len(page.driver.find_elements(By.CSS_SELECTOR, ".chart canvas")) == 2, "both charts are drawn")
    for name in ("Last backup", "Last proof", "RPO", "RTO"):
        assert name in page.text("#backup")
    assert page.driver.find_element(By.ID, "nocodb").get_attribute("href") == (
        f"http://localhost:{page.stack.settings.nocodb_port}/dashboard"
    )


def refuse(stack: Instance, uuid: UUID) -> int:
    """A person who is well, in users.rejected, as a stage that was stricter once would have left them; the row's id."""
    told = {
        topics.FETCH_ID: f"refused-{uuid}",
        topics.SOURCE: "tests",
        topics.STAGE: topics.ADD_TIMESTAMP,
        topics.REASON: "wrong_shape",
        topics.MESSAGE: HOSTILE,
        topics.ORIGIN_TOPIC: topics.FETCHED,
        topics.ORIGIN_PARTITION: "0",
        topics.ORIGIN_OFFSET: "0",
        topics.ORIGIN_TIMESTAMP: str(int(time.time() * 1000)),
    }
    headers = tuple((name, value.encode()) for name, value in told.items())
    value = json.dumps(somebody(uuid)).encode()
    with broker.publisher(stack.settings_of_tests, "tests") as publisher:
        publisher.publish([Outgoing(topics.REJECTED, str(uuid).encode(), value, 0, headers)])
    rows = until(
        lambda: stack.rows("SELECT id FROM pipeline.rejected WHERE uuid = %s", (uuid,)), "the record is set aside"
    )
    return int(rows[0][0])


def test_a_rejected_record_is_replayed_by_the_button_and_its_text_is_text(page: Open) -> None:
    uuid = uuid4()
    row = refuse(page.stack, uuid)
    try:
        page.wait(lambda: page.there(f"#rejected [data-id='{row}']"), "the record appears among the rejected")
        assert HOSTILE in page.text(f"#rejected [data-id='{row}']")
        press = f"#rejected [data-id='{row}'] button"

        page.driver.find_element(By.CSS_SELECTOR, press).click()
        field = page.driver.find_element(By.ID, "token-value")
        field.send_keys("not-the-token-at-all", Keys.ENTER)
        page.wait(
            lambda: "token was not accepted" in page.text(f"#rejected [data-id='{row}']"), "a wrong token is told"
        )
        assert page.stack.rows("SELECT tries FROM pipeline.rejected WHERE id = %s", (row,)) == [(0,)]

        page.driver.find_element(By.CSS_SELECTOR, press).click()
        page.driver.find_element(By.ID, "token-value").send_keys(page.stack.settings.api_token, Keys.ENTER)
        page.wait(lambda: not page.there(f"#rejected [data-id='{row}']"), "the record leaves the list")
        assert page.stack.rows("SELECT state, tries FROM pipeline.rejected WHERE id = %s", (row,)) == [("replayed", 1)]
        assert str(uuid) in page.stack.in_postgresql()
        assert page.driver.title == "Randomuser Data Pipeline"
        # Neither in a cookie nor in what outlives the tab.
        kept = "return [document.cookie, JSON.stringify(localStorage), sessionStorage.length]"
        assert page.driver.execute_script(kept) == ["", "{}", 1]
    finally:
        users = page.stack.users()
        try:
            users.delete([uuid])
        finally:
            users.close()
        page.stack.rows("DELETE FROM pipeline.rejected WHERE id = %s", (row,))
        for table in ("fetched_users", "users", "nocodb_users", "repeats", "removed"):
            page.stack.rows(f"DELETE FROM pipeline.{table} WHERE uuid = %s", (uuid,))  # noqa: S608


def state_of(stack: Instance) -> str:
    return next(one.state for one in Supervisor(stack.settings).processes() if one.name == parts.API)


def test_a_lost_connection_is_told_and_the_page_goes_on_by_itself(page: Open) -> None:
    supervisor = Supervisor(page.stack.settings)
    page.wait(lambda: "fetched" in page.text("#ledger"), "the ledger is shown")
    supervisor.stop(parts.API, parts.API)
    try:
        page.wait(lambda: page.text("#connection") == "Connection lost", "the page says that the connection is lost")
        assert "The connection was lost at" in page.text("#notices")
        assert "fetched" in page.text("#ledger"), "what was known stays"
        until(lambda: state_of(page.stack) == "STOPPED", "the API has ended")
    finally:
        supervisor.start(parts.API, parts.API)
    page.wait(lambda: page.text("#connection") == "Live", "the page is live again")
    assert "Connected again" in page.text("#notices")
    page.stack.feed("--results", "1")
    ((uuid,),) = page.stack.rows("SELECT uuid::text FROM pipeline.users ORDER BY fetched_at DESC, uuid DESC LIMIT 1")
    page.wait(lambda: page.there(f"#people [data-uuid='{uuid}']"), "new people appear again")


def test_the_page_is_usable_by_keyboard(page: Open) -> None:
    body = page.driver.find_element(By.TAG_NAME, "body")
    body.send_keys(Keys.TAB)
    focused = page.driver.switch_to.active_element
    assert focused.text == "Skip to the figures"
    page.wait(lambda: page.there(".chart canvas"), "the charts are drawn")
    day = page.driver.find_element(By.CSS_SELECTOR, "[data-span=day]")
    for _ in range(20):
        page.driver.switch_to.active_element.send_keys(Keys.TAB)
        if page.driver.switch_to.active_element == day:
            break
    page.driver.switch_to.active_element.send_keys(Keys.ENTER)
    assert day.get_attribute("aria-pressed") == "true"


@pytest.mark.parametrize(("scheme", "width"), [("light", 1280), ("dark", 1280), ("light", 390), ("dark", 390)])
def test_the_page_fits_in_light_and_dark_on_a_desk_and_on_a_phone(
    stack: Instance, tmp_path: Path, scheme: str, width: int
) -> None:
    with browser(width, 1400) as driver:
        driver.execute_cdp_cmd(
            "Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
        )
        metrics = {"width": width, "height": 1400, "deviceScaleFactor": 1, "mobile": width < 500}
        driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        page = Open(driver, stack)
        page.wait(lambda: page.there(".chart canvas") and page.there("#people li"), "all of it is drawn")
        wide, shown = driver.execute_script("return [document.documentElement.scrollWidth, innerWidth]")
        ground = driver.execute_script("return getComputedStyle(document.documentElement).backgroundColor")
        driver.save_screenshot(str(tmp_path / "page.png"))
        assert wide <= shown == width
        light = sum(int(one) for one in ground.removeprefix("rgb(").rstrip(")").split(",")) > 3 * 128
        assert light == (scheme == "light")
        assert (tmp_path / "page.png").stat().st_size > 20_000
        assert page.complaints() == []
