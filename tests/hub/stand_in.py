"""A small server with those parts of the hub's API that pushing and fetching use."""

import base64
import hashlib
import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class Hub(BaseHTTPRequestHandler):
    def _answer(self, status, body=b"", kind="application/json", **headers):
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _said(self):
        length = int(self.headers.get("Content-Length") or 0)
        return self.rfile.read(length)

    def _json(self, value, status=200):
        self._answer(status, json.dumps(value).encode())

    def do_POST(self):
        said, repos = self._said(), self.server.repos
        self.server.asked.append(self.path)
        if self.headers.get("Authorization") != "Bearer hf_writer":
            return self._json({"error": "not allowed"}, 401)
        if self.path == "/api/repos/create":
            new = json.loads(said)
            repo = f"{new.get('organization') or 'me'}/{new['name']}"
            status = 409 if repo in repos else 200
            if repo not in repos and (new.get("visibility") == "private" or new.get("private")):
                self.server.private.add(repo)
            repos.setdefault(repo, {})
            return self._json({"url": f"{self.server.url}/{repo}", "id": repo}, status)
        if self.path == "/api/validate-yaml":
            return self._json({"errors": [], "warnings": []})
        _, _, _, owner, name, what, _ = self.path.split("?")[0].split("/")
        if what == "preupload":
            files = json.loads(said)["files"]
            return self._json(
                {"files": [{"path": one["path"], "uploadMode": "regular", "shouldIgnore": False} for one in files]}
            )
        for line in said.splitlines():
            one = json.loads(line)
            if one["key"] == "header" and one["value"].get("parentCommit", COMMIT) != COMMIT:
                return self._json({"error": "changed since"}, 412)
            if one["key"] == "file":
                repos[f"{owner}/{name}"][one["value"]["path"]] = base64.b64decode(one["value"]["content"])
        return self._json({"commitUrl": f"{self.server.url}/{owner}/{name}/commit/{COMMIT}", "commitOid": COMMIT})

    def do_GET(self):
        self.server.asked.append(self.path)
        if self.path.startswith("/api/"):
            repo = "/".join(self.path.split("?")[0].split("/")[3:5])
            files = [{"rfilename": file} for file in self.server.repos.get(repo, {})]
            private = repo in self.server.private
            return self._json({"id": repo, "private": private, "sha": COMMIT, "siblings": files, "tags": []})
        owner, name, _, _, file = self.path.lstrip("/").split("/", 4)
        data = self.server.repos.get(f"{owner}/{name}", {}).get(file)
        if data is None:
            return self._answer(404, b"{}", X_Error_Code="EntryNotFound")
        size = {"X_Linked_Size": self.server.claims[file]} if file in self.server.claims else {}
        etag = hashlib.sha1(data).hexdigest()
        return self._answer(200, data, "application/octet-stream", ETag=f'"{etag}"', X_Repo_Commit=COMMIT, **size)

    do_HEAD = do_GET

    def log_message(self, *_):
        pass


@contextmanager
def hub():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    server.url = f"http://127.0.0.1:{server.server_port}"
    server.repos, server.asked, server.claims, server.private = {}, [], {}, set()
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
