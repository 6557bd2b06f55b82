"""What ``--port ssl:...`` means, and what it may not have."""

import re
from pathlib import Path

import pytest
from twisted.internet.testing import MemoryReactor

from chatd.certificates import Files
from chatd.listening import TLSEndpoint, endpoints


def tls(description: str) -> TLSEndpoint:
    (endpoint,) = endpoints(MemoryReactor(), description)
    assert isinstance(endpoint, TLSEndpoint)
    return endpoint


@pytest.mark.parametrize(
    ("fields", "files"),
    [
        (
            "privateKey=key.pem:certKey=cert.pem",
            Files(Path("key.pem"), Path("cert.pem")),
        ),
        ("privateKey=all.pem", Files(Path("all.pem"), Path("all.pem"))),
        (
            r"certKey=C\:/cert.pem:privateKey=a\\b=c.pem:extraCertChain=more.pem",
            Files(Path(r"a\b=c.pem"), Path("C:/cert.pem"), Path("more.pem")),
        ),
    ],
)
def test_the_files_are_those_that_the_fields_name(fields: str, files: Files) -> None:
    assert tls(f"ssl:5556:{fields}").certificate._files == files


@pytest.mark.parametrize("port", ["ssl:5556:", "ssl:port=5556:"])
def test_port_and_interface_are_handed_on(port: str) -> None:
    tcp = tls(port + r"privateKey=key.pem:interface=\:\:1")._tcp
    assert (tcp._port, tcp._interface) == (5556, "::1")


@pytest.mark.parametrize(
    ("description", "why"),
    [
        ("ssl:", "say ssl:PORT:privateKey=FILE:certKey=FILE"),
        ("ssl:x:privateKey=key.pem", "say ssl:PORT:privateKey=FILE:certKey=FILE"),
        ("ssl:65536:privateKey=key.pem", "say ssl:PORT:privateKey=FILE:certKey=FILE"),
        ("ssl:5556", "privateKey= is missing; chatctl certificate makes one"),
        ("ssl:5556:certKey=cert.pem", "privateKey= is missing"),
        ("ssl:5556:privateKey=key.pem:sslmethod=SSLv3_METHOD", "sslmethod= is unknown"),
    ],
)
def test_a_description_with_a_mistake_is_refused_in_words(
    description: str, why: str
) -> None:
    with pytest.raises(ValueError, match=re.escape(why)) as caught:
        endpoints(MemoryReactor(), description)
    assert str(caught.value).startswith(f"'{description}' is no port: ")
