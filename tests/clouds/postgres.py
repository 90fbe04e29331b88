"""PostgreSQL for tests: the server that DATABASE_URL names, else one of this machine, else that of the
package pgserver. A server of our own is new, listens on loopback, and is gone with whoever started this.

It says first where it is, and then answers `{"do": "pooler"}` with the port of a PgBouncer in transaction
mode before it, or with nothing where this machine has none.

`--durable` has it wait for the disk, as in production: for measuring.
"""

import glob
import importlib.util
import json
import os
import pathlib
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time

LEAST = 15


def binaries():
    """The folder with a server of at least version 15, and whether a user without rights may use it there."""
    found = [shutil.which("postgres")] + sorted(glob.glob("/usr/lib/postgresql/*/bin/postgres"), reverse=True)
    for path in filter(None, found):
        said = subprocess.run([path, "--version"], capture_output=True, text=True).stdout
        if said and int(said.split()[2].split(".")[0]) >= LEAST:
            return pathlib.Path(path).resolve().parent, True
    package = importlib.util.find_spec("pgserver")
    return pathlib.Path(package.origin).parent / "pginstall" / "bin", False


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def unprivileged():
    """What to begin a command with: neither initdb nor PgBouncer runs as root."""
    if os.getuid() != 0:
        return []
    return ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups", "env", "HOME=/tmp"]


def answers(port):
    """Whether a server lets us in: one that is starting up listens already, and says no."""
    words = b"user\0amend\0database\0postgres\0\0"
    try:
        with socket.create_connection(("127.0.0.1", port), 5) as one:
            # The start-up message of protocol 3.0; `R` begins the answer to who may come in.
            one.sendall(struct.pack("!ii", 8 + len(words), 196_608) + words)
            return one.recv(1) == b"R"
    except OSError:
        return False


def wait(port, process, what):
    """Waits until it answers."""
    end = time.monotonic() + 60
    while time.monotonic() < end:
        if process.poll() is not None:
            sys.exit(f"{what} ended")
        if answers(port):
            return
        time.sleep(0.02)
    sys.exit(f"{what} does not answer")


class Server:
    def __init__(self, folder, durable):
        self.folder, self.processes = folder, []
        os.chmod(folder, 0o777)
        programs, anybody = binaries()
        if os.getuid() == 0 and not anybody:
            # The package, and the libraries that stand beside it.
            packages = programs.parents[2]
            for name in ("pgserver", "pgserver.libs"):
                shutil.copytree(packages / name, folder / "server" / name, symlinks=True)
            programs = folder / "server" / programs.relative_to(packages)
        data, run = folder / "data", folder / "run"
        run.mkdir(mode=0o777)
        os.chmod(run, 0o777)
        made = subprocess.run(
            [*unprivileged(), programs / "initdb", "-D", data, "-A", "trust", "-U", "amend", "-E", "UTF8"],
            cwd=folder, capture_output=True, text=True,
        )
        if made.returncode:
            sys.exit(f"initdb: {made.stderr}")
        self.port = free_port()
        settings = ["-c", "listen_addresses=127.0.0.1", "-c", "max_connections=200"]
        settings += [] if durable else ["-F"]
        self.start([programs / "postgres", "-D", data, "-p", str(self.port), "-k", run, *settings], "postgres")
        wait(self.port, self.processes[-1], "PostgreSQL")

    def start(self, command, log):
        with open(self.folder / f"{log}.log", "wb") as out:
            self.processes.append(
                subprocess.Popen([*unprivileged(), *command], cwd=self.folder, stdout=out, stderr=subprocess.STDOUT)
            )

    def pooler(self):
        """Starts a PgBouncer that hands out connections by the transaction."""
        program = shutil.which("pgbouncer") or shutil.which("/usr/sbin/pgbouncer")
        if not program:
            return None
        port = free_port()
        settings = self.folder / "pgbouncer.ini"
        settings.write_text(
            f"[databases]\n* = host=127.0.0.1 port={self.port}\n"
            f"[pgbouncer]\nlisten_addr=127.0.0.1\nlisten_port={port}\nunix_socket_dir=\n"
            "auth_type=any\npool_mode=transaction\ndefault_pool_size=3\nmax_client_conn=200\nlogfile=\n"
            # Every test has a database, and so a pool of its own, which would keep its connections.
            "server_idle_timeout=2\n"
        )
        # `auth_type=any` ignores who asks: the server is told a user that is there.
        text = settings.read_text().replace("host=127.0.0.1", "host=127.0.0.1 user=amend")
        settings.write_text(text)
        self.start([program, settings], "pgbouncer")
        wait(port, self.processes[-1], "PgBouncer")
        return port

    def stop(self):
        for process in reversed(self.processes):
            process.send_signal(signal.SIGINT if process is not self.processes[0] else signal.SIGQUIT)
        for process in self.processes:
            process.wait()


def serve(hello, pooler):
    print(json.dumps(hello), flush=True)
    for line in sys.stdin:
        command = json.loads(line)
        if command.get("do") == "pooler":
            print(json.dumps({"port": pooler()}), flush=True)
        else:
            print(json.dumps({"error": f"unknown: {line}"}), flush=True)


def main():
    given = os.environ.get("DATABASE_URL")
    if given:
        serve({"url": given, "given": True}, lambda: None)
        return
    with tempfile.TemporaryDirectory(prefix="amend-postgres-") as folder:
        server = Server(pathlib.Path(folder), "--durable" in sys.argv)
        try:
            serve({"url": f"postgres://amend@127.0.0.1:{server.port}/postgres"}, server.pooler)
        finally:
            server.stop()


main()
