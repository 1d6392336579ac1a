"""The lab's proxies with a second door: TLS, on which they offer HTTP/2 and HTTP/1.1, into the same configuration."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import trustme

from tests.lab.proxies import APACHE, CADDY, ENVOY, HAPROXY, NGINX, TRAEFIK, Config, Proxy, free_port, running

Door = Callable[[Proxy, int, str], Proxy]


def _put(proxy: Proxy, file: str, *changes: tuple[str, str]) -> Proxy:
    """The proxy with one of its templates changed."""
    text = proxy.files[file]
    for old, new in changes:
        assert text.count(old) == 1, f"{proxy.name}: {old!r} is not in {file} once"
        text = text.replace(old, new)
    return replace(proxy, files={**proxy.files, file: text})


def _nginx(proxy: Proxy, port: int, pem: str) -> Proxy:
    listen = "listen 127.0.0.1:@port@;"
    door = f"{listen} listen 127.0.0.1:{port} ssl http2; ssl_certificate {pem}; ssl_certificate_key {pem};"
    return _put(proxy, "nginx.conf", (listen, door))


def _haproxy(proxy: Proxy, port: int, pem: str) -> Proxy:
    bind = "bind 127.0.0.1:@port@"
    return _put(proxy, "haproxy.cfg", (bind, f"{bind}\n  bind 127.0.0.1:{port} ssl crt {pem} alpn h2,http/1.1"))


def _caddy(proxy: Proxy, port: int, pem: str) -> Proxy:
    text = proxy.files["Caddyfile"]
    site = text[text.index("http://127.0.0.1:@port@ {") :]
    door = site.replace("http://127.0.0.1:@port@ {", f"https://127.0.0.1:{port} {{\n\ttls {pem} {pem}")
    return replace(proxy, files={**proxy.files, "Caddyfile": text + door})


def _traefik(proxy: Proxy, port: int, pem: str) -> Proxy:
    lab = '  lab: {address: "127.0.0.1:@port@", @entry_point@}\n'
    proxy = _put(proxy, "traefik.yml", (lab, f'{lab}  secure: {{address: "127.0.0.1:{port}", @entry_point@}}\n'))
    routers = "http:\n  routers:\n"
    secure = '    secure: {entryPoints: [secure], rule: "@rule@", service: origin, middlewares: [lab], tls: {}}\n'
    certificate = f"tls: {{stores: {{default: {{defaultCertificate: {{certFile: {pem}, keyFile: {pem}}}}}}}}}\n"
    return _put(proxy, "routes.yml", (routers, certificate + routers + secure))


def _apache(proxy: Proxy, port: int, pem: str) -> Proxy:
    modules = "".join(f"LoadModule {name}_module @modules@/mod_{name}.so\n" for name in ("ssl", "http2"))
    host = (
        f"Listen 127.0.0.1:{port}\nSSLSessionCache none\n<VirtualHost 127.0.0.1:{port}>\nSSLEngine on\nSSLCertificateFile {pem}\n"
        f"SSLCertificateKeyFile {pem}\nProtocols h2 http/1.1\n@server@\nProxyPass / http://@origin@/ @proxy_pass@\n</VirtualHost>\n"
    )
    plain = "@server@\nProxyPass / http://@origin@/ @proxy_pass@\n"
    return _put(proxy, "httpd.conf", (plain, modules + plain + host))


def _envoy(proxy: Proxy, port: int, pem: str) -> Proxy:
    text = proxy.files["envoy.yaml"]
    start, end = text.index("  - address:"), text.index("  clusters:")
    tls = (
        "    - transport_socket:\n        name: envoy.transport_sockets.tls\n        typed_config:\n"
        '          "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext\n'
        "          common_tls_context:\n            alpn_protocols: [h2, http/1.1]\n"
        f"            tls_certificates: [{{certificate_chain: {{filename: {pem}}}, private_key: {{filename: {pem}}}}}]\n"
        "      filters:\n"
    )
    door = text[start:end].replace("@port@", str(port)).replace("    - filters:\n", tls)
    return replace(proxy, files={**proxy.files, "envoy.yaml": text[:end] + door + text[end:]})


DOORS: Final[dict[str, Door]] = {
    NGINX.name: _nginx,
    HAPROXY.name: _haproxy,
    CADDY.name: _caddy,
    TRAEFIK.name: _traefik,
    APACHE.name: _apache,
    ENVOY.name: _envoy,
}


@contextmanager
def running_over_tls(proxy: Proxy, config: Config, origin: str) -> Iterator[tuple[str, str]]:
    """The proxy in front of `origin` (host:port) while the context lasts; gives its base URLs, the plain one and the one over TLS.

    One that does not speak HTTP/2 over TLS itself has HAProxy in front of it, which passes on what comes when it comes.
    """
    with TemporaryDirectory(prefix="sse-check-lab-tls-") as path:
        directory = Path(path)
        directory.chmod(0o755)  # what drops root has to read it
        pem = directory / "lab.pem"
        trustme.CA().issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(str(pem))
        pem.chmod(0o644)
        port = free_port()
        with ExitStack() as stack:
            if proxy.name in DOORS:
                plain = stack.enter_context(running(DOORS[proxy.name](proxy, port, str(pem)), config, origin))
            else:
                plain = stack.enter_context(running(proxy, config, origin))
                front = _haproxy(HAPROXY, port, str(pem))
                stack.enter_context(running(front, {"listen": "option http-no-delay"}, plain.removeprefix("http://")))
            yield plain, f"https://127.0.0.1:{port}"
