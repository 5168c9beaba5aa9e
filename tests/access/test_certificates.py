"""Subjects of certificates, as TLS and as configurations write them."""

from __future__ import annotations

import pytest

from llmproxy.access.certificates import parts_of, read_certificate


def test_a_subject_is_read_in_its_order_with_short_names() -> None:
    subject = (
        (("countryName", "DE"),),
        (("organizationName", "Acme, Inc."), ("commonName", "ci")),
        (("2.5.4.97", "x"),),
    )
    certificate = read_certificate(subject)
    assert certificate.subject == r"C=DE,O=Acme\, Inc.,CN=ci,2.5.4.97=x"
    assert certificate.name == "ci"
    assert certificate.parts == parts_of(certificate.subject)


def test_a_certificate_may_have_no_common_name() -> None:
    assert read_certificate(()).name == ""


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("ci", {"ci"}),
        (" ci ", {"ci"}),
        ("CN=ci", {"CN=ci"}),
        ("O = Acme , CN = ci,", {"O=Acme", "CN=ci"}),
        (r"O=Acme\, Inc.,CN=a=b", {r"O=Acme\, Inc.", "CN=a=b"}),
    ],
)
def test_a_subject_of_a_configuration_is_read_in_parts(text: str, parts: set[str]) -> None:
    assert parts_of(text) == parts
