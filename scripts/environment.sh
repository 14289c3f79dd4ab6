# Sourced by the other scripts: goes to the project's root and makes sure that there is a Swift compiler.
cd "$(dirname "${BASH_SOURCE[0]}")/.."

if ! command -v swift >/dev/null && [ -x /opt/swift/usr/bin/swift ]; then
    PATH=/opt/swift/usr/bin:$PATH
fi
if ! command -v swift >/dev/null; then
    echo "${0##*/}: no Swift found: install 6.1 or later from https://www.swift.org/install/linux/ and put its usr/bin on PATH" >&2
    exit 1
fi
