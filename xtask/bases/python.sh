#!/bin/sh
# Turns a Debian tree into the `python:3.11-slim` stand-in, as a mmdebstrap hook.
#
# Debian's Python lives under /usr and installs into dist-packages; the image on Docker Hub has it under
# /usr/local with site-packages. The packages are therefore unpacked aside, moved, and their
# Debian-specific paths turned back (relocate.py).
#
# usage: python.sh TREE
set -eu
umask 022
tree=$1
here=$(dirname "$0")
version=3.11

aside=$(mktemp -d)
trap 'rm -rf "$aside"' EXIT
(
    cd "$aside"
    # MMDEBSTRAP_APT_CONFIG points apt at the sources of the tree, not at those of this machine.
    APT_CONFIG=$MMDEBSTRAP_APT_CONFIG apt-get download -qq \
        python$version-minimal libpython$version-minimal libpython$version-stdlib python$version \
        libpython$version-dev python$version-dev python$version-venv python3-distutils python3-lib2to3 \
        python3-pip-whl python3-setuptools-whl python3-wheel-whl 2> errors || { cat errors >&2; exit 1; }
    for deb in ./*.deb; do dpkg-deb --extract "$deb" unpacked; done
)
from=$aside/unpacked
local=$tree/usr/local
mkdir -p "$local/bin" "$local/lib" "$local/include"

cp -a "$from/usr/bin/python$version" "$local/bin/"
cp -a "$from/usr/lib/python$version" "$local/lib/"
cp -a "$from/usr/include/python$version" "$local/include/"
arch_include=$(find "$from/usr/include" -mindepth 2 -maxdepth 2 -path "*-linux-gnu*/python$version" -print -quit)
cp -a "$arch_include/." "$local/include/python$version/"
ln -s python$version "$local/bin/python3"
ln -s python3 "$local/bin/python"

library=$local/lib/python$version
# Debian's own: refusal of pip, a customisation file; the static library, tests.
rm -rf "$library/EXTERNALLY-MANAGED" "$library/sitecustomize.py" "$library"/config-*/*.a "$library"/config-*/*.so \
    "$library/test" "$library/lib2to3/tests" "$library/ctypes/test" "$library/unittest/test" "$library/distutils/tests"
mkdir -p "$library/site-packages"

cp "$here/relocate.py" "$tree/relocate.py"
env -i PATH=/usr/bin:/bin:/usr/sbin:/sbin chroot "$tree" /usr/local/bin/python3 -I /relocate.py
rm "$tree/relocate.py"

# The wheels stay: `python -m venv` takes pip from there.
mkdir -p "$tree/usr/share/python-wheels"
cp "$from"/usr/share/python-wheels/*.whl "$tree/usr/share/python-wheels/"
env -i PATH=/usr/bin:/bin:/usr/sbin:/sbin chroot "$tree" /bin/sh -c '
    wheels=/usr/share/python-wheels
    PYTHONPATH=$(ls $wheels/pip-*.whl) /usr/local/bin/python3 -m pip install \
        --root-user-action=ignore --disable-pip-version-check --no-compile --quiet \
        --no-index --find-links $wheels pip setuptools wheel'
rm -rf "$tree/root/.cache"

# This machine's certificates, and the index that its pip uses, so that pip works here as it does outside.
if [ -e /etc/ssl/certs/ca-certificates.crt ]; then
    cp -L /etc/ssl/certs/ca-certificates.crt "$tree/etc/ssl/certs/ca-certificates.crt"
fi
if [ -n "$(find /usr/local/share/ca-certificates -name '*.crt' -print -quit 2>/dev/null)" ]; then
    printf '[global]\ncert = /etc/ssl/certs/ca-certificates.crt\n' > "$tree/etc/pip.conf"
    mkdir -p "$tree/etc/uv"
    echo 'system-certs = true' > "$tree/etc/uv/uv.toml"
fi
if [ -n "${HOIST_BASES_PIP_CONF:-}" ]; then
    [ -e "$tree/etc/pip.conf" ] || echo '[global]' > "$tree/etc/pip.conf"
    printf '%s\n' "$HOIST_BASES_PIP_CONF" >> "$tree/etc/pip.conf"
fi

find "$local" -depth -type d -name __pycache__ -exec rm -rf {} +
