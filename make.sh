#!/bin/sh
# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT
#
# Everything from nothing, on Debian 12 or 13: installs what is missing, builds the default router VM, boots it, reports.
# It needs nothing but a POSIX shell and apt.  It installs packages, and writes below its own folder and into Nix's store;
# the machine's configuration of apt, Nix and pip stays as it is.
set -eu

usage() {
    cat <<'TEXT'
usage: ./make.sh [COMMAND]

  all          build the default router VM and prove that it boots and routes (the default)
  test         all tests but the longest, with real Nix and QEMU
  test-quick   the linters, and the tests that need neither
  test-long    the tests that take minutes each
  test-bare    the first two of these commands on a bare Debian 12 and 13: hours
  bench        measure, beside others on the same work
  setup        install what is missing, and make .venv
  clean        remove what was made here: build/, .venv/, .cache/
  help         this text

What follows test… or bench is handed on: ./make.sh test-quick -k address
TEXT
}

say() { printf '%s\n' "$*" >&2; }
fail() { # message, hint
    say "error: $1"
    [ $# -lt 2 ] || say "hint: $2"
    exit 4
}
have() { command -v "$1" >/dev/null 2>&1; }

# ---- packages ----------------------------------------------------------------------------------------------------------

# A Python of 3.11 or later that can make virtual environments; prints its path.
find_python() {
    for python in python3 /usr/bin/python3; do
        if "$python" -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then
            command -v "$python"
            return
        fi
    done
    return 1
}

# Names the Debian packages that are missing for a command.
missing_packages() {
    find_python >/dev/null || echo python3 python3-venv
    [ -e /etc/ssl/certs/ca-certificates.crt ] || echo ca-certificates
    [ -e /usr/share/keyrings/debian-archive-keyring.gpg ] || echo debian-archive-keyring
    # apt checks signatures with gpgv on Debian 12 and with sqv on Debian 13.
    have gpgv || have sqv || echo gpgv
    if ! have nix; then
        # Without root, only a daemon can write to the store; this package brings it, and nix-bin.
        if [ "$(id -u)" -eq 0 ]; then echo nix-bin; else echo nix-setup-systemd; fi
    fi
    case $1 in test*) test_packages ;; esac
    case $1 in test-bare) bare_machine_packages ;; esac
}

# What the guest's tests run, in namespaces of their own.  None of these packages starts a service.
test_packages() {
    have nft || echo nftables
    have dbus-daemon || echo dbus-daemon
    have ip || echo iproute2
    have ping || echo iputils-ping
    have dnsmasq || echo dnsmasq-base
    have systemd-analyze || echo systemd
    have veritysetup || echo cryptsetup-bin
    have gpg || echo gnupg
    have minisign || echo minisign
    have signify-openbsd || echo signify-openbsd
    have ssh-keygen || echo openssh-client
    have patch || echo patch
    have cc || echo gcc libc6-dev
}

# What makes a Debian on which nothing is installed.
bare_machine_packages() {
    have debootstrap || echo debootstrap
    have git || echo git
}

# Runs a command as root: as we are, or by sudo, which may ask for a password only on a terminal.
as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        "$@"
    elif [ "$terminal" ]; then
        sudo "$@"
    else
        sudo -n "$@"
    fi
}

apt_install() {
    as_root env DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8 \
        apt-get install -y -q --no-install-recommends -o DPkg::Lock::Timeout=120 "$@" </dev/null >&2
}

install_missing() {
    # shellcheck disable=SC2046 # one package a word
    set -- $(missing_packages "$1")
    [ $# -gt 0 ] || return 0
    have apt-get || fail "missing: $*, and there is no apt-get here" "these are names of Debian packages: install what matches"
    say "missing: $*"
    if [ "$(id -u)" -ne 0 ]; then
        have sudo || fail "installing needs root, and there is no sudo here" "as root: apt-get install $*"
        if [ "$terminal" ]; then
            printf 'install with sudo apt-get? [Y/n] ' >&2
            read -r answer || answer=n
            case $answer in '' | [Yy]*) ;; *) fail "not installed: $*" "sudo apt-get install $*" ;; esac
        elif ! sudo -n true >/dev/null 2>&1; then
            fail "installing needs sudo, which wants a password, and this is no terminal" "sudo apt-get install $*"
        fi
    fi
    # Old lists, or none, are the usual reason for a failure: fetch them then, and then only.
    if ! apt-get install -s --no-install-recommends "$@" >/dev/null 2>&1 || ! apt_install "$@"; then
        say "updating apt's lists"
        if ! as_root apt-get update -q </dev/null >&2 || ! apt_install "$@"; then
            fail "apt-get could not install: $*" "see its messages above; then run the same command again"
        fi
    fi
}

# ---- Nix ---------------------------------------------------------------------------------------------------------------

# Root builds by itself; anyone else needs a store of their own or the daemon.
check_nix() {
    have nix || fail "nix is installed, but not on PATH" "PATH=\$PATH:/nix/var/nix/profiles/default/bin $0"
    [ "$(id -u)" -ne 0 ] || return 0
    [ ! -w /nix/store ] || return 0
    socket=/nix/var/nix/daemon-socket/socket
    [ ! -w "$socket" ] || return 0
    user=$(id -un)
    if getent group nix-users >/dev/null && ! id -nG "$user" | tr ' ' '\n' | grep -qx nix-users; then
        fail "$user may not use Nix's daemon: not in the group nix-users" \
            "sudo usermod -aG nix-users $user, log in again, then run the same command"
    fi
    if ! id -nG | tr ' ' '\n' | grep -qx nix-users && getent group nix-users >/dev/null; then
        fail "$user is in the group nix-users, but not in this session yet" "log in again, then run the same command"
    fi
    fail "Nix's daemon does not run" "sudo systemctl start nix-daemon.socket, then run the same command"
}

# ---- Python ------------------------------------------------------------------------------------------------------------

# Makes .venv, or leaves it as it is when it was made of this very pyproject.toml.  The stamp is written last, so what an
# interrupted run left is made again.
make_venv() { # "" or "[test]"
    python=$(find_python)
    wanted=$("$python" -c 'import sys; print(sys.version)' | cat - pyproject.toml builder/netvm_build/__init__.py | cksum)
    # The folder's own path is in the scripts of a virtual environment.
    wanted="$wanted $PWD"
    if [ "$(cat ".venv/stamp$1" 2>/dev/null)" = "$wanted" ]; then return; fi
    say "making .venv with $python"
    "$python" -m venv --clear .venv
    .venv/bin/python -m pip install -q --disable-pip-version-check -e ".$1" >&2 ||
        fail "pip could not install what pyproject.toml names" "check the network, or pip's configuration, and run again"
    for stamp in '' "$1"; do printf '%s\n' "$wanted" >".venv/stamp$stamp"; done
}

setup() { # command, "" or "[test]"
    install_missing "$1"
    check_nix
    mkdir -p .cache
    # Two of us at once would make the same .venv.
    exec 9>.cache/setup.lock
    flock 9
    make_venv "$2"
    exec 9>&-
}

# ---- commands ----------------------------------------------------------------------------------------------------------

build_and_smoke() {
    mkdir -p build
    [ -e build/netvm.yaml ] || .venv/bin/netvm-build -q init build >/dev/null
    .venv/bin/netvm-build build build/netvm.yaml -o build/netvm >&2
    exec .venv/bin/netvm-build smoke build/netvm.yaml
}

# The tests of some marks, several at once, since most of them wait.
at_once() { # marks, what is handed on
    marks=$1
    shift
    .venv/bin/python -m pytest -m "$marks" -n $(($(nproc) * 2)) "$@"
}

# Unit tests several at once, then one by one what shares the built image, the machine's /tmp, or measures time.
test_all() { # what is handed on; then all run one by one
    if [ $# -gt 0 ]; then
        exec .venv/bin/python -m pytest -m 'not long and not bare' "$@"
    fi
    failed=0
    at_once 'not long and not integration' tests/lint tests/unit || failed=$?
    .venv/bin/python -m pytest -m 'not long and not bare' tests/guest tests/integration || failed=$?
    exit "$failed"
}

main() {
    command=${1:-all}
    [ $# -eq 0 ] || shift
    case $command in
        help | -h | --help) usage; return ;;
    esac
    cd "$(dirname "$0")"
    # Asked here, where nothing is redirected yet.
    if [ -t 0 ] && [ -t 2 ]; then terminal=yes; else terminal=; fi
    PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin
    # Bare containers set neither; pip, Nix and our own caches ask for them.
    if [ -z "${HOME:-}" ]; then
        HOME=$(getent passwd "$(id -u)" | cut -d: -f6)
        export HOME
    fi
    case $command in
        all) setup all ''; build_and_smoke ;;
        setup) setup all '' ;;
        test) setup test '[test]'; test_all "$@" ;;
        test-quick) setup test '[test]'; at_once 'not long and not integration' "$@" ;;
        test-long) setup test '[test]'; exec .venv/bin/python -m pytest -m long "$@" ;;
        test-bare) setup test-bare '[test]'; exec .venv/bin/python -m pytest -m bare "$@" ;;
        bench) setup all ''; exec .venv/bin/python -m bench "$@" ;;
        clean) rm -rf build .venv .cache ;;
        *) say "error: no such command: $command"; usage >&2; exit 2 ;;
    esac
}

main "$@"
