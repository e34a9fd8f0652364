#!/bin/sh
# Installs the packages that a fresh Debian or Ubuntu lacks, or says what to install.
#   prerequisites.sh python|lab     packages for the venv, or for a lab
#   prerequisites.sh browser        a browser for tests, and a font for Korean
#   prerequisites.sh which-python   the interpreter that the venv is made with
set -eu

say() { printf 'setup   %s\n' "$*" >&2; }
fail() { printf 'setup: %s\n' "$*" >&2; exit 1; }

# The distribution's own first, if it can make a venv: version managers build without the optimiser, and Ansible takes
# a fifth longer on such a Python. Commands that answer, not only names on the PATH: version managers leave names
# that do not work.
find_python() {
    for needed in "ensurepip, venv" sys; do
        for python in /usr/bin/python3 python3 python3.13 python3.12 python3.11; do
            if "$python" -c "import $needed, sys; sys.exit(sys.version_info < (3, 11))" 2> /dev/null; then
                command -v "$python"
                return 0
            fi
        done
    done
    return 1
}

# Package names by command, only for commands that are missing.
missing() {
    for pair in "$@"; do
        command -v "${pair%%=*}" > /dev/null 2>&1 || printf '%s ' "${pair#*=}"
    done
}

install() {
    [ -n "$*" ] || return 0
    command -v apt-get > /dev/null || fail "install these packages first: $*"
    root=
    if [ "$(id -u)" -ne 0 ]; then
        sudo -n true 2> /dev/null || fail "install these packages first (or run as root): $*"
        root="sudo -n env"
    fi
    say "installing $*"
    # shellcheck disable=SC2086
    $root apt-get -qq update || say "apt-get update failed; trying with the lists that are there"
    # shellcheck disable=SC2086
    DEBIAN_FRONTEND=noninteractive $root apt-get -qq -y --no-install-recommends install "$@" > /dev/null 2>&1 \
        || fail "apt-get could not install $*: install them by hand."
}

case "${1:-}" in
    which-python)
        find_python
        ;;
    python)
        python=$(find_python) || fail "no Python 3.11 or newer answers: install one, Debian 12 and Ubuntu 24.04 have it as python3."
        wanted=$(missing ssh=openssh-client ssh-keygen=openssh-client git=git)
        "$python" -c 'import ensurepip, venv' 2> /dev/null || wanted="$wanted python3-venv"
        # shellcheck disable=SC2086,SC2046
        install $(printf '%s\n' $wanted | sort -u)
        ;;
    lab)
        wanted=$(missing ip=iproute2 openssl=openssl ssh=openssh-client)
        if command -v apt-get > /dev/null; then
            wanted="$wanted$(missing mmdebstrap=mmdebstrap)"
            [ -e /usr/share/keyrings/debian-archive-keyring.gpg ] || wanted="$wanted debian-archive-keyring"
        fi
        # shellcheck disable=SC2086,SC2046
        install $(printf '%s\n' $wanted | sort -u)
        ;;
    browser)
        wanted=
        if ! command -v chromium > /dev/null && ! command -v chromium-browser > /dev/null; then
            wanted=$(missing google-chrome=chromium)
        fi
        if command -v apt-get > /dev/null && [ ! -d /usr/share/fonts/truetype/nanum ]; then
            wanted="$wanted fonts-nanum"
        fi
        # shellcheck disable=SC2086
        install $wanted
        ;;
    *)
        fail "say python, lab, browser or which-python"
        ;;
esac
