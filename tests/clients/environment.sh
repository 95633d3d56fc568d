#!/usr/bin/env bash
# Puts the clients of requirements.txt into the virtual environment FOLDER; does nothing when they are there.
#   environment.sh FOLDER [PYTHON]
set -euo pipefail

folder=${1:?usage: environment.sh FOLDER [PYTHON]}
python=${2:-python3}
requirements=$(dirname "$0")/requirements.txt

if [ -x "$folder/bin/python" ] && cmp -s "$requirements" "$folder/installed.txt"; then
  exit 0
fi
rm -rf "$folder"
"$python" -m venv "$folder"
# Without byte code of thousands of files of which a few are loaded.
"$folder/bin/python" -m pip install --quiet --disable-pip-version-check --no-input --no-compile --no-deps \
  --only-binary :all: -r "$requirements"
cp "$requirements" "$folder/installed.txt"  # last: what was interrupted begins anew
