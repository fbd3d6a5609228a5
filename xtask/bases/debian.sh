#!/bin/sh
# Last touches on the tree of the `debian:bookworm-slim` stand-in, as a mmdebstrap hook: what the image
# on Docker Hub does so that `apt-get` in a build leaves nothing behind, and nothing of this machine.
#
# usage: debian.sh TREE
set -eu
umask 022
tree=$1

# Nothing of the machine that the tree was made on.
rm -f "$tree/etc/hostname" "$tree/etc/resolv.conf"
: > "$tree/etc/machine-id"
rm -rf "$tree"/var/log/* "$tree"/var/cache/* "$tree"/var/lib/apt/lists/* "$tree"/tmp/* "$tree"/run/*
rm -f "$tree"/var/lib/dpkg/*-old "$tree"/etc/*-

# Services do not start while packages are being installed: there is no init.
printf '#!/bin/sh\nexit 101\n' > "$tree/usr/sbin/policy-rc.d"
chmod 0755 "$tree/usr/sbin/policy-rc.d"

mkdir -p "$tree/etc/apt/apt.conf.d" "$tree/etc/dpkg/dpkg.cfg.d"
cat > "$tree/etc/apt/apt.conf.d/docker-clean" <<'END'
DPkg::Post-Invoke { "rm -f /var/cache/apt/archives/*.deb /var/cache/apt/archives/partial/*.deb /var/cache/apt/*.bin || true"; };
Dir::Cache::pkgcache "";
Dir::Cache::srcpkgcache "";
END
echo 'Acquire::Languages "none";' > "$tree/etc/apt/apt.conf.d/docker-no-languages"
echo 'Acquire::GzipIndexes "true";' > "$tree/etc/apt/apt.conf.d/docker-gzip-indexes"
echo 'Apt::AutoRemove::SuggestsImportant "false";' > "$tree/etc/apt/apt.conf.d/docker-autoremove-suggests"
echo 'force-unsafe-io' > "$tree/etc/dpkg/dpkg.cfg.d/docker-apt-speedup"
