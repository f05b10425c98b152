"""Hundreds of host names with a certificate each: they all come into force,
by the start, by a reload and by a renewal of one of them."""
import ssl

import pytest

from culver import Pop, make_certificate, until

pytestmark = pytest.mark.once

HOSTS, PAIRS = 600, 3


@pytest.fixture(scope="module")
def instance(make_instance):
    inst = make_instance(users=1)
    hosts = []
    for i in range(PAIRS):
        make_certificate(inst.dir / f"tls/{i}.pem", inst.dir / f"tls/{i}.key",
                         (f"*.d{i}.example",))
    for i in range(HOSTS):
        pair = inst.dir / f"tls/{i % PAIRS}"
        hosts.append(f'host "h{i}.d{i % PAIRS}.example" {{ certificate = '
                     f'"{pair}.pem" key = "{pair}.key" }}')
    inst.parts["tls"] = "\n".join(hosts)
    inst.write_conf()
    return inst.start()


def certificate(instance, name):
    with Pop(instance.address, "tls", server_name=name) as pop:
        der = pop.sock.getpeercert(True)
        pop.quit()
    return ssl.DER_cert_to_PEM_cert(der)


def file_of(instance, i):
    return (instance.dir / f"tls/{i % PAIRS}.pem").read_text()


def serves_all(instance):
    for i in (0, 1, HOSTS // 2, HOSTS - 2, HOSTS - 1):
        name = f"h{i}.d{i % PAIRS}.example"
        assert certificate(instance, name) == file_of(instance, i), name
    assert certificate(instance, "localhost") == instance.cert.read_text()


@pytest.mark.timeout(120)
def test_many_hosts(instance):
    serves_all(instance)
    instance.reload()
    serves_all(instance)


@pytest.mark.timeout(120)
def test_one_of_many_is_renewed(instance):
    name = "h1.d1.example"
    before = certificate(instance, name)
    make_certificate(instance.dir / "tls/1.pem", instance.dir / "tls/1.key",
                     ("*.d1.example",))
    instance.reload()
    until("the new certificate",
          lambda: certificate(instance, name) != before)
    until("the end of the old gates",
          lambda: len(set(instance.role("gate"))) <= 8)
    serves_all(instance)


@pytest.mark.timeout(120)
def test_one_of_many_is_wrong(instance):
    """It is named, with its line, and nothing changes."""
    key = instance.dir / "tls/2.key"
    good = key.read_bytes()
    key.write_bytes((instance.dir / "tls/0.key").read_bytes())
    try:
        result = instance.ctl("reload")
        assert result.returncode != 0
        assert result.stderr.count("does not belong to the certificate") == \
            HOSTS // PAIRS
        assert f"{instance.conf}:" in result.stderr
        serves_all(instance)
    finally:
        key.write_bytes(good)


def test_too_many_hosts(make_instance):
    inst = make_instance(users=1)
    inst.parts["tls"] = "\n".join(
        f'host "h{i}.example" {{ certificate = "{inst.cert}" '
        f'key = "{inst.key}" }}' for i in range(2049))
    inst.write_conf()
    result = inst.run("-t")
    assert result.returncode == 78
    assert f"{inst.conf}:" in result.stderr + result.stdout
    assert "2050 hosts: wanted at most 4096 of 2049" in \
        result.stderr + result.stdout
