"""The page in a browser: a curve is drawn, a button pressed, and something else comes out."""

import gc
import os
import socket
import time
from contextlib import contextmanager

import pytest
from transformers.models.llama.modeling_llama import LlamaMLP

from mmsteer.adapters import load
from mmsteer.direction_file import save_directions
from mmsteer.studio.workshop import Workshop
from tests.conftest import saying

CHROMIUM = "/usr/bin/chromium"

pytest.importorskip("gradio")
playwright = pytest.importorskip("playwright.sync_api")
pytestmark = [
    pytest.mark.skipif(not os.path.exists(CHROMIUM), reason="there is no Chromium"),
    # Gradio and playwright leave sockets and loops to the collector, and use what their own libraries deprecate.
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
PATIENCE = 60_000


@contextmanager
def opened(model, folder):
    """The page in a browser, once it has loaded its model."""
    from mmsteer.studio.launch import start

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    served = start(Workshop(folder, (str(model),)), "127.0.0.1", port)
    try:
        with playwright.sync_playwright() as there:
            browser = there.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
            tab = browser.new_page(viewport={"width": 1300, "height": 1000})
            tab.set_default_timeout(PATIENCE)
            tab.goto(f"http://127.0.0.1:{port}")
            until(tab, "status", "is loaded, with")
            yield tab
            browser.close()
    finally:
        served.close()
        del served
        gc.collect()


@pytest.fixture
def folder(talker_folder, tmp_path):
    save_directions(tmp_path / "words.safetensors", [saying(load(talker_folder), "cup", "word:cup")])
    return tmp_path


def take_the_words(tab):
    tab.get_by_text("Directions", exact=True).click()
    fill(tab, "file", "words.safetensors")
    tab.click("#read")
    until(tab, "status", "there are word:cup")
    until(tab, "direction-0", "word:cup")


def value(tab, name):
    return tab.locator(f"#{name} textarea, #{name} input").first.input_value()


def until(tab, name, text):
    script = "([name, text]) => document.querySelector(`#${name} textarea, #${name} input`)?.value.includes(text)"
    tab.wait_for_function(script, arg=[name, text])


def draw(tab, across, up, place=0):
    curve = tab.locator(f"#curve-{place} svg.curve")
    curve.scroll_into_view_if_needed()
    box = curve.bounding_box()
    left, right, top, bottom = 36, box["width"] - 12, 12, 146
    tab.mouse.move(box["x"] + left + across * (right - left), box["y"] + bottom - up * (bottom - top))
    tab.mouse.down()
    tab.mouse.up()


def stretched(tab, length, place=0):
    """Wait until the axis ends where the output does."""
    texts = "[...document.querySelectorAll(`#curve-${place} text`)]"
    script = f"([place, text]) => {texts}.some(one => one.textContent === text)"
    tab.wait_for_function(script, arg=[place, length])


def fill(tab, name, text):
    field = tab.locator(f"#{name} textarea, #{name} input").first
    field.fill(text)
    field.press("Tab")


def compare(tab):
    tab.click("#compare")
    until(tab, "status", "done")


def shot(tab, name):
    """A picture for those who want to look; nothing is compared with it."""
    folder = os.environ.get("STUDIO_SHOTS")
    if folder:
        for width in (1300, 400):
            tab.set_viewport_size({"width": width, "height": 1000})
            tab.wait_for_timeout(500)
            tab.screenshot(path=f"{folder}/{name}-{width}.png", full_page=True)


def test_a_drawn_curve_changes_what_is_written(talker_folder, folder):
    with opened(talker_folder, folder) as tab:
        take_the_words(tab)
        fill(tab, "prompt", "say the cup")
        fill(tab, "length", "20")
        fill(tab, "strength-0", "40")
        stretched(tab, "20")
        draw(tab, 0.5, 0)
        draw(tab, 0.6, 1)
        until(tab, "schedule-0", "points(10steps:0, 12steps:1)")
        compare(tab)
        words = tab.locator(".studio-pair figure.steered p").inner_text().split()
        assert words[13:] == ["cup"] * 7
        assert words[:10] == tab.locator(".studio-pair figure.unsteered p").inner_text().split()[:10]
        assert "word:cup 40 points(10steps:0, 12steps:1)" in value(tab, "receipt")
        tab.click("#save")
        until(tab, "saved", "tried.yaml")
        shot(tab, "text")
    assert "points(10steps:0, 12steps:1)" in (folder / "tried.yaml").read_text()


def test_a_drawn_curve_changes_what_is_played(tmp_path):
    with opened("bundled:music", tmp_path) as tab:
        assert tab.locator("#direction-0 input").input_value() == "note:C"
        fill(tab, "length", "1")
        stretched(tab, "0.25")
        draw(tab, 0, 1)
        draw(tab, 1, 0.5)
        until(tab, "schedule-0", "points(0s:1, 1s:0.5)")
        compare(tab)
        sounds = tab.eval_on_selector_all(".studio-pair audio", "all => all.map(one => one.src)")
        assert len(sounds) == 2
        assert all(one.startswith("data:audio/wav;base64,") for one in sounds)
        assert sounds[0] != sounds[1]
        lengths = tab.eval_on_selector_all(".studio-pair audio", "all => all.map(one => one.duration)")
        assert lengths == pytest.approx([1.0, 1.0], abs=0.05)
        shot(tab, "music")


@pytest.fixture
def slow_mlps(monkeypatch):
    """Forwards that take long enough for somebody to press a button."""
    forward = LlamaMLP.forward

    def slow(self, x):
        time.sleep(0.01)
        return forward(self, x)

    monkeypatch.setattr(LlamaMLP, "forward", slow)


@pytest.mark.usefixtures("slow_mlps")
def test_long_work_is_stopped_and_wrong_steering_is_said(talker_folder, folder):
    with opened(talker_folder, folder) as tab:
        take_the_words(tab)
        fill(tab, "length", "220")
        tab.click("#compare")
        until(tab, "status", "of both")
        tab.click("#stop")
        until(tab, "status", "stopped")
        fill(tab, "more-0", "on text.99")
        tab.click("#compare")
        until(tab, "status", "text.99")
        for path in ("/gradio_api/file=/etc/passwd", f"/gradio_api/file={folder}/words.safetensors"):
            assert tab.request.get(tab.url.rstrip("/") + path).status in (403, 404)


def test_a_page_is_built_twice(tmp_path):
    from mmsteer.studio.page import SLOTS, Page

    page = Page(Workshop(tmp_path))
    for _ in range(2):
        page.build()
        assert len(page._curves) == SLOTS
    gc.collect()
