# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This plugin util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""A new CA for a swarm, made on the controller, so that its key can be in the escrow before the swarm gets it."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

# As the engine's own (swarmkit: ca/certificates.go, DefaultRootCN, RootCAExpiration). The clocks of hosts can differ.
_NAME, _VALID, _BEFORE = "swarm-ca", timedelta(days=20 * 365), timedelta(hours=1)


def new_ca() -> dict[str, str]:
    """The certificate and the key, as PEM."""
    # Part of ansible-core's own requirements. It takes long to import, and only a rotation needs it.
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, _NAME)])
    now = datetime.now(timezone.utc)
    usage = dict.fromkeys(
        (
            *("content_commitment", "data_encipherment", "decipher_only", "digital_signature"),
            *("encipher_only", "key_agreement", "key_encipherment"),
        ),
        False,
    )
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _BEFORE)
        .not_valid_after(now + _VALID)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(x509.KeyUsage(key_cert_sign=True, crl_sign=True, **usage), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    text = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.TraditionalOpenSSL,
        serialization.NoEncryption(),
    )
    return {
        "cert": certificate.public_bytes(serialization.Encoding.PEM).decode(),
        "key": text.decode(),
    }
