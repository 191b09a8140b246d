"""A stand-in for Kaggle's API on the loopback: it answers the real `kaggle` command and keeps what arrived.

with KaggleStandIn() as kaggle:
    subprocess.run(["kaggle", "kernels", "push", "-p", folder], env=kaggle.environment(home))
    kaggle.received("SaveKernel")

It keeps notebooks by version, lets each run through the states it is told, hands out what they "wrote", and takes submissions.
The command is sent here as to a proxy, so nothing leaves the machine: an attempt to reach a real host by HTTPS arrives as
CONNECT, is kept and refused.
"""

import contextlib
import json
import os
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

USER, KEY = "ada", "0123456789abcdef0123456789abcdef"  # nobody's
HOST = "http://localhost"
MODIFIED = {"Last-Modified": "Mon, 01 Jan 2024 00:00:00 GMT"}


class KaggleStandIn:
    "Answers each call by its last word, as set in `answers`: name -> function of the body, giving (status, JSON or bytes)."

    def __init__(self):
        self.requests = []  # dicts: method, call, body
        self.answers = {
            "SaveKernel": self.save_kernel,
            "GetKernel": self.get_kernel,
            "GetKernelSessionStatus": self.session_status,
            "ListKernelSessionOutput": self.session_output,
            "ListKernelFiles": self.list_files,
            "CreateCodeSubmission": self.create_submission,
            "ListSubmissions": lambda body: (200, {"submissions": self.submissions}),
            "GetSubmissionLimits": lambda body: (200, {"numAllowedNow": 4}),
            "DownloadDataFiles": lambda body: (302, b"", {"Location": f"{HOST}/blob/{body['competitionName']}.zip"}),
        }
        self.faults = {}  # name -> answers to give first, one a call
        self.kernels = {}  # user/notebook -> the text of each version
        self.states = ["COMPLETE"]  # what the next questions for a status are answered with; the last one stays
        self.failure = ""  # the message beside a state
        self.outputs = {}  # user/notebook, or "" for any -> {name: bytes}
        self.log = "[]"
        self.blobs = {}  # file name -> bytes, to download
        self.submissions = []
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

    # What Kaggle does when all is well

    def save_kernel(self, body):
        versions = self.kernels.setdefault(body["slug"], [])
        versions.append(body["text"])
        lists = ("invalidTags", "invalidDatasetSources", "invalidCompetitionSources", "invalidKernelSources")
        answer = {"ref": f"/code/{body['slug']}", "url": f"https://www.kaggle.com/code/{body['slug']}"}
        return 200, answer | {"versionNumber": len(versions)} | {name: [] for name in lists}

    def get_kernel(self, body):
        slug, _, version = body["kernelSlug"].partition("/")
        versions = self.kernels.get(f"{body['userName']}/{slug}", [])
        if not 1 <= int(version or 1) <= len(versions):
            return 404, {"code": 404, "message": "Not found"}
        notebook = json.loads(versions[int(version or 0) - 1])
        notebook["metadata"]["kaggle"] = {"isInternetEnabled": False}  # the real one adds things of its own
        blob = {"source": json.dumps(notebook), "language": "python", "kernelType": "notebook", "slug": slug}
        return 200, {"metadata": {"ref": f"{body['userName']}/{slug}", "title": slug}, "blob": blob}

    def session_status(self, body):
        state = self.states.pop(0) if len(self.states) > 1 else self.states[0]
        return 200, {"status": state, "failureMessage": self.failure if state == "ERROR" else ""}

    def written(self, body):
        name = f"{body['userName']}/{body['kernelSlug']}"
        return self.outputs.get(name, self.outputs.get("", {}))

    def session_output(self, body):
        files = []
        for name, content in self.written(body).items():
            self.blobs[f"{body['kernelSlug']}/{name}"] = content
            files.append({"fileName": name, "url": f"{HOST}/blob/{body['kernelSlug']}/{name}"})
        return 200, {"files": files, "log": self.log, "nextPageToken": ""}

    def list_files(self, body):
        files = [{"name": name, "size": len(c), "creationDate": "2024-01-01"} for name, c in self.written(body).items()]
        return 200, {"files": files, "nextPageToken": ""}

    def create_submission(self, body):
        about = {"ref": len(self.submissions) + 1, "fileName": body["fileName"], "date": "2024-01-01T00:00:00Z"}
        self.submissions.append(about | {"description": body["submissionDescription"], "status": "PENDING"})
        return 200, {"message": "Successfully submitted to the stand-in", "ref": about["ref"]}

    # What it does when not

    def hang(self, body):
        "No answer until the test is over."
        self.released.wait(60)
        return 200, {}

    def after(self, call, answer):
        "An answer for `faults`: do what was asked, then say something else."

        def both(body):
            self.answers[call](body)
            return answer(body) if callable(answer) else answer

        return both

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

    def find(self, call, body):
        "Status, content and headers."
        standin, path = self.standin, unquote(urlsplit(self.path).path)
        if self.command == "CONNECT":
            return 403, {}
        if path.startswith("/blob/"):
            content = standin.blobs.get(path.removeprefix("/blob/"))
            call, reply = "blob", (404, {}) if content is None else (200, content, MODIFIED)
        else:
            reply = standin.answers.get(call, (404, {}))
        if standin.faults.get(call):
            reply = standin.faults[call].pop(0)
        return reply(body) if callable(reply) else reply

    def answer(self):
        data = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        call = urlsplit(self.path).path.rsplit("/", 1)[-1] if self.command != "CONNECT" else self.path
        body = json.loads(data) if data else None
        self.standin.requests.append({"method": self.command, "call": call, "body": body})
        status, content, *headers = self.find(call, body)
        text = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        if not isinstance(content, bytes):
            self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        for name, value in [item for some in headers for item in some.items()]:
            self.send_header(name, value)
        with contextlib.suppress(ConnectionError):  # who asked may have given up
            self.end_headers()
            self.wfile.write(text)

    do_GET = do_POST = do_CONNECT = answer
