#!/bin/sh
# What the browser tests need of the system: a Chromium or Chrome, and the library that
# Playwright's driver is linked against.
#   ensure_browser.sh PYTHON          as root on a Debian-like system, install what is missing
#   ensure_browser.sh --find PYTHON   only print where the browser is; exit 1 and say what is missing
# PYTHON is the interpreter that has Playwright. CHROMIUM=path chooses a browser.
set -u

find=
[ "${1:-}" = --find ] && find=yes && shift
python=${1:?usage: ensure_browser.sh [--find] PYTHON}

browser() {
    for name in ${CHROMIUM:-chromium chromium-browser google-chrome google-chrome-stable}; do
        path=$(command -v "$name") || continue
        # Some systems ship a stub under this name that only says what to install.
        "$path" --version >/dev/null 2>&1 && echo "$path" && return
    done
    return 1
}

# The Debian packages that would supply what is missing.
missing() {
    browser >/dev/null || echo chromium fonts-dejavu-core
    "$python" -m playwright --version >/dev/null 2>&1 || echo libatomic1
}

packages=$(missing | tr '\n' ' ')
if [ -n "$packages" ] && [ -z "$find" ] && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    echo "Installing for the browser tests: $packages"
    export DEBIAN_FRONTEND=noninteractive
    # shellcheck disable=SC2086 # a list of names
    apt-get -qq update && apt-get -qq install -y --no-install-recommends $packages >/dev/null
    packages=$(missing | tr '\n' ' ')
fi
if [ -z "$packages" ]; then
    [ -z "$find" ] || browser
    exit
fi
echo "the browser tests need ${packages% } (Debian's names; CHROMIUM=path chooses a browser)" >&2
[ -z "$find" ] || exit 1
echo "without that they are skipped, or fail where CI=true" >&2
