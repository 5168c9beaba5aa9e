"""TLS, CORS and proxies in the section `server`. Mistakes are golden files too: auth-mistakes.txt."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from llmproxy.config.transport import CorsConfig, TlsConfig

CERTIFICATES = Path(__file__).parent.parent / "support" / "certificates"
FILES = {name: str(CERTIFICATES / file) for name, file in (("certificate", "server.pem"), ("key", "server.key"))}


@pytest.mark.parametrize("wrong", [["http://*.x"], ["x"], ["https://x/path"], ["https://u@x"], [""], "https://x"])
def test_origins_are_exact(wrong: object) -> None:
    with pytest.raises(ValidationError):
        CorsConfig.model_validate({"allow_origins": wrong})


def test_header_names_may_end_with_a_star() -> None:
    assert CorsConfig.model_validate({"expose_headers": ["X-A", "x-b-*"]}).expose_headers == ["X-A", "x-b-*"]
    with pytest.raises(ValidationError, match="not a header name"):
        CorsConfig.model_validate({"expose_headers": ["a b"]})


def test_the_files_of_tls_must_fit_each_other(tmp_path: Path) -> None:
    assert TlsConfig.model_validate({**FILES, "client_ca": str(CERTIFICATES / "ca.pem")}).client_ca
    nonsense = tmp_path / "nonsense.pem"
    nonsense.write_text("no certificate")
    for changed in ({"certificate": str(nonsense)}, {"key": str(nonsense)}, {"client_ca": str(nonsense)}):
        with pytest.raises(ValidationError, match=r"nonsense\.pem"):
            TlsConfig.model_validate({**FILES, **changed})
