#!/bin/sh
# Make a virtual environment with the pinned versions and this project in it (editable).
#   environment.sh app    .venv:      what the planner needs to run, with the fast simulator, without torch
#   environment.sh test   .venv-test: that, torch, and what the tests need
# A second call does nothing until the pins, the requirements or the folder's place change.
# PYTHON=path chooses the interpreter.
set -eu
cd "$(dirname "$0")/.."

fail() {
    echo "environment.sh: $*" >&2
    exit 2
}

case "${1:-}" in
app) env=.venv target='.[simulation]' ;;
test) env=.venv-test target='.[test]' ;;
*) fail "say app or test" ;;
esac
python=$env/bin/python
stamp=$env/.installed
# An environment holds absolute paths: in a moved or copied folder it belongs to the old one.
wanted=$(pwd && cksum pyproject.toml constraints.txt scripts/environment.sh)

find_python() {
    for name in ${PYTHON:-python3 python3.14 python3.13 python3.12 python3.11 python}; do
        if "$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            echo "$name"
            return
        fi
    done
    found=$("${PYTHON:-python3}" --version 2>/dev/null) || found="no ${PYTHON:-python3}"
    fail "Python 3.11 or later is needed, found $found. Set PYTHON=/path/to/python to choose one."
}

create() {
    base=$(find_python)
    # Debian and Ubuntu ship ensurepip in a package of its own.
    if ! "$base" -c 'import venv, ensurepip' 2>/dev/null; then
        package=$("$base" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')
        if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
            echo "$base cannot make virtual environments: installing the system's $package."
            apt-get -qq update && DEBIAN_FRONTEND=noninteractive apt-get -qq install -y "$package" ||
                fail "could not install $package; install it, or set PYTHON to a Python that has venv"
        else
            fail "$base cannot make virtual environments; install $package (apt install $package)," \
                "or set PYTHON to a Python that has venv"
        fi
    fi
    "$base" -m venv --clear "$env"
}

if [ "$(cat "$stamp" 2>/dev/null)" = "$wanted" ] && "$python" -c '' 2>/dev/null; then
    exit 0
fi

echo "Installing the pinned versions into $env (the first time this takes a few minutes)."
if [ "$(head -n 1 "$stamp" 2>/dev/null)" != "$(pwd)" ] || ! "$python" -m pip --version >/dev/null 2>&1; then
    create
fi
pip() {
    "$python" -m pip --disable-pip-version-check --quiet "$@"
}
pip install --constraint constraints.txt --upgrade pip
if [ "$1" = test ]; then
    # Before anything that needs it, so that the build the index prefers (CPU or CUDA) stays.
    echo "PyTorch first: 200 MB as a CPU build, some GB with CUDA."
    pip install --constraint constraints.txt torch
fi
pip install --constraint constraints.txt --build-constraint constraints.txt --editable "$target"
echo "$wanted" >"$stamp"
