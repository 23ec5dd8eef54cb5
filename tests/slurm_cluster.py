"""A real Slurm of one node for tests: munged, slurmctld and slurmd in a folder, on free ports, always ended.

Debian's packages slurmctld, slurmd, slurm-client and munge; no systemd, no accounting.
"""

from __future__ import annotations

import getpass
import os
import secrets
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.programs import free_port, wait_for

_CONFIGURATION = """\
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller}
SlurmdPort={node}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.sock,cred_expire=5
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/none
MailProg=/bin/true
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmdParameters=config_overrides
ReturnToService=2
SlurmdTimeout=5
KillWait=2
MessageTimeout=5
SchedulerParameters=sched_min_interval=100000,batch_sched_delay=0,bf_interval=1
NodeName={host} NodeAddr=127.0.0.1 CPUs=2 State=UNKNOWN
PartitionName=main Nodes={host} Default=YES MaxTime=INFINITE State=UP
"""


class Cluster:
    """The three daemons.

    Args:
        folder: Where all their files go.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.configuration = folder / "slurm.conf"
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        for name in ("state", "spool"):
            (folder / name).mkdir()
        key = folder / "munge.key"
        key.write_bytes(secrets.token_bytes(128))
        key.chmod(0o600)
        self.configuration.write_text(
            _CONFIGURATION.format(
                host=socket.gethostname().split(".")[0],
                controller=free_port(),
                node=free_port(),
                user=getpass.getuser(),
                folder=folder,
            )
        )

    @property
    def environment(self) -> dict[str, str]:
        sbin = f"{os.environ['PATH']}:/usr/sbin:/sbin"
        return {**os.environ, "SLURM_CONF": str(self.configuration), "PATH": sbin}

    def _start(self, name: str, *command: str) -> None:
        with (self.folder / f"{name}.txt").open("ab") as log:
            self._running[name] = subprocess.Popen(
                # ended with this process, however that ends
                ["setpriv", "--pdeathsig", "KILL", *command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self.environment,
                start_new_session=True,
            )

    def start_munge(self) -> None:
        files = {
            "socket": "sock",
            "key-file": "key",
            "log-file": "log",
            "pid-file": "pid",
            "seed-file": "seed",
        }
        options = [f"--{option}={self.folder}/munge.{end}" for option, end in files.items()]
        # its caution about the permissions of /tmp is for real clusters
        self._start("munged", "munged", "--foreground", "--force", *options)
        wait_for((self.folder / "munge.sock").exists, 20, "munged")

    def start_controller(self, *more: str) -> None:
        self._start("slurmctld", "slurmctld", "-D", "-f", str(self.configuration), *more)
        wait_for(lambda: self.ask("scontrol", "ping").returncode == 0, 30, f"slurmctld ({self.folder})")

    def start_node(self) -> None:
        self._start("slurmd", "slurmd", "-D", "-f", str(self.configuration))

    def wait_for_node(self, *states: str) -> None:
        def seen() -> bool:
            return self.node_state() in states

        try:
            wait_for(seen, 60, f"the node to be {' or '.join(states)}")
        except AssertionError as error:
            log = (self.folder / "slurmctld.txt").read_text()[-2000:]
            raise AssertionError(f"{error}; it is {self.node_state()}; {log}") from None

    def node_state(self) -> str:
        """As sinfo has it; empty while the controller is away."""
        return self.ask("sinfo", "--noheader", "--format=%T").stdout.strip()

    def end(self, name: str) -> None:
        """End a daemon as hard as can be."""
        process = self._running.pop(name)
        process.kill()
        process.wait()

    def stop(self, name: str) -> None:
        """End a daemon in order: it saves its state and ends its own children."""
        self._running[name].terminate()
        with suppress(subprocess.TimeoutExpired):
            self._running[name].wait(15)
        self.end(name)

    def mend(self) -> None:
        """Start whatever does not run, and wait for the node: no test pays for another's failure."""
        if "slurmctld" not in self._running:
            self.start_controller()
        if "slurmd" not in self._running:
            self.start_node()
        self.ask("scancel", "--user", str(os.getuid()))
        host = socket.gethostname().split(".")[0]
        self.ask("scontrol", "update", f"nodename={host}", "state=resume")
        self.wait_for_node("idle")

    def ask(self, *command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command, env=self.environment, capture_output=True, text=True, timeout=60, check=False
        )

    def number_of(self, label: str) -> int:
        """How many jobs of a name there are, ended ones too."""
        return len(self.ask("squeue", "--noheader", "--states=all", f"--name={label}").stdout.splitlines())

    def kill_jobs(self) -> None:
        """End all that jobs run on the node, as a power cut does; they outlive slurmd otherwise."""
        mark = f"SLURM_CONF={self.configuration}".encode()
        daemons = {process.pid for process in self._running.values()}
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit() and int(entry.name) not in {os.getpid(), *daemons}:
                with suppress(OSError):
                    if mark in (entry / "environ").read_bytes().split(b"\0"):
                        os.kill(int(entry.name), signal.SIGKILL)

    def close(self) -> None:
        for name in ("slurmd", "slurmctld", "munged"):
            if name in self._running:
                self.stop(name)
        self.kill_jobs()


@contextmanager
def slurm_cluster(folder: Path) -> Iterator[Cluster]:
    """A cluster that runs meanwhile."""
    cluster = Cluster(folder)
    try:
        cluster.start_munge()
        cluster.start_controller()
        cluster.start_node()
        cluster.wait_for_node("idle")
        yield cluster
    finally:
        cluster.close()
