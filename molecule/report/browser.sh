#!/bin/sh
# Prints the interpreter and the browser that look at pages, and installs what is missing:
#   the system's Chromium and a font for Korean, and the packages of requirements-browser.txt in .cache/venv-browser.
set -eu
cd "$(dirname "$0")/../.."
lab/prerequisites.sh browser
browser=$(command -v chromium || command -v chromium-browser || command -v google-chrome)
venv=.cache/venv-browser
key=$(sha256sum requirements-browser.txt)
if [ "$(cat "$venv/.key" 2> /dev/null)" != "$key" ]; then
    rm -rf "$venv"
    "$(lab/prerequisites.sh which-python)" -m venv "$venv"
    # A second attempt, because package indexes sometimes fail.
    for attempt in 1 2; do
        "$venv/bin/pip" install -qq --disable-pip-version-check -r requirements-browser.txt >&2 && break
        [ "$attempt" = 1 ] || exit 1
    done
    echo "$key" > "$venv/.key"
fi
echo "$PWD/$venv/bin/python"
echo "$browser"
