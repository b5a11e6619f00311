#!/usr/bin/env python3
"""Builds container images out of Debian's packages, as OCI image layouts, without a daemon and without root.

image-builder.py OUTPUT makes in the directory OUTPUT one image layout per image of IMAGES below.

Every image is a base layer, the packages that Debian calls essential, and one layer with an application and what it
needs beyond the base. A layer is written straight from the packages' own archives: no maintainer script runs, so
another architecture's packages work as well as this machine's. The same packages give the same bytes.

apt runs with the machine's own sources, keys and Acquire settings, but in directories of its own.
"""

import gzip
import hashlib
import io
import json
import os
import re
import subprocess
import sys
import tarfile
import tempfile
from dataclasses import dataclass
from datetime import datetime, timezone

BASE = ["?essential", "usr-is-merged"]
EPOCH = int(os.environ.get("SOURCE_DATE_EPOCH", "0"))
CREATED = datetime.fromtimestamp(EPOCH, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")

# What slim images leave out: documentation (licences stay) and translations.
LEFT_OUT = re.compile(r"usr/share/(doc/(?!.*/copyright$|[^/]+$)|man/|info/|locale/|lintian/|doc-base/)")
# Packages of this release may still ship /bin and /lib; on a system those are links into /usr.
MERGED = re.compile(r"(bin|sbin|lib|lib32|lib64|libx32)(/|$)")


@dataclass(frozen=True)
class Kind:
    """The media types of one family of images."""

    manifest: str
    config: str
    layer: str


OCI = Kind(
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.oci.image.config.v1+json",
    "application/vnd.oci.image.layer.v1.tar+gzip",
)
DOCKER = Kind(
    "application/vnd.docker.distribution.manifest.v2+json",
    "application/vnd.docker.container.image.v1+json",
    "application/vnd.docker.image.rootfs.diff.tar.gzip",
)
OCI_INDEX = "application/vnd.oci.image.index.v1+json"


@dataclass(frozen=True)
class Image:
    """One image: its name, its package, what it runs, and whether it is one platform's or an index of several."""

    name: str
    package: str
    command: tuple
    user: str = ""
    ports: tuple = ()
    kind: Kind = OCI
    architectures: tuple = ("amd64",)
    index: bool = False


IMAGES = [
    Image("nginx", "nginx", ("nginx", "-g", "daemon off;"), ports=("80/tcp",)),
    Image("redis", "redis-server", ("redis-server",), user="nobody", ports=("6379/tcp",), kind=DOCKER),
    Image("busybox", "busybox-static", ("busybox", "sh")),
    Image("multi", "busybox-static", ("busybox", "sh"), architectures=("amd64", "arm64"), index=True),
]
VARIANTS = {"arm64": "v8"}


def say(words):
    print(f"==> {words}", file=sys.stderr, flush=True)


class Failure(Exception):
    """What went wrong, why, and what to do."""


# --- packages ---------------------------------------------------------------------------------------------------------


class Archive:
    """Debian's packages for one architecture, asked through apt in a directory of its own."""

    def __init__(self, architecture, directory):
        self.architecture = architecture
        self.packages = f"{directory}/cache/archives"
        self.nothing = f"{directory}/cache/nothing"
        for each in ("state/lists/partial", "cache/archives/partial", "cache/nothing/partial", "etc"):
            os.makedirs(f"{directory}/{each}")
        open(f"{directory}/etc/status", "w").close()
        # Only Debian's own packages, and backports only where nothing else has the package.
        with open(f"{directory}/etc/preferences", "w") as file:
            for pin, priority in (("n=*-backports*", 100), ("o=Debian", 500), ("o=*", -1)):
                file.write(f"Package: *\nPin: release {pin}\nPin-Priority: {priority}\n\n")
        acquire = subprocess.run(["apt-config", "dump"], check=True, capture_output=True, text=True).stdout.splitlines()
        settings = [line for line in acquire if re.match(r"Acquire::(?!IndexTargets|Languages)", line)]
        settings += [
            f'APT::Architecture "{architecture}";',
            f'APT::Architectures {{ "{architecture}"; }};',
            'APT::Install-Recommends "false";',
            'APT::Sandbox::User "root";',
            'Acquire::Languages "none";',
            'Acquire::Retries "3";',
            'Dir::Etc::main "/dev/null";',
            'Dir::Etc::parts "/dev/null";',
            f'Dir::Etc::preferences "{directory}/etc/preferences";',
            'Dir::Etc::preferencesparts "/dev/null";',
            f'Dir::State "{directory}/state";',
            f'Dir::State::status "{directory}/etc/status";',
            f'Dir::Cache "{directory}/cache";',
        ]
        with open(f"{directory}/etc/apt.conf", "w") as file:
            file.write("\n".join(settings) + "\n")
        self.environment = {**os.environ, "APT_CONFIG": f"{directory}/etc/apt.conf", "LC_ALL": "C"}

    def apt_get(self, *arguments):
        result = subprocess.run(
            ["apt-get", "-q", "-y", *arguments],
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
        )
        if result.returncode != 0:
            raise Failure(
                f"apt-get {arguments[0]} failed for {self.architecture}: {' '.join(result.stderr.split())}\n"
                "  do:  check the network and that /etc/apt/sources.list* name a Debian archive with that architecture"
            )
        return result.stdout

    def update(self):
        self.apt_get("update")

    def closure(self, packages):
        """The files of the packages and of all they depend on; downloads what is not there yet."""
        # apt prints only what it would download, so it must not see what is there already.
        wanted = self.apt_get("install", "--print-uris", "-o", f"Dir::Cache::archives={self.nothing}", *packages)
        files = sorted(re.findall(r"^'[^']+' (\S+\.deb) \d+ ", wanted, re.MULTILINE))
        self.apt_get("install", "--download-only", *packages)
        return files


# --- layers -----------------------------------------------------------------------------------------------------------


class Layer:
    """The files of some packages as one compressed tar archive."""

    def __init__(self, archive, files):
        self.entries = {}
        for each in files:
            self.add_package(f"{archive.packages}/{each}")

    def add_package(self, path):
        unpack = subprocess.Popen(["dpkg-deb", "--fsys-tarfile", path], stdout=subprocess.PIPE)
        with tarfile.open(fileobj=unpack.stdout, mode="r|") as package:
            for entry in package:
                name = merged(os.path.normpath(entry.name))
                if name == "." or LEFT_OUT.match(name):
                    continue
                entry.name = name
                if entry.islnk():
                    entry.linkname = merged(os.path.normpath(entry.linkname))
                self.entries[name] = (entry, package.extractfile(entry).read() if entry.isreg() else b"")
        if unpack.wait() != 0:
            raise Failure(f"dpkg-deb could not read {os.path.basename(path)}")
        # What dpkg's database would say: scanners look here in images that were made without running dpkg.
        control = subprocess.run(["dpkg-deb", "--field", path], check=True, capture_output=True).stdout
        name = re.search(rb"^Package: (.+)$", control, re.MULTILINE)[1].decode()
        self.add_file(f"var/lib/dpkg/status.d/{name}", control)

    def add_file(self, name, content):
        for parent in reversed(parents(name)):
            if parent not in self.entries:
                directory = tarfile.TarInfo(parent)
                directory.type, directory.mode = tarfile.DIRTYPE, 0o755
                self.entries[parent] = (directory, b"")
        entry = tarfile.TarInfo(name)
        entry.size = len(content)
        self.entries[name] = (entry, content)

    def add_link(self, name, target):
        entry = tarfile.TarInfo(name)
        entry.type, entry.mode, entry.linkname = tarfile.SYMTYPE, 0o777, target
        self.entries[name] = (entry, b"")

    def finish_base(self):
        """What maintainer scripts would have made, as far as programs need it to start."""
        for name in [name for name in self.entries if MERGED.fullmatch(name.removeprefix("usr/"))]:
            self.add_link(name.removeprefix("usr/"), name)
        for name in ("passwd", "group"):
            self.add_file(f"etc/{name}", self.entries[f"usr/share/base-passwd/{name}.master"][1])

    def without(self, base):
        """Leaves out what the layer below has, so that an application's layer is the difference."""
        same = [name for name, (entry, _) in self.entries.items() if entry.isdir() and name in base.entries]
        for name in same:
            del self.entries[name]
        return self

    def write(self):
        """The compressed bytes, their digest and the digest of the bytes inside."""
        tar = io.BytesIO()
        with tarfile.open(fileobj=tar, mode="w", format=tarfile.PAX_FORMAT) as out:
            # Hard links last: what they name must have been extracted before them.
            for name in sorted(self.entries, key=lambda name: (self.entries[name][0].islnk(), name)):
                entry, content = self.entries[name]
                entry.mtime, entry.uname, entry.gname, entry.pax_headers = EPOCH, "", "", {}
                out.addfile(entry, io.BytesIO(content))
        return gzip.compress(tar.getvalue(), 6, mtime=0), digest(tar.getvalue())


def merged(name):
    return f"usr/{name}" if MERGED.match(name) else name


def parents(name):
    pieces = name.split("/")[:-1]
    return ["/".join(pieces[: count + 1]) for count in reversed(range(len(pieces)))]


def digest(content):
    return "sha256:" + hashlib.sha256(content).hexdigest()


# --- images -----------------------------------------------------------------------------------------------------------


class Layout:
    """One OCI image layout on disk; blobs that another layout already has are linked, not written again."""

    written = {}

    def __init__(self, directory):
        self.directory = directory
        os.makedirs(f"{directory}/blobs/sha256")
        self.write_file("oci-layout", encode({"imageLayoutVersion": "1.0.0"}))

    def write_file(self, name, content):
        with open(f"{self.directory}/{name}", "wb") as file:
            file.write(content)

    def add(self, media_type, content):
        name = digest(content)
        path = f"{self.directory}/blobs/sha256/{name.removeprefix('sha256:')}"
        if name in Layout.written and not os.path.exists(path):
            os.link(Layout.written[name], path)
        elif not os.path.exists(path):
            with open(path, "wb") as file:
                file.write(content)
            Layout.written[name] = path
        return {"mediaType": media_type, "digest": name, "size": len(content)}

    def finish(self, descriptor, tag):
        descriptor["annotations"] = {"org.opencontainers.image.ref.name": tag}
        self.write_file("index.json", encode({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [descriptor]}))


def encode(value):
    return (json.dumps(value, indent=2) + "\n").encode()


def platform(architecture):
    result = {"architecture": architecture, "os": "linux"}
    if architecture in VARIANTS:
        result["variant"] = VARIANTS[architecture]
    return result


def add_image(layout, image, architecture, layers):
    """Adds configuration, layers and manifest of one platform's image; layers are (bytes, diff id, description)."""
    run = {
        "Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],
        "Cmd": list(image.command),
        "Labels": {"org.opencontainers.image.title": image.name},
    }
    if image.user:
        run["User"] = image.user
    if image.ports:
        run["ExposedPorts"] = {port: {} for port in image.ports}
    config = {
        "created": CREATED,
        **platform(architecture),
        "config": run,
        "rootfs": {"type": "layers", "diff_ids": [diff_id for _, diff_id, _ in layers]},
        "history": [{"created": CREATED, "created_by": description} for _, _, description in layers],
    }
    manifest = {
        "schemaVersion": 2,
        "mediaType": image.kind.manifest,
        "config": layout.add(image.kind.config, encode(config)),
        "layers": [layout.add(image.kind.layer, content) for content, _, _ in layers],
    }
    return layout.add(image.kind.manifest, encode(manifest))


def build(output, directory):
    layers = {}
    for architecture in sorted({each for image in IMAGES for each in image.architectures}):
        say(f"Fetching Debian's packages for {architecture}")
        archive = Archive(architecture, f"{directory}/{architecture}")
        archive.update()
        base_files = archive.closure(BASE)
        base = Layer(archive, base_files)
        base.finish_base()
        layers[architecture, None] = (*base.write(), "Debian, essential packages")
        for package in sorted({each.package for each in IMAGES if architecture in each.architectures}):
            files = [each for each in archive.closure([*BASE, package]) if each not in base_files]
            layers[architecture, package] = (*Layer(archive, files).without(base).write(), f"Debian, {package}")

    for image in IMAGES:
        layout = Layout(f"{output}/{image.name}")
        manifests = []
        for architecture in image.architectures:
            stack = [layers[architecture, None], layers[architecture, image.package]]
            manifests.append({**add_image(layout, image, architecture, stack), "platform": platform(architecture)})
        if image.index:
            index = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": manifests}
            layout.finish(layout.add(OCI_INDEX, encode(index)), "1")
        else:
            layout.finish(manifests[0], "1")
        say(f"Built the image {image.name} for {' and '.join(image.architectures)}")


def main():
    if len(sys.argv) != 2:
        sys.exit("usage: image-builder.py OUTPUT")
    output = sys.argv[1]
    os.makedirs(output, exist_ok=True)
    try:
        with tempfile.TemporaryDirectory(prefix="rollcall.", dir=os.environ.get("TMPDIR", "/tmp")) as directory:
            build(output, directory)
    except KeyboardInterrupt:
        sys.exit("interrupted")
    except Failure as failure:
        sys.exit(f"error: {failure}")
    except subprocess.CalledProcessError as failure:
        sys.exit(f"error: {failure}\n{failure.stderr or ''}")
    except (OSError, tarfile.TarError) as failure:
        sys.exit(f"error: {failure}")


if __name__ == "__main__":
    main()
