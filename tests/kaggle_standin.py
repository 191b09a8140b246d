"""A stand-in for Kaggle's API on the loopback: it answers the real `kaggle` command and keeps what arrived.

with KaggleStandIn() as kaggle:
    subprocess.run(["kaggle", "kernels", "push", "-p", folder], env=kaggle.environment(home))
    kaggle.received("SaveKernel")

The command is sent here as to a proxy, so nothing leaves the machine: an attempt to reach a real host by HTTPS arrives as
CONNECT, is kept and refused.
"""

import json
import os
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

USER, KEY = "ada", "0123456789abcdef0123456789abcdef"  # nobody's


class KaggleStandIn:
    "Answers each call by its last word, as set in `answers`: name -> (status, JSON) or name -> function of the body."

    def __init__(self):
        self.requests = []  # dicts: method, call, body
        self.answers = {"SaveKernel": self.save_kernel}
        self.versions = {}
        self.released = threading.Event()  # set at the end; an answer that hangs waits for it
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (_Handler,), {"standin": self}))
        self.server.daemon_threads = True

    def __enter__(self):
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *error):
        self.released.set()
        self.server.shutdown()
        self.server.server_close()

    def received(self, call):
        "The bodies of all calls of that name, in order."
        return [request["body"] for request in self.requests if request["call"] == call]

    def save_kernel(self, body):
        "As Kaggle answers a push that it accepts."
        version = self.versions[body["slug"]] = self.versions.get(body["slug"], 0) + 1
        lists = ("invalidTags", "invalidDatasetSources", "invalidCompetitionSources", "invalidKernelSources")
        url = f"https://www.kaggle.com/code/{body['slug']}"
        return 200, {"ref": f"/code/{body['slug']}", "url": url, "versionNumber": version, **{name: [] for name in lists}}

    def hang(self, body):
        "No answer until the test is over."
        self.released.wait(60)
        return 200, {}

    def environment(self, home: Path, user=USER, key=KEY):
        "What the real command needs in order to talk to this server, and to nobody else, as somebody else."
        proxy = f"http://127.0.0.1:{self.server.server_address[1]}"
        kept = {name: value for name, value in os.environ.items() if not name.upper().startswith(("KAGGLE", "ASLKIT"))}
        proxies = {name: proxy for word in ("http_proxy", "https_proxy") for name in (word, word.upper())}
        account = {"KAGGLE_USERNAME": user, "KAGGLE_KEY": key} if key else {}
        private = {"HOME": str(home), "KAGGLE_CONFIG_DIR": str(home / ".kaggle"), "NO_PROXY": "", "no_proxy": ""}
        return {**kept, **proxies, **account, **private, "KAGGLE_API_ENVIRONMENT": "LOCALHOST"}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    standin: KaggleStandIn

    def log_message(self, *words):
        pass

    def answer(self):
        data = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        call = urlsplit(self.path).path.rsplit("/", 1)[-1] if self.command != "CONNECT" else self.path
        body = json.loads(data) if data else None
        self.standin.requests.append({"method": self.command, "call": call, "body": body})
        reply = self.standin.answers.get(call, (403, {}) if self.command == "CONNECT" else (404, {}))
        status, content = reply(body) if callable(reply) else reply
        text = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    do_GET = do_POST = do_CONNECT = answer
