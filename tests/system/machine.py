# SPDX-License-Identifier: LGPL-2.1-or-later
"""A virtual machine with a TPM, without KVM: Debian's kernel, the host's root below an overlay on a disk of its own, a TPM CRB
device on swtpm, systemd as process 1. Killing it is a power cut: what the guest had not synced is gone."""

import glob
import lzma
import os
import shutil
import subprocess
import tempfile
import time

# In the order of what needs what.
MODULES = ["drivers/virtio/virtio_ring", "drivers/virtio/virtio", "drivers/virtio/virtio_pci_legacy_dev",
           "drivers/virtio/virtio_pci_modern_dev", "drivers/virtio/virtio_pci", "drivers/block/virtio_blk", "fs/fuse/fuse",
           "fs/fuse/virtiofs", "fs/overlayfs/overlay"]
VIRTIOFSD = ["/usr/lib/qemu/virtiofsd", "/usr/libexec/virtiofsd"]
BUSYBOX = "/bin/busybox"
GENERATORS = "/usr/lib/systemd/system-generators"
KERNEL_PACKAGE = "linux-image-cloud-amd64"

# Of the host's services, what a device would not have, and what takes time or the TPM.
MASKED = ["apt-daily.timer", "apt-daily-upgrade.timer", "dpkg-db-backup.timer", "e2scrub_all.timer", "e2scrub_reap.service",
          "fstrim.timer", "man-db.timer", "mosquitto.service", "nginx.service", "postgresql.service", "tpm2-abrmd.service",
          "systemd-timesyncd.service", "systemd-pstore.service", "systemd-hwdb-update.service", "getty.target", "ldconfig.service",
          "systemd-networkd.service", "serial-getty@ttyS0.service", "systemd-update-done.service", "ssh.service",
          "systemd-firstboot.service", "redis-server.service", "docker.service", "containerd.service", "cron.service",
          "apparmor.service", "systemd-binfmt.service", "ifupdown-pre.service", "networking.service", "haproxy.service",
          "openvpn.service", "stunnel4.service", "hostapd.service", "tmp.mount"]

INIT = """#!/bin/busybox sh
/bin/busybox --install -s /bin
mount -t devtmpfs none /dev
mount -t proc none /proc
for module in {modules}; do insmod /modules/$module.ko || echo "no module $module"; done
mount -t virtiofs host /host || poweroff -f
mount -t ext4 /dev/vda /disk || poweroff -f
mkdir -p /disk/work
[ -d /disk/upper ] || cp -a /host{seed} /disk/upper || poweroff -f
mount -t overlay -o lowerdir=/host,upperdir=/disk/upper,workdir=/disk/work root /new || poweroff -f
# systemd mounts securityfs only where it does not take the machine for a container.
rm -f /new/.dockerenv /new/run/.containerenv
mount -t tmpfs tmpfs /new/run
umount /proc
mount --move /dev /new/dev
exec switch_root /new /lib/systemd/systemd
"""


class Missing(Exception):
    """Something that a machine needs is not here."""


def find_kernel(cache):
    """Directory with Debian's kernel and its modules, unpacked and not installed; downloaded once."""
    directory = os.path.join(cache, "kernel")
    if not glob.glob(directory + "/boot/vmlinuz-*"):
        if not shutil.which("apt-get"):
            raise Missing("there is no apt-get to download Debian's kernel with")
        os.makedirs(directory, exist_ok=True)
        depends = subprocess.run(["apt-cache", "depends", KERNEL_PACKAGE], capture_output=True, text=True, check=False)
        packages = [line.split()[-1] for line in depends.stdout.splitlines() if "Depends: linux-image-" in line]
        if not packages:
            raise Missing(f"apt knows no {KERNEL_PACKAGE}; apt-get update may help")
        with tempfile.TemporaryDirectory() as scratch:
            os.chmod(scratch, 0o777)
            got = subprocess.run(["apt-get", "download", packages[0]], cwd=scratch, capture_output=True, text=True, check=False,
                                 timeout=120)
            files = glob.glob(scratch + "/*.deb")
            if got.returncode != 0 or not files:
                raise Missing(f"{packages[0]} cannot be downloaded: {got.stderr.strip()}")
            subprocess.run(["dpkg", "-x", files[0], directory], check=True)
    return directory


def requirements():
    """Raises Missing for what is not here."""
    if os.geteuid() != 0:
        raise Missing("sharing the host's root with a virtual machine takes root")
    if os.uname().machine != "x86_64":
        raise Missing("the machine is an x86-64 one, and emulating it elsewhere takes too long")
    for program in ("qemu-system-x86_64", "swtpm", "mkfs.ext4", "cpio"):
        if not shutil.which(program):
            raise Missing(f"there is no {program}")
    if not os.path.exists(BUSYBOX) or b"statically" not in subprocess.run(["file", "-bL", BUSYBOX], capture_output=True,
                                                                         check=False).stdout:
        raise Missing(f"{BUSYBOX} is not static (Debian's busybox-static)")
    if not any(os.path.exists(path) for path in VIRTIOFSD):
        raise Missing("there is no virtiofsd")


class Machine:
    def __init__(self, scratch, kernel, seed):
        self.scratch, self.seed = scratch, seed
        self.vmlinuz = glob.glob(kernel + "/boot/vmlinuz-*")[0]
        self.modules = (glob.glob(kernel + "/lib/modules/*/kernel") + glob.glob(kernel + "/usr/lib/modules/*/kernel"))[0]
        self.disk = os.path.join(scratch, "disk.img")
        self.processes = []
        self.boots = 0
        os.makedirs(scratch, exist_ok=True)
        with open(self.disk, "wb") as file:
            file.truncate(2 << 30)
        subprocess.run(["mkfs.ext4", "-q", "-F", "-E", "lazy_itable_init=1,lazy_journal_init=1", self.disk], check=True)
        self._mask()
        self._make_initramfs()

    def _mask(self):
        directory = os.path.join(self.seed, "etc/systemd/system")
        os.makedirs(directory, exist_ok=True)
        for unit in MASKED:
            if not os.path.lexists(os.path.join(directory, unit)):
                os.symlink("/dev/null", os.path.join(directory, unit))

        # Generators run at each daemon-reload too, of which the checks make many; a device like this one needs none.
        generators = os.path.join(self.seed, "etc/systemd/system-generators")
        os.makedirs(generators, exist_ok=True)
        for name in os.listdir(GENERATORS) if os.path.isdir(GENERATORS) else []:
            if not os.path.lexists(os.path.join(generators, name)):
                os.symlink("/dev/null", os.path.join(generators, name))

    def _copy_module(self, module, target):
        path = os.path.join(self.modules, module + ".ko")
        if os.path.exists(path):
            shutil.copy(path, target)
        else: # as Debian 13 has them
            with lzma.open(path + ".xz") as packed, open(target, "wb") as file:
                shutil.copyfileobj(packed, file)

    def _make_initramfs(self):
        root = os.path.join(self.scratch, "initramfs")
        for name in ("bin", "modules", "dev", "proc", "host", "disk", "new"):
            os.makedirs(os.path.join(root, name))
        shutil.copy(BUSYBOX, root + "/bin/busybox")
        with open(os.path.join(os.path.dirname(self.modules), "modules.builtin"), encoding="ascii") as file:
            builtin = file.read()
        modules = [module for module in MODULES if f"kernel/{module}.ko\n" not in builtin]
        for module in modules:
            self._copy_module(module, os.path.join(root, "modules", os.path.basename(module) + ".ko"))
        with open(root + "/init", "w", encoding="ascii") as file:
            file.write(INIT.format(seed=self.seed, modules=" ".join(os.path.basename(m) for m in modules)))
        os.chmod(root + "/init", 0o755)
        self.initramfs = os.path.join(self.scratch, "initramfs.cpio")
        with open(self.initramfs, "wb") as out:
            names = subprocess.run(["find", "."], cwd=root, capture_output=True, check=True).stdout
            subprocess.run(["cpio", "-o", "-H", "newc", "--quiet"], cwd=root, input=names, stdout=out, check=True)

    def _start(self, *command):
        log = open(os.path.join(self.scratch, f"{os.path.basename(command[0])}.{self.boots}.log"), "wb")
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.scratch)
        self.processes.append(process)
        return process

    def _await_socket(self, path):
        end = time.monotonic() + 20
        while not os.path.exists(path):
            if time.monotonic() > end or self.processes[-1].poll() is not None:
                raise RuntimeError(f"{path}: {self.processes[-1].args[0]} does not listen")
            time.sleep(0.02)

    def boot(self, tpm, command_line=""):
        """Boots with the TPM whose state is in the directory `tpm`; results() then gives what the guest says."""
        self.boots += 1
        os.makedirs(tpm, exist_ok=True)
        fs, control = (os.path.join(self.scratch, f"{name}.{self.boots}") for name in ("fs", "tpm-control"))
        self.results_path = os.path.join(self.scratch, f"results.{self.boots}")
        self.console_path = os.path.join(self.scratch, f"console.{self.boots}")
        open(self.results_path, "wb").close()
        self._start("swtpm", "socket", "--tpm2", "--tpmstate", f"dir={tpm}", "--ctrl", f"type=unixio,path={control}", "--flags",
                    "startup-clear")
        self._await_socket(control)
        virtiofsd = next(path for path in VIRTIOFSD if os.path.exists(path))
        self._start(virtiofsd, f"--socket-path={fs}", "-o", "source=/", "-o", "cache=always", "-o", "sandbox=chroot")
        self._await_socket(fs)
        self.qemu = self._start(
            "qemu-system-x86_64", "-machine", "q35", "-accel", "tcg,thread=multi", "-cpu", "max", "-smp", "2", "-m", "1536",
            "-object", "memory-backend-memfd,id=memory,size=1536M,share=on", "-numa", "node,memdev=memory",
            "-chardev", f"socket,id=fs,path={fs}", "-device", "vhost-user-fs-pci,chardev=fs,tag=host",
            "-drive", f"file={self.disk},if=virtio,format=raw,cache=writeback",
            "-chardev", f"socket,id=tpm,path={control}", "-tpmdev", "emulator,id=tpm0,chardev=tpm",
            "-device", "tpm-crb,tpmdev=tpm0",
            "-kernel", self.vmlinuz, "-initrd", self.initramfs,
            # no_timer_check: on a busy host the emulated timer may miss what the kernel gives it, which then panics.
            # SYSTEMD_LOG_SECCOMP: what is no option of the kernel becomes systemd's environment, and that has refused system
            # calls logged.
            "-append", "console=ttyS0 quiet panic=-1 no_timer_check apparmor=1 lsm=apparmor,bpf systemd.show_status=no "
            "systemd.firstboot=no SYSTEMD_LOG_SECCOMP=1 " + command_line,
            "-serial", f"file:{self.console_path}", "-serial", f"file:{self.results_path}",
            "-nic", "none", "-display", "none", "-no-reboot")

    def results(self, timeout):
        """Lines that the guest wrote, as they come, until the machine is off; TimeoutError."""
        end = time.monotonic() + timeout
        rest, position = "", 0
        while True:
            ended = self.qemu.poll() is not None
            with open(self.results_path, encoding="utf-8", errors="replace") as file:
                file.seek(position)
                rest += file.read()
                position = file.tell()
            *lines, rest = rest.split("\n")
            for line in lines:
                yield line.rstrip("\r")
            if ended:
                return
            if time.monotonic() > end:
                raise TimeoutError(f"the machine is not done after {timeout} s")
            time.sleep(0.05)

    def cut_power(self):
        """Also ends what the machine stood on. Harmless when it is off."""
        for process in reversed(self.processes):
            if process.poll() is None:
                process.kill()
            process.wait()
        self.processes = []

    def off(self):
        """After an orderly shutdown: everything else ends by itself."""
        for process in reversed(self.processes):
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self.processes = []

    def console(self):
        with open(self.console_path, encoding="utf-8", errors="replace") as file:
            return file.read()
