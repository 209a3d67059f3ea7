"""Writes a new issuer's certificate, and a certificate of it for localhost with its key, into the given folder."""

import datetime
import ipaddress
import pathlib
import sys

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

folder = pathlib.Path(sys.argv[1])
now = datetime.datetime.now(datetime.UTC)
issuer_key, server_key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
issuer_name, server_name = (x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)]) for name in ("Test issuer", "localhost"))


def certificate(name, key, *extensions):
    """A certificate of the issuer, valid for a day."""
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(issuer_name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=1))
    )
    for extension in extensions:
        made = made.add_extension(extension, critical=False)
    return made.sign(issuer_key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


names = x509.SubjectAlternativeName([x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
(folder / "issuer.pem").write_bytes(certificate(issuer_name, issuer_key, x509.BasicConstraints(True, None)))
(folder / "server.pem").write_bytes(certificate(server_name, server_key, names))
(folder / "server-key.pem").write_bytes(
    server_key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
)
