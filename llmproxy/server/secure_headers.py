"""The headers of everything that we write ourselves, pages and errors: no browser keeps it, frames it, runs anything of
it, or takes it for something else than it says."""

from __future__ import annotations

SECURE_HEADERS = (
    ("Cache-Control", "no-store"),
    ("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'"),
    ("Referrer-Policy", "no-referrer"),
    ("X-Content-Type-Options", "nosniff"),
    ("X-Frame-Options", "DENY"),
)
