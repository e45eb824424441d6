#!/usr/bin/env bash
# Chromium, a font with Hangul, PostgreSQL, Prometheus and its neighbours for the tests that need them: installed where we may (root, apt-get), else told.
set -u
missing=()
for package in chromium prometheus prometheus-pushgateway prometheus-alertmanager; do
  command -v "$package" >/dev/null || missing+=("$package")
done
ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || missing+=(postgresql)
fc-list :lang=ko 2>/dev/null | grep -q . || missing+=(fonts-nanum)
[ ${#missing[@]} -eq 0 ] && exit 0
if [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null; then
  log=$(mktemp)
  if apt-get update -qq >"$log" 2>&1 &&
    DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends "${missing[@]}" >>"$log" 2>&1; then
    rm -f "$log"
    exit 0
  fi
  tail -n 3 "$log" >&2
fi
echo "not installed: ${missing[*]}; the tests that need them are skipped. Install with: apt-get install ${missing[*]}" >&2
