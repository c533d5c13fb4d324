"""The page in a real browser."""

import json
import math
import re
import shutil
import statistics
from collections import Counter

import pytest

from .pages import Page

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
DRIVER = shutil.which("chromedriver")
pytestmark = pytest.mark.skipif(
    not (CHROMIUM and DRIVER), reason="no chromium with its chromedriver is installed (Debian: chromium-driver)"
)
FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--force-prefers-reduced-motion",  # no animated scrolling
    "--window-size=1200,900",
)


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('browser')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(executable_path=DRIVER))
    yield driver
    driver.quit()


@pytest.fixture
def opened(browser, page):
    """Return the browser with the page, in its first state."""
    resize(browser, 1200)
    browser.get(page.as_uri())
    return browser


def resize(browser, width):
    metrics = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 500}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)


def find(browser, selector):
    return browser.find_element("css selector", selector)


def text(browser, selector):
    return find(browser, selector).text


def press(browser, *keys):
    from selenium.webdriver import ActionChains

    ActionChains(browser).send_keys(*keys).perform()


def painted(browser):
    """Return how many points of the map are not of the ground."""
    return browser.execute_script(
        "const m = document.getElementById('map');"
        "const d = m.getContext('2d').getImageData(0, 0, m.width, m.height).data;"
        "let n = 0; for (let i = 3; i < d.length; i += 4) n += d[i] > 0; return n;"
    )


def test_it_loads_without_errors_or_requests(opened, page):
    opened.get("about:blank")
    for log in ("performance", "browser"):
        opened.get_log(log)  # of the browser's own first page
    opened.get(page.as_uri())
    assert [entry for entry in opened.get_log("browser") if entry["level"] in ("SEVERE", "WARNING")] == []
    sent = [json.loads(entry["message"])["message"] for entry in opened.get_log("performance")]
    asked = {one["params"]["request"]["url"] for one in sent if one["method"] == "Network.requestWillBeSent"}
    assert page.as_uri() in asked
    assert asked <= {page.as_uri(), "data:,"}


def test_names_that_are_markup_are_text(opened):
    assert "<img src=x onerror=alert(1)>" in text(opened, "#summary")
    assert not opened.find_elements("css selector", "img")
    options = [option.text for option in opened.find_elements("css selector", "#run option")]
    assert "<img src=x onerror=alert(1)>" in options


def test_everything_is_there(opened):
    assert len(opened.find_elements("css selector", "figure svg")) >= 9
    for picture in opened.find_elements("css selector", "figure svg"):
        assert picture.size["width"] > 200
        assert picture.size["height"] > 150
    assert painted(opened) > 500
    assert len(opened.find_elements("css selector", ".list > li")) == 10
    assert len(opened.find_elements("css selector", ".card")) == 4
    assert "broad taste (diversity group 5 of 5)" in text(opened, "#status")


def test_the_explorer_works_by_keyboard(opened):
    from selenium.webdriver.common.keys import Keys

    opened.execute_script("document.getElementById('run').focus()")
    press(opened, Keys.TAB)
    assert opened.switch_to.active_element.get_attribute("id") == "user"
    wanted = opened.execute_script("return document.querySelectorAll('#ids option')[3].value")
    press(opened, Keys.END, *[Keys.BACKSPACE] * 5, wanted, Keys.ENTER)
    assert text(opened, "#status").startswith(f"User {wanted}:")
    press(opened, Keys.TAB, Keys.TAB)
    assert opened.switch_to.active_element.text == "A narrow user"
    press(opened, Keys.ENTER)
    assert "narrow taste (diversity group 1 of 5)" in text(opened, "#status")
    narrow = text(opened, "#status")
    press(opened, Keys.SPACE)
    assert "narrow taste (diversity group 1 of 5)" in text(opened, "#status")
    assert text(opened, "#status") != narrow
    press(opened, Keys.TAB, Keys.TAB, Keys.TAB, Keys.ENTER)
    before = text(opened, "#status")
    press(opened, Keys.TAB, Keys.ENTER)
    assert text(opened, "#status") != before


def members(data, group):
    """Return the users of a group, those whose number of items is the closest to the median first."""
    sizes = {n: user["size"] for n, user in enumerate(data["users"]) if user["group"] == group}
    middle = statistics.median_high(sizes.values())
    return sorted(sizes, key=lambda n: (abs(sizes[n] - middle), n))


def test_users_are_chosen_by_group_one_after_the_other_and_by_id(opened, page):
    data = Page(page.read_text("utf-8")).data
    ids = [user["id"] for user in data["users"]]
    broad, typical, narrow = (members(data, group) for group in (4, 2, 0))
    assert find(opened, "#user").get_attribute("value") == ids[broad[0]]
    find(opened, "#user").clear()
    find(opened, "#user").send_keys(f" {ids[-1]} ")
    find(opened, "#choose button[type=submit]").click()
    expected = [("next", 0), ("next", 1), ("previous", 0), ("previous", len(ids) - 1)]
    expected += [("narrow", n) for n in (*narrow, narrow[0])] + [("typical", typical[0]), ("broad", broad[1])]
    found = opened.execute_script(
        "return arguments[0].map(([way]) => {"
        "  document.querySelector(`[data-pick=${way}]`).click(); return document.getElementById('user').value; });",
        expected,
    )
    assert found == [ids[n] for _, n in expected]


def told_of(user, told, data):
    """Return the text of each part of what the page shows of a user, with one model's answer."""
    title, entries, several = [title for title, _ in data["items"]], told["list"], len(told["interests"]) > 1

    def share(cause):
        return f"{cause[1] or '<1'}\N{NO-BREAK SPACE}%"

    def entry(rank, item, by, hit, causes):
        because = ", ".join(f"{title[cause[0]]} ({share(cause)})" for cause in causes)
        return (
            f"{rank}{title[item]}{'✓ found in the test' * hit}{f' Interest {by + 1}' * several}"
            f"{f'because of {because}' * bool(causes)}"
        )

    def card(number, active, nearest, causes):
        found = f"{[by for _, by, *_ in entries].count(number)} of {len(entries)} recommendations"
        head = f" Interest {number + 1}{found if active else 'not in use for this user'}"
        items = "".join(f"{title[item]}{'known' * (item in user['history'])}" for item in nearest)
        sources = "".join(f"{title[cause[0]]}{share(cause)}" for cause in causes)
        return f"{head * several}Nearest items{items}{f'Comes from{sources}' * bool(causes)}"

    hits = {item for item, _, hit, _ in entries if hit}
    listed = Counter(category for item, *_ in entries for category in data["items"][item][1])
    known = Counter(dict(map(tuple, user["categories"])))
    categories = [*known, *(category for category in listed if category not in known)]
    shares = [[100 * counts[c] / max(1, counts.total()) for counts in (known, listed)] for c in categories]
    return {
        ".list > li": [entry(rank, *one) for rank, one in enumerate(entries, start=1)],
        ".cards > li": [card(number, *one) for number, one in enumerate(told["interests"])],
        ".bars dt": [data["categories"][category] for category in categories],
        ".bars dd": ["".join(f"{math.floor(one + 0.5)}\N{NO-BREAK SPACE}%" for one in both) for both in shares],
        ".told > div:nth-child(2) > .plain > li": [
            title[item] + " ✓ in the list" * (item in hits) for item in user["targets"]
        ],
        ".told summary": [f"{user['size']} items, the latest first"],
        ".history li": [title[item] for item in reversed(user["history"])],
    }


@pytest.mark.parametrize("run", [0, 2, 3], ids=["popularity", "graph", "history"])
def test_what_is_told_of_a_user_is_what_the_data_says(opened, page, run):
    from selenium.webdriver.support.ui import Select

    data = Page(page.read_text("utf-8")).data
    Select(find(opened, "#run")).select_by_index(run)
    for n in members(data, 0)[:2]:
        find(opened, "[data-pick=narrow]").click()
        expected = told_of(data["users"][n], data["runs"][run]["told"][n], data)
        found = opened.execute_script(
            "return arguments[0].map((part) => [...document.querySelectorAll(part)].map((one) => one.textContent))",
            [*expected],
        )
        assert dict(zip(expected, found, strict=True)) == expected
        hits = "".join(expected[".list > li"]).count("found in the test")
        assert text(opened, "#status").endswith(
            f" {data['users'][n]['size']} known items, {hits} of 10 recommendations found in the test."
        )


def test_a_user_who_is_not_there_gets_a_sentence(opened):
    find(opened, "#user").clear()
    find(opened, "#user").send_keys("nobody")
    find(opened, "#choose button[type=submit]").click()
    assert "No user “nobody” is among the 25 on this page" in text(opened, "#status")
    assert len(opened.find_elements("css selector", ".list > li")) == 10


def test_runs_can_be_changed(opened):
    from selenium.webdriver.support.ui import Select

    Select(find(opened, "#run")).select_by_visible_text("popularity")
    assert len(opened.find_elements("css selector", ".card")) == 1
    assert not opened.find_elements("css selector", ".list .mark")
    Select(find(opened, "#map-run")).select_by_visible_text("popularity")
    assert find(opened, "#map-nothing").is_displayed()
    assert not find(opened, "#map").is_displayed()
    Select(find(opened, "#map-run")).select_by_visible_text("interest-gcn-softmax")
    assert find(opened, "#map").is_displayed()


def test_the_map_says_titles_and_shows_parts(opened):
    from selenium.webdriver.common.keys import Keys

    opened.execute_script("document.getElementById('map').focus()")
    press(opened, Keys.ARROW_RIGHT)
    first = text(opened, "#map-title")
    said = opened.execute_script("return document.getElementById('map-said').textContent")
    assert first
    assert said.startswith(first.splitlines()[0])
    reached = {first}
    for key in (Keys.ARROW_RIGHT, Keys.ARROW_DOWN, Keys.ARROW_LEFT, Keys.ARROW_UP) * 3:
        press(opened, key)
        reached.add(text(opened, "#map-title"))
    assert len(reached) > 3
    find(opened, "#by-category").click()
    assert find(opened, "#by-category").get_attribute("aria-pressed") == "true"
    assert find(opened, "#by-interest").get_attribute("aria-pressed") == "false"
    entry = find(opened, "#legend button")
    entry.click()
    assert entry.get_attribute("aria-pressed") == "true"
    entry.click()
    assert entry.get_attribute("aria-pressed") == "false"


def test_the_map_is_walked_and_pointed_at_where_its_data_says(opened, page):
    from selenium.webdriver.common.keys import Keys

    data = Page(page.read_text("utf-8")).data
    shown = data["runs"][2]["map"]
    place = list(zip(shown["x"], shown["y"], strict=True))
    ways = {Keys.ARROW_RIGHT: (1, 0), Keys.ARROW_LEFT: (-1, 0), Keys.ARROW_UP: (0, 1), Keys.ARROW_DOWN: (0, -1)}

    def told(n):
        item, by = shown["items"][n], shown["interest"][n]
        title, categories = data["items"][item]
        more = [data["categories"][c] for c in categories] + [f"interest {by + 1}"] * (by >= 0)
        return f"{title}. {', '.join(more)}"

    def following(n, way):
        """Return the next item within 45 degrees of a way, for which a step aside counts twice."""
        distance = {}
        for other, (x, y) in enumerate(place):
            dx, dy = x - place[n][0], y - place[n][1]
            along, across = dx * way[0] + dy * way[1], abs(dx * way[1]) + abs(dy * way[0])
            if along > 0 and across <= along:
                distance[other] = along + 2 * across
        return min(distance, key=distance.get, default=n)

    opened.execute_script("document.getElementById('map').focus()")
    press(opened, Keys.ARROW_LEFT)
    at = 0
    for key in [*ways] * 3:
        press(opened, key)
        at = following(at, ways[key])
        assert opened.execute_script("return document.getElementById('map-said').textContent") == told(at)
    # An entry of the legend leaves its items alone: the first of them is the first that is reached.
    for n, button in enumerate(opened.find_elements("css selector", "#legend button")[:2]):
        button.click()
        opened.execute_script("document.getElementById('map').focus()")
        press(opened, Keys.ARROW_LEFT)
        assert opened.execute_script("return document.getElementById('map-said').textContent") == told(
            shown["interest"].index(n)
        )
        button.click()
    found = opened.execute_script(
        "const m = document.getElementById('map'), at = m.getBoundingClientRect(), found = [];"
        "const w = m.clientWidth, h = m.clientHeight, [xs, ys] = arguments, X = Math.max(...xs), Y = Math.max(...ys);"
        "const scale = Math.min((w - 28) / X, (h - 28) / Y);"
        "xs.forEach((x, n) => {"
        "  const clientX = at.left + (w - X * scale) / 2 + x * scale;"
        "  const clientY = at.top + (h + Y * scale) / 2 - ys[n] * scale;"
        "  m.dispatchEvent(new PointerEvent('pointermove', {clientX, clientY, pointerType: 'mouse'}));"
        "  found.push(document.querySelector('#map-title').firstChild.textContent);"
        "}); return found;",
        shown["x"],
        shown["y"],
    )
    assert found == [data["items"][shown["items"][place.index(one)]][0] for one in place]


def open_with(browser, page, data, path):
    """Open a page that is another but for its data."""
    text = json.dumps(data).replace("<", "\\u003c")
    changed = re.sub(r'(?<=id="data">)(.*?)(?=</script>)', lambda _: text, page.read_text("utf-8"), count=1)
    path.write_text(changed, "utf-8")
    browser.get(path.as_uri())


def test_what_a_user_knew_long_ago_is_known(browser, page, tmp_path):
    data = Page(page.read_text("utf-8")).data
    for user in data["users"]:
        user |= {"history": [], "size": 1}
    for told in data["runs"][2]["told"]:
        told["known"] = told["interests"][0][1][:1]
    open_with(browser, page, data, tmp_path / "known.html")
    browser.execute_script(
        "const e = document.getElementById('run'); e.value = '2'; e.dispatchEvent(new Event('change'))"
    )
    assert " 1 known item, " in text(browser, "#status")
    told = browser.execute_script(
        "return [...document.querySelectorAll('.card .plain li')].map((li) => li.textContent)"
    )
    assert told[0].endswith("known")
    assert not told[1].endswith("known")
    assert "No items before the test." in text(browser, "#told")


def test_without_categories_and_interests_colors_show_nothing(browser, page, tmp_path):
    data = Page(page.read_text("utf-8")).data
    runs = [run for run in data["runs"] if run["interests"] == 1 and run["map"]]
    data |= {"runs": runs, "categories": [], "coloured": [], "shown": [-1] * len(data["items"])}
    data["items"] = [[title, []] for title, _ in data["items"]]
    open_with(browser, page, data, tmp_path / "bare.html")
    assert painted(browser) > 500
    for way in ("#by-category", "#by-interest"):
        assert not find(browser, way).is_enabled()
        assert find(browser, way).get_attribute("aria-pressed") == "false"
    assert "color" not in text(browser, "#map-note")
    assert not browser.find_elements("css selector", "#legend button")


def luminance(color):
    parts = [float(part) / 255 for part in color[color.index("(") + 1 : -1].split(",")[:3]]
    red, green, blue = (p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one, other):
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("preferred", ["light", "dark"])
def test_both_color_schemes_are_readable(opened, preferred):
    features = [{"name": "prefers-color-scheme", "value": preferred}]
    opened.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})

    def look():
        return opened.execute_script(
            "const of = (e, p) => getComputedStyle(document.querySelector(e))[p];"
            "const probe = document.createElement('i'); document.body.append(probe);"
            "const variable = (v) => { probe.style.color = `var(${v})`; return getComputedStyle(probe).color; };"
            "const found = {ground: of('body', 'backgroundColor'), text: of('body', 'color'),"
            "axis: of('figure svg text', 'fill'), quiet: variable('--quiet'), accent: variable('--accent'),"
            "good: variable('--good'),"
            "raised: variable('--raised'), series: [0, 1, 2, 3, 4, 5].map((n) => variable(`--series-${n}`))};"
            "probe.remove(); return found;"
        )

    for chosen in (preferred, {"light": "dark", "dark": "light"}[preferred]):
        colors = look()
        assert (luminance(colors["ground"]) > 0.5) == (chosen == "light")
        for ground in (colors["ground"], colors["raised"]):
            assert min(contrast(colors[name], ground) for name in ("text", "axis", "quiet", "accent", "good")) >= 4.5
            assert min(contrast(color, ground) for color in colors["series"]) >= 3
        find(opened, "#theme").click()
    opened.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


@pytest.mark.parametrize("width", [360, 768, 1200])
def test_no_width_scrolls_sideways(opened, width):
    resize(opened, width)
    opened.execute_script("document.querySelectorAll('details').forEach((one) => one.open = true)")
    assert opened.execute_script("return document.documentElement.scrollWidth") <= width
    outside = opened.execute_script(
        "return [...document.querySelectorAll('main *')].filter((e) => !e.closest('.scroll, pre, svg, .hidden') &&"
        " e.getBoundingClientRect().right > innerWidth + 1).map((e) => e.tagName + '.' + e.className)"
    )
    assert outside == []


def test_nothing_moves_while_it_loads(opened):
    moved = opened.execute_async_script(
        "const done = arguments[0]; let sum = 0;"
        "new PerformanceObserver((list) => list.getEntries().forEach((e) => sum += e.hadRecentInput ? 0 : e.value))"
        ".observe({type: 'layout-shift', buffered: true}); setTimeout(() => done(sum), 200);"
    )
    assert moved < 0.05
