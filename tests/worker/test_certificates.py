"""The context of new connections: what is loaded, when it is loaded again, and what cannot be."""

import functools
import logging
import ssl
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization

from bide.errors import ConfigError
from bide.worker.certificates import Certificates, TlsOptions, named_certificate, new_context, own_context
from tests.support.tls import Authority


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority.made(tmp_path_factory.mktemp("tls"))


def options(files: dict[str, str], **others: object) -> TlsOptions:
    values: dict[str, object] = {
        "certfile": files["ssl_certfile"],
        "keyfile": files.get("ssl_keyfile"),
        "others": (),
        "password": None,
        "ca_certs": None,
        "cert_reqs": 0,
        "ciphers": None,
        "minimum_version": "tlsv1.2",
    }
    return TlsOptions(**(values | others))  # type: ignore[arg-type]


def test_context_speaks_as_the_options_say(authority: Authority) -> None:
    files = authority.issue("context")
    context = new_context(options(files))
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2
    assert context.options & ssl.OP_NO_RENEGOTIATION
    assert context.options & ssl.OP_NO_COMPRESSION
    assert context.verify_mode is ssl.CERT_NONE
    strict = new_context(options(files, ca_certs=str(authority.ca_file), cert_reqs=2, minimum_version="tlsv1.3"))
    assert strict.verify_mode is ssl.CERT_REQUIRED
    assert strict.minimum_version is ssl.TLSVersion.TLSv1_3
    assert [
        c["name"] for c in new_context(options(files, ciphers="AES128-SHA256")).get_ciphers() if "TLS_" not in c["name"]
    ] == ["AES128-SHA256"]


def test_encrypted_key_opens_with_its_password_only(authority: Authority, tmp_path: Path) -> None:
    files = authority.issue("encrypted")
    key = serialization.load_pem_private_key(Path(files["ssl_keyfile"]).read_bytes(), None)
    locked = tmp_path / "locked.key"
    locked.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"sesame"),
        )
    )
    files |= {"ssl_keyfile": str(locked)}
    new_context(options(files, password="sesame"))
    with pytest.raises(ConfigError, match="ssl_keyfile_password must be given: it is needed for"):
        new_context(options(files))
    with pytest.raises(ConfigError, match="ssl_keyfile_password does not open"):
        new_context(options(files, password="wrong"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda files, _: files.update(ssl_certfile="/nowhere/cert"),
            r"^ssl_certfile must be a file that can be read, got ",
        ),
        (
            lambda files, _: files.update(ssl_keyfile="/nowhere/key"),
            r"^ssl_keyfile must be a file that can be read, got ",
        ),
        (
            lambda files, other: files.update(ssl_keyfile=other["ssl_keyfile"]),
            r"^ssl_keyfile must be the key of ssl_certfile",
        ),
        (lambda files, _: files.pop("ssl_keyfile"), r"^ssl_certfile and ssl_keyfile must be a certificate and its key"),
        (lambda files, _: Path(files["ssl_certfile"]).write_text("no"), r"^ssl_certfile and ssl_keyfile must be"),
    ],
)
def test_files_that_cannot_be_used_are_named(
    authority: Authority, change: Callable[[dict[str, str], dict[str, str]], object], message: str
) -> None:
    files = authority.issue("bad")
    change(files, authority.issue("other"))
    with pytest.raises(ConfigError, match=message) as raised:
        new_context(options(files))
    assert "\n" not in str(raised.value)


def test_other_options_that_cannot_be_used_are_named(authority: Authority, tmp_path: Path) -> None:
    files = authority.issue("others")
    with pytest.raises(ConfigError, match=r"^ssl_ciphers must be a list in OpenSSL's form, got 'nonsense'"):
        new_context(options(files, ciphers="nonsense"))
    with pytest.raises(ConfigError, match=r"^ssl_ca_certs must be a file that can be read"):
        new_context(options(files, ca_certs="/nowhere/ca"))
    (tmp_path / "ca").write_text("no")
    with pytest.raises(ConfigError, match=r"^ssl_ca_certs must be a file of certificates in PEM form"):
        new_context(options(files, ca_certs=str(tmp_path / "ca")))


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_certificate_is_loaded_again_once_its_files_have_changed(
    authority: Authority, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "bide")
    files, clock = authority.issue("renewed"), Clock()
    certificates = Certificates(options(files), clock)
    first = certificates.context()
    clock.now += 5.0
    assert certificates.context() is first
    authority.issue("renewed")
    assert certificates.context() is first, "the files are looked at once a second"
    clock.now += 1.0
    second = certificates.context()
    assert second is not first
    assert certificates.context() is second
    assert "loaded certificates again" in caplog.text


def test_certificate_whose_key_is_yet_to_come_is_loaded_with_it(
    authority: Authority, caplog: pytest.LogCaptureFixture
) -> None:
    """A renewal that is caught between its two files does not change what is served, and is said once."""
    files, clock = authority.issue("half"), Clock()
    certificates = Certificates(options(files), clock)
    first = certificates.context()
    renewed = authority.issue("half-renewed")
    Path(renewed["ssl_certfile"]).replace(files["ssl_certfile"])
    for _ in range(3):
        clock.now += 1.0
        assert certificates.context() is first
    assert caplog.text.count("ssl_keyfile must be the key of ssl_certfile") == 1
    assert "new connections get the certificate that was loaded before" in caplog.text
    Path(renewed["ssl_keyfile"]).replace(files["ssl_keyfile"])
    clock.now += 1.0
    assert certificates.context() is not first


def test_certificate_that_vanishes_stays_loaded(authority: Authority, caplog: pytest.LogCaptureFixture) -> None:
    files, clock = authority.issue("gone"), Clock()
    certificates = Certificates(options(files), clock)
    first = certificates.context()
    Path(files["ssl_certfile"]).unlink()
    clock.now += 1.0
    assert certificates.context() is first
    assert "ssl_certfile must be a file that can be read" in caplog.text


# -- A program's own context ------------------------------------------------------------------------------------------------


def own(default: Callable[[], ssl.SSLContext]) -> ssl.SSLContext:
    """Change the context of the options."""
    context = default()
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    return context


def test_program_makes_the_context_and_again_once_files_have_changed(authority: Authority) -> None:
    files = authority.issue("own")
    clock = Clock()
    certificates = Certificates(options(files), clock, make=functools.partial(own_context, own))
    first = certificates.context()
    assert first.maximum_version is ssl.TLSVersion.TLSv1_2
    authority.issue("own")
    clock.now += 1.0
    second = certificates.context()
    assert second is not first
    assert second.maximum_version is ssl.TLSVersion.TLSv1_2


def test_context_that_needs_no_files_stays(authority: Authority) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    clock = Clock()
    none = options({"ssl_certfile": ""})._replace(certfile=None)
    certificates = Certificates(none, clock, make=lambda _: own_context(lambda _: context, none))
    clock.now += 1.0
    assert certificates.context() is context


@pytest.mark.parametrize(
    ("factory", "message"),
    [
        (lambda default: default(), "^ssl_certfile must be given for the context of the options, got None; set it"),
        (lambda _: None, "^ssl_context_factory must return an ssl.SSLContext for a server, got None$"),
        (
            lambda _: ssl.create_default_context(),
            "^ssl_context_factory must return an ssl.SSLContext for a server, got ",
        ),
        (lambda _: 1 / 0, r"^ssl_context_factory must return an ssl.SSLContext, got ZeroDivisionError\("),
    ],
)
def test_what_is_no_context_for_a_server_is_refused(factory: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        own_context(factory, options({"ssl_certfile": ""})._replace(certfile=None))


# -- Host names -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("entry", "named"),
    [
        ("a.example=/c.pem", ("a.example", "/c.pem", None)),
        ("A.Example=c.pem,k.pem", ("a.example", "c.pem", "k.pem")),
        ("*.a.example=c=d.pem", ("*.a.example", "c=d.pem", None)),
        ("localhost=c.pem,", ("localhost", "c.pem", None)),
    ],
)
def test_entry_for_a_host_names_its_files(entry: str, named: tuple[str, str, str | None]) -> None:
    assert named_certificate(entry) == named


@pytest.mark.parametrize(
    "entry", ["", "c.pem", "=c.pem", "a.example=", "a.example=,k.pem", "*=c.pem", "a..b=c", "a b=c"]
)
def test_entry_of_another_form_is_refused(entry: str) -> None:
    with pytest.raises(ConfigError, match=r"^ssl_sni must be HOST=CERTFILE or HOST=CERTFILE,KEYFILE, got "):
        named_certificate(entry)


def test_host_that_is_named_twice_is_refused(authority: Authority) -> None:
    files = authority.issue("twice")
    entry = f"a.example={files['ssl_certfile']},{files['ssl_keyfile']}"
    with pytest.raises(ConfigError, match=r"^ssl_sni must name each host once, got 'a\.example' twice$"):
        new_context(options(files, others=(entry, entry.upper().replace(entry[10:].upper(), entry[10:]))))


def test_files_of_a_host_that_do_not_fit_are_refused_by_the_options_name(authority: Authority) -> None:
    files, others = authority.issue("fit"), authority.issue("misfit")
    for entry, message in (
        (
            f"a.example={files['ssl_certfile']},{others['ssl_keyfile']}",
            "^ssl_sni must name a certificate and its key, got ",
        ),
        ("a.example=/none.pem", r"^ssl_sni must be a file that can be read, got '/none\.pem'"),
        (f"a.example={files['ssl_keyfile']}", "^ssl_sni must be a certificate and its key in PEM form, got "),
    ):
        with pytest.raises(ConfigError, match=message):
            new_context(options(files, others=(entry,)))


def test_changed_file_of_a_host_is_loaded_again(authority: Authority) -> None:
    files, named = authority.issue("main"), authority.issue("host", "a.example")
    entry = f"a.example={named['ssl_certfile']},{named['ssl_keyfile']}"
    now = [0.0]
    certificates = Certificates(options(files, others=(entry,)), lambda: now[0])
    before = certificates.context()
    authority.issue("host", "a.example")
    now[0] += 1.0
    assert certificates.context() is not before


# -- Expired certificates ---------------------------------------------------------------------------------------------------


def expiring(authority: Authority, name: str, until: datetime) -> dict[str, str]:
    files = authority.issue(name)
    issued = authority.ca.issue_cert("localhost", not_after=until)
    Path(files["ssl_certfile"]).write_bytes(issued.cert_chain_pems[0].bytes())
    Path(files["ssl_keyfile"]).write_bytes(issued.private_key_pem.bytes())
    return files


def test_expired_certificate_does_not_replace_one_that_is_valid(
    authority: Authority, caplog: pytest.LogCaptureFixture
) -> None:
    now, clock = datetime(2030, 1, 1, tzinfo=UTC), Clock()
    files = expiring(authority, "expiring", datetime(2031, 1, 1, tzinfo=UTC))
    certificates = Certificates(options(files), clock, lambda: now)
    first = certificates.context()
    assert not caplog.records
    expiring(authority, "expiring", datetime(2029, 12, 31, tzinfo=UTC))
    clock.now += 1.0
    assert certificates.context() is first
    (line,) = caplog.messages
    assert line.startswith(f"the certificate in {files['ssl_certfile']!r} expired on 2029-12-31; new connections get ")
    expiring(authority, "expiring", datetime(2030, 12, 31, tzinfo=UTC))
    clock.now += 1.0
    assert certificates.context() is not first


def test_certificate_that_has_expired_at_the_start_is_warned_of(
    authority: Authority, caplog: pytest.LogCaptureFixture
) -> None:
    files, named = authority.issue("valid"), expiring(authority, "past", datetime(2029, 1, 1, tzinfo=UTC))
    entry = f"a.example={named['ssl_certfile']},{named['ssl_keyfile']}"
    Certificates(options(files, others=(entry,)), Clock(), lambda: datetime(2030, 1, 1, tzinfo=UTC))
    assert caplog.messages == [f"the certificate in {named['ssl_certfile']!r} expired on 2029-01-01; clients refuse it"]
