"""Certificates for the servers of tests: one that holds, and one for each way in which one does not."""

from __future__ import annotations

import atexit
import functools
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from tests.fakes.mail.daemon import found
from tests.patience import PATIENCE_SECONDS

_CONFIGURATION = """
[req]
distinguished_name = name
prompt = no
[name]
[ca]
default_ca = tests
[tests]
database = index
serial = serial
new_certs_dir = .
default_md = sha256
policy = anything
unique_subject = no
[anything]
commonName = supplied
[authority]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
[here]
subjectAltName = DNS:localhost, IP:127.0.0.1
extendedKeyUsage = serverAuth
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
[elsewhere]
subjectAltName = DNS:mail.elsewhere.example
extendedKeyUsage = serverAuth
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
"""


@dataclass(frozen=True)
class Certificate:
    file: Path
    key: Path


@dataclass(frozen=True)
class Certificates:
    """`authority` is what clients are to trust (SSL_CERT_FILE); all but `self_signed` are signed by it."""

    authority: Path
    server: Certificate
    wrong_name: Certificate
    expired: Certificate
    self_signed: Certificate


@functools.cache
def certificates() -> Certificates:
    """Made once in a process, and gone with it."""
    folder = Path(tempfile.mkdtemp(prefix="bot-certificates-", dir="/tmp"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return made_in(folder)


def made_in(folder: Path) -> Certificates:
    (folder / "openssl.cnf").write_text(_CONFIGURATION)
    (folder / "index").touch()
    (folder / "serial").write_text("1000\n")
    authority = _self_signed(folder, "authority", "Tests' authority", "authority")
    return Certificates(
        authority=authority.file,
        server=_signed(folder, "server", "localhost", "here"),
        wrong_name=_signed(folder, "wrong_name", "mail.elsewhere.example", "elsewhere"),
        expired=_signed(folder, "expired", "localhost", "here", "20200101000000Z", "20200201000000Z"),
        self_signed=_self_signed(folder, "self_signed", "localhost", "here"),
    )


_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")


def _self_signed(folder: Path, name: str, common_name: str, extensions: str) -> Certificate:
    made = Certificate(folder / f"{name}.pem", folder / f"{name}.key")
    subject = ("-subj", f"/CN={common_name}", "-extensions", extensions, "-days", "3650")
    _openssl(folder, "req", "-x509", *_KEY, *subject, "-keyout", made.key.name, "-out", made.file.name)
    return made


def _signed(
    folder: Path,
    name: str,
    common_name: str,
    extensions: str,
    start: str = "20200101000000Z",
    end: str = "21000101000000Z",
) -> Certificate:
    made = Certificate(folder / f"{name}.pem", folder / f"{name}.key")
    request = f"{name}.csr"
    _openssl(folder, "req", "-new", *_KEY, "-subj", f"/CN={common_name}", "-keyout", made.key.name, "-out", request)
    authority = ("-cert", "authority.pem", "-keyfile", "authority.key", "-extensions", extensions)
    dates = ("-startdate", start, "-enddate", end)
    _openssl(folder, "ca", "-batch", "-notext", *authority, *dates, "-in", request, "-out", made.file.name)
    return made


def _openssl(folder: Path, command: str, *arguments: str) -> None:
    program = found("openssl")
    assert program, "openssl is not installed"
    done = subprocess.run(
        [program, command, "-config", "openssl.cnf", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"openssl {command}: {done.stderr}")
