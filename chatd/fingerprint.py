"""Fingerprints: by these people tell a certificate from all others."""

import hashlib
import re
from typing import Final

_HEX: Final = re.compile(r"[0-9A-F]{64}")


def fingerprint(certificate: bytes) -> str:
    """Return the SHA-256 fingerprint of a certificate in DER, as openssl shows it."""
    return _shown(hashlib.sha256(certificate).hexdigest())


def parse_fingerprint(text: str) -> str:
    """Return a fingerprint as `fingerprint` would, however it was written.

    In capitals or not, with colons or spaces or nothing in between. Raises `ValueError`
    in words for whoever wrote it.
    """
    digits = re.sub(r"[:\s]", "", text).upper()
    if not _HEX.fullmatch(digits):
        raise ValueError(
            f"{text[:100]!r} is no SHA-256 fingerprint: that has 64 hexadecimal digits"
        )
    return _shown(digits)


def _shown(digits: str) -> str:
    pairs = (digits[at : at + 2] for at in range(0, len(digits), 2))
    return ":".join(pairs).upper()
