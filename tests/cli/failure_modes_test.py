#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What the program leaves behind when the disk is full or read-only and when it is stopped or
killed: the old files, whole, and nothing half-written under a name that anyone would open.

Usage: failure_modes_test.py PROGRAM [unittest arguments]
"""

import hashlib
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest
from pathlib import Path

import tiny_model

PROGRAM = None
OVERWRITE = ["quantize", "big", "disk/out", "--scheme", "int8", "--overwrite", "--quiet"]


def snapshot(folder):
    """Hashes of all files by path, temporary folders left out."""
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in sorted(folder.rglob("*"))
            if path.is_file() and not path.relative_to(folder).parts[0].endswith(".tmp")}


def can_mount():
    """Whether a process may mount file systems for itself and its children."""
    with tempfile.TemporaryDirectory() as folder:
        return subprocess.run(["unshare", "--mount", "mount", "-t", "tmpfs", "none", folder],
                              capture_output=True, check=False).returncode == 0


class FailureModes(unittest.TestCase):
    """Each test has a big model, which is quantized over a small one at disk/out."""

    @classmethod
    def setUpClass(cls):
        cls.shared = Path(tempfile.mkdtemp(prefix="nibble-failure-"))
        cls.addClassCleanup(shutil.rmtree, cls.shared)
        tiny_model.write_model(cls.shared / "big", zeros=True, hidden=256, layers=4)
        tiny_model.write_model(cls.shared / "small", hidden=16, layers=1)
        (cls.shared / "small/notes.txt").write_text("mine")

    def setUp(self):
        self.folder = Path(tempfile.mkdtemp(prefix="nibble-failure-"))
        self.addCleanup(shutil.rmtree, self.folder)
        (self.folder / "big").symlink_to(self.shared / "big")
        self.out = self.folder / "disk/out"
        shutil.copytree(self.shared / "small", self.out)
        self.old = snapshot(self.out)

    def start(self, *arguments, **options):
        return subprocess.Popen([PROGRAM, *arguments], cwd=self.folder, stdin=subprocess.DEVNULL,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options)

    def says(self, process, line, code=1):
        output, errors = process.communicate(timeout=60)
        self.assertEqual((process.returncode, output, errors.decode()),
                         (code, b"", f"nibble: {line}\n"))

    def assert_only_the_old_model_stands(self):
        self.assertEqual(snapshot(self.out), self.old)
        self.assertEqual(os.listdir(self.folder / "disk"), ["out"])

    def new_model(self):
        """What a run that nothing disturbs leaves."""
        with tempfile.TemporaryDirectory() as name:
            shutil.copytree(self.shared / "small", Path(name) / "out")
            subprocess.run([PROGRAM, "quantize", self.shared / "big", Path(name) / "out",
                            *OVERWRITE[3:]], check=True, stdout=subprocess.DEVNULL)
            return snapshot(Path(name) / "out")

    # --- disks ---

    def test_a_file_that_may_not_grow(self):
        def limit():
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, resource.RLIM_INFINITY))

        for command in [OVERWRITE, ["convert", "big", "disk/out", "--overwrite"],
                        ["convert", "big", "disk/fresh"]]:
            with self.subTest(command):
                _, errors = (process := self.start(*command, preexec_fn=limit)).communicate()
                self.assertEqual(process.returncode, 1)
                self.assertRegex(errors.decode(),
                                 r"^nibble: \S+: cannot write file: got File too large\n$")
                self.assert_only_the_old_model_stands()

    def on_mounted_disk(self, options, command):
        """Runs a command while `disk` is a file system of its own; what it holds then comes back to
        the folder when that is over."""
        script = f"""
            set -e
            cp -a disk saved
            mount {options}
            cp -a saved/. disk/ 2>/dev/null || true
            code=0
            "$@" || code=$?
            rm -rf saved && cp -a disk saved
            umount disk
            rm -rf disk && mv saved disk
            exit $code"""
        return subprocess.Popen(["unshare", "--mount", "sh", "-c", script, "sh", PROGRAM, *command],
                                cwd=self.folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    @unittest.skipUnless(can_mount(), "skipped: no right to mount a small disk")
    def test_a_full_disk(self):
        for command in [OVERWRITE, ["convert", "big", "disk/fresh", "--quiet"]]:
            with self.subTest(command):
                process = self.on_mounted_disk("-t tmpfs -o size=1m none disk", command)
                _, errors = process.communicate(timeout=60)
                self.assertEqual(process.returncode, 1)
                self.assertRegex(errors.decode(),
                                 r"^nibble: \S+: cannot write file: got No space left on device\n$")
                self.assert_only_the_old_model_stands()

    @unittest.skipUnless(can_mount(), "skipped: no right to mount a read-only disk")
    def test_a_read_only_disk(self):
        for command in [OVERWRITE, ["convert", "big", "disk/deep/fresh", "--quiet"]]:
            with self.subTest(command):
                process = self.on_mounted_disk("--bind -o ro disk disk", command)
                _, errors = process.communicate(timeout=60)
                self.assertEqual(process.returncode, 1)
                self.assertRegex(
                    errors.decode(),
                    r"^nibble: \S+: cannot create folder: got Read-only file system\n$")
                self.assert_only_the_old_model_stands()

    @unittest.skipIf(os.geteuid() == 0, "skipped: nothing is forbidden to root")
    def test_a_folder_without_permission(self):
        (self.folder / "disk").chmod(0o555)
        self.addCleanup((self.folder / "disk").chmod, 0o755)
        _, errors = (process := self.start(*OVERWRITE)).communicate()
        self.assertEqual(process.returncode, 1)
        self.assertRegex(errors.decode(),
                         r"^nibble: \S+: cannot create folder: got Permission denied\n$")
        self.assert_only_the_old_model_stands()

    def test_an_output_that_takes_nothing(self):
        with open("/dev/full", "wb") as full:
            done = subprocess.run([PROGRAM, "inspect", self.out], stdout=full, stderr=subprocess.PIPE,
                                  check=False)
        self.assertEqual((done.returncode, done.stderr.decode()),
                         (1, "nibble: cannot write to standard output: got No space left on "
                             "device\n"))

    # --- signals ---

    def seconds_of(self, command):
        start = time.monotonic()
        process = self.start(*command)
        process.communicate()
        self.assertEqual(process.returncode, 0)
        seconds = time.monotonic() - start
        shutil.rmtree(self.folder / "disk")
        shutil.copytree(self.shared / "small", self.out)
        return seconds

    def test_stopped_at_any_moment(self):
        new = self.new_model()
        seconds = self.seconds_of(OVERWRITE)
        stops = 10
        for i in range(stops):
            for number in [signal.SIGINT, signal.SIGTERM]:
                with self.subTest(f"{number.name} at {i} of {stops}"):
                    process = self.start(*OVERWRITE)
                    time.sleep(seconds * i / stops)
                    process.send_signal(number)
                    errors = process.communicate(timeout=60)[1].decode()
                    # Before main() the signal does what it does to any program.
                    if process.returncode == 0 or snapshot(self.out) == new:
                        self.assertEqual(snapshot(self.out), new)
                        shutil.rmtree(self.out)
                        shutil.copytree(self.shared / "small", self.out)
                    elif process.returncode != -number:
                        self.assertEqual((process.returncode, errors),
                                         (130, "nibble: interrupted\n"))
                    self.assertEqual(snapshot(self.out), self.old)
                    others = set(os.listdir(self.folder / "disk")) - {"out"}
                    # What is finished waits for --resume.
                    self.assertTrue(all(name.endswith(".tmp") for name in others), others)

    def test_killed_at_any_moment(self):
        new = self.new_model()
        seconds = self.seconds_of(OVERWRITE)
        kills = 25
        seen = []
        for i in range(kills):
            process = self.start(*OVERWRITE)
            time.sleep(1.1 * seconds * i / kills)
            process.kill()
            process.communicate()
            left = snapshot(self.out)
            seen.append("old" if left == self.old else "new" if left == new else "broken")
            self.assertNotEqual(seen[-1], "broken", f"killed after {i} of {kills}: {sorted(left)}")
            # The rests of killed runs disturb nobody.
            done = subprocess.run([PROGRAM, "run", self.out, "-p", "a", "--max-new-tokens", "1"],
                                  capture_output=True, check=False)
            self.assertEqual(done.returncode, 0, done.stderr)
            if seen[-1] == "new":
                shutil.rmtree(self.out)
                shutil.copytree(self.shared / "small", self.out)
        self.assertIn("old", seen)


if __name__ == "__main__":
    PROGRAM = os.path.abspath(sys.argv.pop(1))
    unittest.main()
