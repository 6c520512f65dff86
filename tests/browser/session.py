"""Signing in to the admin by its form."""

from __future__ import annotations

from tests.browser.chromium import Page


def sign_in(page: Page, base_url: str, name: str, password: str, next_path: str = "/admin/") -> None:
    """A new session, and no complaint of what was open before; ends at `next_path`."""
    page.forget()
    page.open(f"{base_url}/admin/login/?next={next_path}")
    page.fill("#id_login", name)
    page.fill("#id_password", password)
    page.click_through("#login-form button[type=submit]")
