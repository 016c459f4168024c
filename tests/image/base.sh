#!/bin/sh
# Makes the image localhost/python-debian with buildah, for a machine that reaches Debian's packages and no registry of
# images. It stands for python:3.11-slim-bookworm: Debian's own Python 3.11 and pip, and no compiler.
# Usage: base.sh FOLDER, which must be empty
set -eu
folder=$1
packages=ca-certificates,python3,python3-pip,python3-venv
debootstrap --variant=minbase --include="$packages" bookworm "$folder/root" >"$folder/debootstrap.log" 2>&1 ||
    { tail -5 "$folder/debootstrap.log" >&2; exit 1; }
# As in Docker's image: the command python, and a pip that may install into it.
ln -s python3 "$folder/root/usr/bin/python"
rm "$folder"/root/usr/lib/python3*/EXTERNALLY-MANAGED
rm -rf "$folder"/root/var/cache/apt/archives/*.deb "$folder"/root/var/lib/apt/lists/*
tar -C "$folder/root" --exclude=./dev/* -cf "$folder/root.tar" .
rm -rf "$folder/root"
cat >"$folder/Containerfile" <<'END'
FROM scratch
ADD root.tar /
# The machine's own certificates are mounted there during the build.
ENV SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt PIP_CERT=/etc/ssl/certs/ca-certificates.crt
CMD ["bash"]
END
buildah build --tag localhost/python-debian "$folder"
rm "$folder/root.tar"
