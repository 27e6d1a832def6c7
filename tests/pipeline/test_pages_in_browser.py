"""The pages in a real browser: nothing sticks out of a telephone, in light and in dark, and the links lead somewhere."""

import pytest
from support.browser import needs_browser, running_chromium

from metst_core import pipeline
from metst_core.pipeline import Done, Refused, Task

pytestmark = needs_browser

SCHEMES = ("light", "dark")
STICKS_OUT = """[...document.querySelectorAll("body *")].filter(
    e => e.getBoundingClientRect().right > innerWidth + 1 && !e.closest(".wide")).map(e => e.outerHTML.slice(0, 80))"""


@pytest.fixture(scope="module")
def pages(result, tmp_path_factory):
    folder = tmp_path_factory.mktemp("pages")
    name = "a very long name that goes on and on " * 4 + "#1 & 100%?"
    page = result.to_html(folder / f"{name}.html")
    task = Task(result.path, "anna", name, outputs={"html": page})
    gone = Refused(result.path.with_name("gone.mp4"), "ben", "gone", f"gone.mp4: {'no such file ' * 9}")
    every = [Done(task, result, written=(page,)), Done(Task(gone.path, "ben", "gone"), gone)]
    return page, pipeline.write_index(every, result.model, folder / "index.html", "today")


def test_they_fit_a_telephone_and_follow_the_colours_of_the_system(pages):
    _, index = pages
    with running_chromium() as browser:
        for width in (390, 1400):
            paper = {}
            for scheme in SCHEMES:
                with browser.new_context(
                    viewport={"width": width, "height": 800}, color_scheme=scheme
                ) as context:
                    shown, errors = context.new_page(), []
                    shown.on("pageerror", lambda error, errors=errors: errors.append(str(error)))
                    for path in pages:
                        shown.goto(path.as_uri())
                        assert shown.evaluate("document.documentElement.scrollWidth") <= width
                        assert shown.evaluate(STICKS_OUT) == []
                        # Letters against paper: a contrast of 7 at least (WCAG, AAA).
                        assert shown.evaluate(CONTRAST) > 7, (path.name, scheme)
                        paper[scheme] = shown.evaluate("getComputedStyle(document.body).backgroundColor")
                    shown.goto(index.as_uri())
                    shown.click("text=page")
                    shown.wait_for_selector("#timeline")
                    assert errors == []
            assert paper["light"] != paper["dark"]


CONTRAST = """(() => {
    const light = c => c.match(/[\\d.]+/g).slice(0, 3).map(v => v / 255).map(v => v <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4)
        .reduce((sum, v, i) => sum + v * [.2126, .7152, .0722][i], 0);
    const style = getComputedStyle(document.body), pair = [light(style.color), light(style.backgroundColor)].sort((a, b) => b - a);
    return (pair[0] + .05) / (pair[1] + .05);
})()"""
