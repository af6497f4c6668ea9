"""The browser that the page's tests rely on starts and draws."""

from playwright.sync_api import Browser


def test_browser_runs_a_page(browser: Browser) -> None:
    page = browser.new_page()
    page.set_content("<p id=sum></p><script>sum.textContent = 6 * 7</script>")
    assert page.locator("#sum").inner_text() == "42"
    page.close()
