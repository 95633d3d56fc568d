#!/usr/bin/env bash
# Installs the Debian packages that lyre needs: `setup.sh build` to build and run, `setup.sh build test` for the tests too.
# Debian 12 and Ubuntu 24.04. Says what it will install first; does nothing when everything is there.
set -euo pipefail

. /etc/os-release
case "${ID}:${VERSION_ID}" in
  debian:12) boost=1.81 ;;
  ubuntu:24.04) boost=1.83 ;;
  *)
    # Newer systems: the default Boost of the distribution is new enough.
    boost=""
    echo "lyre is tested on Debian 12 and Ubuntu 24.04; this is ${PRETTY_NAME:-unknown}. Trying the same package names." >&2
    ;;
esac

build="g++ cmake ninja-build ccache pkg-config git ca-certificates
  libboost${boost}-dev libboost-json${boost}-dev libavcodec-dev libavutil-dev libcli11-dev libfmt-dev libhwy-dev libicu-dev
  libogg-dev libpcre2-dev libsoundtouch-dev libspdlog-dev libswresample-dev libtomlplusplus-dev libssl-dev prometheus-cpp-dev
  libxxhash-dev zlib1g-dev"
# Sanitizers and fuzzers come with clang; the rest are listeners, judges and clients of the end-to-end tests.
test="clang sox clang-format libgtest-dev libgmock-dev libbenchmark-dev libavformat-dev python3 python3-venv curl openssl
  ffmpeg haproxy nginx pocketsphinx pocketsphinx-en-us"
case "${ID}:${VERSION_ID}" in
  debian:12) test="$test libclang-rt-14-dev" ;;
  ubuntu:24.04) test="$test libclang-rt-18-dev" ;;
esac

wanted=""
for group in "$@"; do
  case "$group" in
    build) wanted="$wanted $build" ;;
    test) wanted="$wanted $test" ;;
    *) echo "usage: $0 build [test]" >&2; exit 2 ;;
  esac
done

missing=""
for package in $wanted; do
  status=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null || true)
  [ "$status" = installed ] || missing="$missing $package"
done
[ -n "$missing" ] || exit 0

sudo=""
if [ "$(id -u)" -ne 0 ]; then
  command -v sudo >/dev/null || { echo "Not root and no sudo. Please install:$missing" >&2; exit 1; }
  sudo=sudo
fi
echo "Installing:$missing"
export DEBIAN_FRONTEND=noninteractive
# The proxies are there for tests, not to run: their packages would start them, now and with the machine.
proxies=""
for package in $missing; do
  case "$package" in nginx | haproxy) proxies="$proxies $package" ;; esac
done
policy=/usr/sbin/policy-rc.d
if [ -n "$proxies" ] && [ ! -e "$policy" ]; then
  trap '$sudo rm -f "$policy"' EXIT
  printf '#!/bin/sh\nexit 101\n' | $sudo tee "$policy" >/dev/null
  $sudo chmod 755 "$policy"
fi
$sudo apt-get update -q
$sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends $missing
for proxy in $proxies; do
  if command -v systemctl >/dev/null; then $sudo systemctl --quiet disable "$proxy" || true; fi
done
