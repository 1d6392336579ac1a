"""Starts real proxies on loopback, each with a small configuration of its own, and ends them by their own pid.

A proxy's configuration is a template with named slots, written `@slot@`; a case of the lab fills some of them, the others
stay empty. `@port@`, `@origin@` (host:port) and `@dir@` (a directory of the process's own) are filled here.
"""

import contextlib
import http.client
import os
import re
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
LAB: Final = ROOT / ".lab"
NODE_MODULES: Final = LAB / "node/node_modules"
QUIET: Final = Path(__file__).parent / "node/quiet.js"

_START_S: Final = 20.0  # varnishd compiles its configuration first; the others take less than a second
_STOP_S: Final = 15.0  # Traefik and Caddy let running requests end first

Config = Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Proxy:
    """How one program is found, configured and started. `files` are templates by file name, `command` is one as well."""

    name: str
    program: str
    command: tuple[str, ...]
    files: Config
    slots: Config  # with what a slot holds that a case leaves out
    ready: str | None = None  # a path that answers 200 once the configuration is in force; None: listening is enough

    def find(self) -> str:
        """The program's path: Debian's, or what .ci/install-lab put into .lab."""
        where = ["/usr/sbin", "/usr/local/sbin", "/usr/bin", "/usr/local/bin", str(LAB / "venv/bin")]
        # The wheel's own `envoy` is a script around the program: a signal to it would not reach the program.
        where += [str(path) for path in LAB.glob("venv/lib/python3*/site-packages/envoy/_bin")]
        found = shutil.which(self.program, path=os.pathsep.join([*reversed(where), os.environ.get("PATH", "")]))
        assert found is not None, f"{self.program} is not installed: run .ci/install-lab"
        return found


# --- the programs -----------------------------------------------------------------------------------------------------

NGINX: Final = Proxy(
    name="nginx",
    program="nginx",
    command=("-c", "@dir@/nginx.conf", "-e", "@dir@/error.log"),
    files={
        "nginx.conf": """\
daemon off; master_process off; pid @dir@/pid; error_log @dir@/error.log;
events { worker_connections 256; }
http {
  access_log off;
  client_body_temp_path @dir@/body; proxy_temp_path @dir@/proxy; fastcgi_temp_path @dir@/fastcgi;
  uwsgi_temp_path @dir@/uwsgi; scgi_temp_path @dir@/scgi;
  @http@
  server { listen 127.0.0.1:@port@; @server@ location / { proxy_pass http://@origin@; @location@ } }
}
"""
    },
    slots={"http": "", "server": "", "location": ""},
)

HAPROXY: Final = Proxy(
    name="HAProxy",
    program="haproxy",
    command=("-db", "-f", "@dir@/haproxy.cfg"),
    files={
        "haproxy.cfg": """\
global
  maxconn 256
  nbthread 1
defaults
  mode http
  timeout connect 2s
  timeout client 1h
  timeout server 1h
listen lab
  bind 127.0.0.1:@port@
  @listen@
  server origin @origin@
"""
    },
    slots={"listen": ""},
)

CADDY: Final = Proxy(
    name="Caddy",
    program="caddy",
    command=("run", "--config", "@dir@/Caddyfile", "--adapter", "caddyfile"),
    files={
        "Caddyfile": """\
{
	admin off
	auto_https off
	persist_config off
	default_bind 127.0.0.1
	@global@
}
http://127.0.0.1:@port@ {
	@site@
	reverse_proxy @origin@ {
		@reverse_proxy@
	}
}
"""
    },
    slots={"global": "", "site": "", "reverse_proxy": ""},
)

TRAEFIK: Final = Proxy(
    name="Traefik",
    program="traefik",
    command=("--configfile=@dir@/traefik.yml",),
    files={
        "traefik.yml": """\
global: {checkNewVersion: false, sendAnonymousUsage: false}
log: {level: ERROR}
entryPoints:
  lab: {address: "127.0.0.1:@port@", @entry_point@}
ping: {manualRouting: true}
providers: {file: {filename: "@dir@/routes.yml", watch: false}}
""",
        "routes.yml": """\
http:
  routers:
    lab: {entryPoints: [lab], rule: "@rule@", service: origin, middlewares: [lab]}
    ready: {entryPoints: [lab], rule: "Path(`/lab-is-ready`)", service: ping@internal, priority: 1000}
  middlewares:
    lab: {@middleware@}
  services:
    origin: {loadBalancer: {servers: [{url: "http://@origin@"}]}}
""",
    },
    slots={"entry_point": "", "rule": "PathPrefix(`/`)", "middleware": "headers: {customRequestHeaders: {X-Lab: lab}}"},
    ready="/lab-is-ready",  # it listens before it has read its routes
)

VARNISH: Final = Proxy(
    name="Varnish",
    program="varnishd",
    # `-j none`: the jails need root; nothing here does.
    command=(
        *("-F", "-n", "@dir@/work", "-f", "@dir@/lab.vcl", "-a", "127.0.0.1:@port@", "-s", "malloc,32m", "-j", "none"),
        *("-p", "thread_pools=1", "-p", "thread_pool_min=5", "-p", "thread_pool_max=60", "-p", "vsl_space=4m"),
    ),
    files={
        "lab.vcl": """\
vcl 4.1;
backend origin { .host = "@host@"; .port = "@origin_port@"; .first_byte_timeout = 1h; @backend@ }
sub vcl_recv { @recv@ }
sub vcl_backend_response { @backend_response@ }
"""
    },
    slots={"backend": ".between_bytes_timeout = 1h;", "recv": "", "backend_response": ""},
)

APACHE: Final = Proxy(
    name="Apache",
    program="apache2",
    command=("-f", "@dir@/httpd.conf", "-DFOREGROUND"),
    files={
        "httpd.conf": """\
ServerRoot @dir@
ServerName 127.0.0.1
Listen 127.0.0.1:@port@
PidFile @dir@/pid
DefaultRuntimeDir @dir@
ErrorLog @dir@/error.log
@user@
LoadModule mpm_event_module @modules@/mod_mpm_event.so
LoadModule authz_core_module @modules@/mod_authz_core.so
LoadModule proxy_module @modules@/mod_proxy.so
LoadModule proxy_http_module @modules@/mod_proxy_http.so
ServerLimit 1
StartServers 1
ThreadsPerChild 25
MaxRequestWorkers 25
Timeout 3600
@server@
ProxyPass / http://@origin@/ @proxy_pass@
"""
    },
    slots={"server": "", "proxy_pass": ""},
)

ENVOY: Final = Proxy(
    name="Envoy",
    program="envoy",
    # One worker and its own base id: several Envoys on one machine would share memory otherwise.
    command=("-c", "@dir@/envoy.yaml", "--concurrency", "1", "--use-dynamic-base-id", "--log-level", "error"),
    files={
        "envoy.yaml": """\
static_resources:
  listeners:
  - address: {socket_address: {address: 127.0.0.1, port_value: @port@}}
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: lab
          route_config:
            virtual_hosts:
            - name: lab
              domains: ["*"]
              routes:
              - match: {prefix: "/"}
                route: {cluster: origin, @route@}
          http_filters:
          @filter@
          - name: envoy.filters.http.router
            typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}
  clusters:
  - name: origin
    connect_timeout: 2s
    @cluster@
    load_assignment:
      cluster_name: origin
      endpoints:
      - lb_endpoints:
        - endpoint: {address: {socket_address: {address: @host@, port_value: @origin_port@}}}
"""
    },
    slots={"route": "timeout: 0s", "filter": "", "cluster": ""},
)

NODE: Final = Proxy(
    name="node",
    program="node",
    command=("@dir@/proxy.js",),
    files={
        "proxy.js": """\
const http = require("http");
const compression = require("compression");
const express = require("express");
const httpProxy = require("http-proxy");
const { createProxyMiddleware, responseInterceptor } = require("http-proxy-middleware");
const target = "http://@origin@", port = @port@, host = "127.0.0.1";
@script@
"""
    },
    # http-proxy's own example, with the error handler that it needs not to end with its first upstream error
    slots={
        "script": """\
const proxy = httpProxy.createProxyServer({ target });
proxy.on("error", () => {});
http.createServer((request, response) => proxy.web(request, response)).listen(port, host);
"""
    },
)

PROXIES: Final = (NGINX, HAPROXY, CADDY, TRAEFIK, VARNISH, APACHE, ENVOY, NODE)

_APACHE_MODULES: Final = "/usr/lib/apache2/modules"


# --- starting and ending ----------------------------------------------------------------------------------------------


@contextmanager
def running(proxy: Proxy, config: Config, origin: str) -> Iterator[str]:
    """The proxy in front of `origin` (host:port) while the context lasts; gives its base URL."""
    with _directory(proxy.name) as directory:
        port = free_port()
        fill = _filler(proxy, config, origin=origin, port=port, directory=directory)
        for name, template in proxy.files.items():
            (directory / name).write_text(fill(template))
        command = [proxy.find(), *map(fill, proxy.command)]
        with _process(command, port, directory, ready=proxy.ready):
            yield f"http://127.0.0.1:{port}"


@contextmanager
def quiet_origin() -> Iterator[str]:
    """The origin that says nothing before its first event; gives its host:port."""
    with _directory("quiet") as directory:
        port = free_port()
        with _process([NODE.find(), str(QUIET), str(port)], port, directory):
            yield f"127.0.0.1:{port}"


@contextmanager
def dead_origin() -> Iterator[str]:
    """A host:port where nothing listens, and nobody else can while the context lasts."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield f"127.0.0.1:{bound.getsockname()[1]}"


def free_port() -> int:
    """A port that was free a moment ago."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


def _filler(proxy: Proxy, config: Config, *, origin: str, port: int, directory: Path) -> Callable[[str], str]:
    """Puts the values into a template. A slot's text may hold `@origin@` and the like itself."""
    unknown = config.keys() - proxy.slots.keys()
    assert not unknown, f"{proxy.name} has no slot {', '.join(sorted(unknown))}; it has {', '.join(proxy.slots)}"
    host, _, origin_port = origin.rpartition(":")
    values = {
        "port": str(port),
        "origin": origin,
        "host": host,
        "origin_port": origin_port,
        "dir": str(directory),
        "modules": _APACHE_MODULES,
        # Apache refuses to work as root, and refuses to be told of a user when it is not.
        "user": "User nobody\nGroup nogroup" if os.geteuid() == 0 else "",
    }
    slots = {**proxy.slots, **config}

    def fill(template: str) -> str:
        with_slots = re.sub(r"@(\w+)@", lambda match: slots.get(match[1], match[0]), template)
        return re.sub(r"@(\w+)@", lambda match: values[match[1]], with_slots)

    return fill


@contextmanager
def _directory(name: str) -> Iterator[Path]:
    """A directory that every user may enter: what drops root has to read it."""
    with tempfile.TemporaryDirectory(prefix=f"sse-check-lab-{name}-") as path:
        Path(path).chmod(0o755)
        yield Path(path)


@contextmanager
def _process(command: list[str], port: int, directory: Path, *, ready: str | None = None) -> Iterator[None]:
    """The process while the context lasts; it must be ready soon, and its own pid ends it."""
    with ExitStack() as stack:
        log = stack.enter_context((directory / "log").open("wb"))
        environment = {**os.environ, "NODE_PATH": str(NODE_MODULES), "HOME": str(directory), "XDG_DATA_HOME": str(directory)}
        process = subprocess.Popen(command, cwd=directory, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        stack.callback(_end, process)
        _wait_until_ready(process, port, ready, directory)
        yield


def _wait_until_ready(process: "subprocess.Popen[bytes]", port: int, ready: str | None, directory: Path) -> None:
    until = time.monotonic() + _START_S
    while time.monotonic() < until and process.poll() is None:
        if _is_ready(port, ready):
            return
        time.sleep(0.05)
    said = "\n".join((directory / name).read_text(errors="replace") for name in ("log", "error.log") if (directory / name).exists())
    raise AssertionError(f"{process.args!r} is not ready:\n{said[-3000:]}")


def _is_ready(port: int, ready: str | None) -> bool:
    try:
        if ready is None:
            socket.create_connection(("127.0.0.1", port), timeout=5).close()
            return True
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        with contextlib.closing(connection):
            connection.request("GET", ready)
            return connection.getresponse().status == 200
    except OSError:
        return False


def _end(process: "subprocess.Popen[bytes]") -> None:
    process.terminate()
    try:
        process.wait(_STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
