"""A run on a Ray cluster of two hosts, which are network namespaces of this machine: are its folders the same bytes?

    sudo python benchmarks/two_hosts.py

Each host has a name and an address of its own, and they see one another over a pair of virtual network cards alone. The
head of the cluster and the driver are on the first, a node on the second; each has one core, so that of two actors one
is on each. Files are shared, as by a shared folder. It needs Linux, Ray (extra `cluster`) and the right to make
namespaces.
"""

import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TextIO

from workers import Where, content, nothing, recipe

from mmsteer.workers import opened

HOSTS = {"mmsteer-a": "10.213.77.1", "mmsteer-b": "10.213.77.2"}
"""Names of the namespaces, which are those of the hosts and of their network cards, too; and addresses."""
HEAD, NODE = HOSTS
PORT, CLIENTS = 6379, 10001
REFUSED = 3
"""Exit code where this machine makes no namespaces."""
# Of all processes here, so that pieces are found by their module.
ENVIRONMENT = os.environ | {
    "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path]),
    "RAY_AUTH_MODE": "disabled",
}


def main() -> None:
    """Run, or say what was refused."""
    if sys.argv[1:] == ["where"]:
        with opened(f"2@ray://{HOSTS[HEAD]}:{CLIENTS}", nothing) as made:
            found = [host for _, host in made.map([Where(at) for at in range(16)])]
        print(json.dumps({"driver": platform.node(), "pieces": {host: found.count(host) for host in sorted(found)}}))
        return
    try:
        with hosts(), cluster(), tempfile.TemporaryDirectory() as place:
            compare(Path(place))
    except Refused as refused:
        print(refused, file=sys.stderr)
        sys.exit(REFUSED)


class Refused(Exception):
    """This machine makes no namespaces."""


def compare(place: Path) -> None:
    """Print on which hosts pieces were done, and what differs between a run there and one without workers."""
    print(on(HEAD, __file__, "where").stdout.splitlines()[-1])
    path, folders = recipe(place), {}
    for workers in (None, f"2@ray://{HOSTS[HEAD]}:{CLIENTS}"):
        out, words = place / f"run-{bool(workers)}", ["--workers", workers] if workers else []
        on(HEAD, "-m", "mmsteer", "run", path, "--out", out, "--quiet", *words)
        folders[workers] = content(out)
    alone, shared = folders.values()
    differ = [name for name in alone | shared if alone.get(name) != shared.get(name)]
    print(json.dumps({"files": len(alone), "differing": differ}))


@contextmanager
def hosts() -> Iterator[None]:
    """The two namespaces, joined by a pair of network cards.

    Raises:
        Refused: They cannot be made.
    """
    with ExitStack() as stack:
        for name in HOSTS:
            _ip("netns", "add", name)
            stack.callback(subprocess.run, ["ip", "netns", "delete", name], check=False)
        _ip("link", "add", HEAD, "netns", HEAD, "type", "veth", "peer", "name", NODE, "netns", NODE)
        for name, address in HOSTS.items():
            for words in (["addr", "add", f"{address}/24", "dev", name], ["link", "set", name, "up"]):
                _ip("-n", name, *words)
            _ip("-n", name, "link", "set", "lo", "up")
            # Ray finds out a host's address by the way that it would take elsewhere.
            _ip("-n", name, "route", "add", "default", "dev", name)
        yield


@contextmanager
def cluster() -> Iterator[None]:
    """A Ray cluster of both."""
    own = {HEAD: ["--head", "--port", PORT, "--ray-client-server-port", CLIENTS, "--include-dashboard", "false"]}
    own[NODE] = ["--address", f"{HOSTS[HEAD]}:{PORT}"]
    size = ["--num-cpus", 1, "--num-gpus", 0, "--object-store-memory", 100_000_000, "--disable-usage-stats"]
    with ExitStack() as stack:
        for name, place in own.items():
            command = ["-m", "ray.scripts.scripts", "start", "--block", "--node-ip-address", HOSTS[name], *place, *size]
            log = stack.enter_context(tempfile.TemporaryFile("w+"))
            words = _in(name, command)
            running = subprocess.Popen(words, stdout=log, stderr=log, start_new_session=True, env=ENVIRONMENT)
            stack.callback(running.wait)
            stack.callback(running.terminate)
            _answering(name, running, log)
        yield


def _answering(name: str, running: "subprocess.Popen[bytes]", log: TextIO) -> None:
    """Wait until the cluster counts the host's core.

    Raises:
        SystemExit: It never does.
    """
    script = f"import ray; ray.init(address='{HOSTS[HEAD]}:{PORT}', logging_level='ERROR', log_to_driver=False)"
    script += "; print(ray.cluster_resources().get('CPU'))"
    wanted = list(HOSTS).index(name) + 1
    for _ in range(8):
        done = subprocess.run(_in(HEAD, ["-c", script]), capture_output=True, text=True, check=False, env=ENVIRONMENT)
        if done.stdout.strip().endswith(f"{wanted}.0"):
            return
        if running.poll() is not None:
            break
        time.sleep(1)
    log.seek(0)
    raise SystemExit(f"Ray does not come up on {name}: {done.stderr[-500:]}\n{log.read()[-2000:]}")


def on(name: str, *words: object) -> subprocess.CompletedProcess[str]:
    """Python in a namespace.

    Raises:
        SystemExit: It failed.
    """
    done = subprocess.run(_in(name, words), capture_output=True, text=True, check=False, env=ENVIRONMENT)
    if done.returncode:
        raise SystemExit(f"on {name}, {' '.join(map(str, words))}: {done.stderr[-2000:]}")
    return done


def _in(name: str, words: Sequence[object]) -> list[str]:
    # Names of hosts are asked of nobody: there is no way to a server that knows them.
    script = 'hostname "$0" && mount --bind /dev/null /etc/resolv.conf && exec "$@"'
    named = ["unshare", "--uts", "--mount", "sh", "-c", script, name, sys.executable]
    return ["ip", "netns", "exec", name, *named, *map(str, words)]


def _ip(*words: str) -> None:
    try:
        done = subprocess.run(["ip", *words], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise Refused("there is no program ip (iproute2)") from None
    if done.returncode:
        raise Refused(f"ip {' '.join(words)}: {done.stderr.strip()} (user {os.getuid()})")


if __name__ == "__main__":
    main()
