#!/usr/bin/env bash
# Makes .venv/bin/lesionstream and all that it starts: Python packages, Java, Redis, Kafka's jars.
#
# Installs system packages only where a command is missing: as root or with YES=1 without asking, on
# a terminal it asks, otherwise it names them and exits 2. A second run does nothing. With
# WITH_TESTS=1 it brings what only tests need, too.
set -euo pipefail
cd "$(dirname "$0")/.."

PYTHON=${PYTHON:-python3}
JAVA_MIN=17
STAMP=.venv/lesionstream.stamp

say() { echo "setup: $*" >&2; }
fail() { say "$*"; exit 2; }
have() { command -v "$1" >/dev/null 2>&1; }

# Runs a command; shows what it printed only where it failed.
quietly() {
    local printed
    printed=$(mktemp)
    if "$@" >"$printed" 2>&1 </dev/null; then
        rm -f "$printed"
    else
        cat "$printed" >&2
        rm -f "$printed"
        fail "failed: $*"
    fi
}

java_release() {
    have java || { echo 0; return; }
    java -version 2>&1 | sed -nE 's/.*version "(1\.)?([0-9]+).*/\2/p' | head -n 1
}

missing_packages() {
    "$PYTHON" -c 'import ensurepip, venv' 2>/dev/null || echo python3-venv
    [ "$(java_release)" -ge "$JAVA_MIN" ] 2>/dev/null || java_package
    have mvn || echo maven
    have redis-server || echo redis-server
    [ "${WITH_TESTS:-}" = 1 ] || return 0
    have storescu || echo dcmtk
    have prometheus || echo prometheus
    have chromium || echo chromium
}

# The default Java of Ubuntu 22.04 is 11; that of Debian 13 is 21, and it has no 17.
java_package() {
    local package
    for package in openjdk-17-jre-headless openjdk-21-jre-headless; do
        if [ -n "$(apt-cache show "$package" 2>/dev/null)" ]; then
            echo "$package"
            return
        fi
    done
    echo default-jre-headless
}

may_install() {
    [ "$(id -u)" = 0 ] && return
    have sudo || return 1
    [ "${YES:-}" = 1 ] && return
    [ -t 0 ] || return 1
    local answer
    read -r -p "setup: install $* with apt? [y/N] " answer
    [[ $answer == [yY]* ]]
}

apt() { # as root, or by sudo, which asks for a password only on a terminal
    local root=()
    if [ "$(id -u)" != 0 ]; then
        root=(sudo)
        [ -t 0 ] || root=(sudo -n)
    fi
    quietly "${root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -y -q "$@"
}

install_packages() {
    local -a packages
    mapfile -t packages < <(missing_packages)
    [ ${#packages[@]} -gt 0 ] || return 0
    have apt-get || fail "missing, and no apt here to install them: ${packages[*]}"
    may_install "${packages[@]}" || fail "missing: as root, apt-get install ${packages[*]} (or: make setup YES=1)"
    say "refreshing the list of system packages"
    apt update
    mapfile -t packages < <(missing_packages) # a fresh list may know a better Java
    say "installing ${packages[*]}"
    apt install --no-install-recommends "${packages[@]}"
    mapfile -t packages < <(missing_packages)
    [ ${#packages[@]} -eq 0 ] || fail "still missing after their installation: ${packages[*]}"
}

check_python() {
    have "$PYTHON" || fail "$PYTHON is missing: install Python 3.11 or later (apt-get install python3)"
    "$PYTHON" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
        fail "$("$PYTHON" -V) is too old: set PYTHON to Python 3.11 or later"
}

wanted_stamp() { { pwd; "$PYTHON" -V; cat pyproject.toml requirements-dev.lock; } | sha256sum; }

make_venv() {
    local wanted
    wanted=$(wanted_stamp)
    [ -x .venv/bin/lesionstream ] && [ "$(cat "$STAMP" 2>/dev/null)" = "$wanted" ] && return
    .venv/bin/python -m pip --version >/dev/null 2>&1 || quietly "$PYTHON" -m venv --clear .venv
    say "installing the Python packages of requirements-dev.lock into .venv (about a minute)"
    local pip=(.venv/bin/python -m pip --disable-pip-version-check --no-input)
    quietly "${pip[@]}" install --require-hashes --requirement requirements-dev.lock
    quietly "${pip[@]}" install --no-deps --editable .
    echo "$wanted" >"$STAMP"
}

fetch_jars() {
    .venv/bin/python -c '
import sys, local
try:
    local.fetch_kafka(lambda line: print("setup:", line, file=sys.stderr, flush=True))
except local.LocalError as error:
    sys.exit(f"setup: {error}")
' || exit 2
}

check_python
install_packages
make_venv
fetch_jars
