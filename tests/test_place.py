"""Where sse-check runs, and what that means for a refused connection: localhost in a container is nobody's."""

import pytest

from sse_check.place import forget_missing_certificates, gateway
from tests.support.streams import judged, probe, scenario, stream

ROUTES = """\
Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT
eth0\t00000000\t010011AC\t0003\t0\t0\t0\t00000000\t0\t0\t0
eth0\t000011AC\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0
"""


@pytest.mark.parametrize(
    ("table", "address"),
    [(ROUTES, "172.17.0.1"), (ROUTES.replace("010011AC", "00000000"), None), ("Iface\n", None), ("", None), ("x\ny z\n", None)],
)
def test_the_gateway_is_read_from_the_kernels_routes(tmp_path, table, address):
    """
    The address of the default route, or none where there is none or the table is not to be read.
    """
    (tmp_path / "route").write_text(table)
    assert gateway(tmp_path / "route") == address
    assert gateway(tmp_path / "missing") is None


def test_certificates_of_another_machine_are_forgotten(tmp_path):
    """
    A variable that names a file which is not here would make every certificate a fault; one whose file is here stays.
    """
    here = tmp_path / "ca.pem"
    here.write_text("x")
    environ = {"SSL_CERT_FILE": "/not/here.pem", "SSL_CERT_DIR": str(tmp_path), "PATH": "/bin"}

    assert forget_missing_certificates(environ) == ["SSL_CERT_FILE=/not/here.pem"]
    assert environ == {"SSL_CERT_DIR": str(tmp_path), "PATH": "/bin"}
    assert forget_missing_certificates({"SSL_CERT_FILE": str(here)}) == []


def refused(url: str, *, reason: str = "tcp", **environment: str) -> tuple[str, list[str]]:
    """What is said of a refused connection to this URL, and what would cure it."""
    observed = stream(head=None, ended="error", reason=reason, error="Connect call failed", url=url)
    (finding,) = judged(observed, of=scenario(probe()), **environment).findings
    assert finding.code == "refused"
    return finding.message, [fix.text for fix in finding.fixes]


@pytest.mark.parametrize(
    "url",
    ["http://localhost:3000/x", "http://app.localhost:3000/", "http://127.0.0.1:3000/", "http://127.9.9.9:3000/", "http://[::1]:3000/", "http://0.0.0.0:3000/"],
)  # fmt: skip
def test_localhost_in_a_container_action_is_explained_with_what_works(url):
    """
    A service of the job by its name, the bridge's address with the server on 0.0.0.0, the composite action, the scenario's services.
    """
    message, cures = refused(url, inside="action", gateway="172.17.0.1")

    assert "localhost of its own" in message
    told = " ".join(cures)
    for cure in (
        "services:",
        "http://app:3000",
        "0.0.0.0:3000",
        "http://172.17.0.1:3000",
        "org/sse-check/composite@v1",
        "containers: true",
    ):
        assert cure in told


def test_localhost_in_a_container_of_ones_own_is_explained():
    """
    Outside of a workflow there are no services of a job; the machine's network is another way.
    """
    message, cures = refused("https://localhost/x", inside="container", gateway="172.17.0.1")

    assert "localhost of its own" in message
    assert any("https://172.17.0.1:443" in cure for cure in cures)
    assert any("--network host" in cure for cure in cures)
    assert not any("composite" in cure for cure in cures)


def test_the_name_of_docker_desktop_is_explained():
    """
    host.docker.internal does not resolve on Linux runners.
    """
    message, cures = refused("http://host.docker.internal:80/", reason="dns", inside="action", gateway="172.17.0.1")

    assert "does not know this name" in message
    assert any("http://172.17.0.1:80" in cure for cure in cures)


def test_a_server_that_listens_on_the_machines_localhost_only_is_explained():
    """
    The bridge's address is right; what is missing is a server on it.
    """
    message, cures = refused("http://172.17.0.1:8080/", inside="action", gateway="172.17.0.1")

    assert "the machine that the container runs on" in message
    assert cures == ["Let the server listen on 0.0.0.0:8080: one that listens on 127.0.0.1 is not reached from a container."]


@pytest.mark.parametrize("host", ["localhost", "172.17.0.1"])
@pytest.mark.parametrize("reason", ["tls", "no-response", "proxy"])
def test_what_did_answer_is_not_called_nobody(host, reason):
    """
    A bad certificate on localhost is a bad certificate.
    """
    message, cures = refused(f"https://{host}:8443/", reason=reason, inside="action", gateway="172.17.0.1")

    assert "localhost of its own" not in message
    assert "certificate is valid" in " ".join(cures)


def test_a_recorded_url_may_hold_a_removed_secret():
    """
    A port that equals a secret is no port any more, and no reason to give up.
    """
    assert refused("https://localhost:***/x", inside="action", gateway="172.17.0.1")[1]


@pytest.mark.parametrize(
    ("url", "environment"),
    [("http://localhost:3000/", {}), ("https://app.example.test/", {"inside": "action", "gateway": "172.17.0.1"}), ("http://10.0.0.9/", {"inside": "action"})],
)  # fmt: skip
def test_elsewhere_a_refused_connection_is_what_it_is(url, environment):
    """
    On the machine itself localhost is localhost, and another host is another host.
    """
    message, cures = refused(url, **environment)

    assert "localhost" not in message
    assert len(cures) == 1
    assert "something listens on the port" in cures[0]
