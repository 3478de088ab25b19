#!/bin/sh
# Which site pushes my machine? The three scenarios of docs/which-site.md, run for real on this computer: a primary site P01, a secondary
# site S01 below it (two servers, each with a database of its own), and lab machines in the boundaries of S01. Nothing leaves loopback.
#
#   examples/which-site.sh [FOLDER]      everything is made in FOLDER (default: a new one below /tmp), and stays there to look at
set -eu
checkout=$(cd "$(dirname "$0")/.." && pwd)
folder=${1:-$(mktemp -d "${TMPDIR:-/tmp}/which-site.XXXXXX")}
# PostgreSQL does not run as root, and must come through to its data.
mkdir -p "$folder" && chmod 711 "$folder" && cd "$folder"

pids=
end() {
  trap - EXIT INT TERM
  for pid in $pids; do kill "$pid" 2>/dev/null || true; done
  for pid in $pids; do wait "$pid" 2>/dev/null || true; done
}
trap end EXIT
trap 'end; exit 130' INT TERM

pushpoint() { "$checkout/bin/pushpoint" "$@"; }
# run shows a command, and runs it; fails shows one that is to be refused.
run() { printf '$ pushpoint %s\n' "$*"; pushpoint "$@"; }
fails() {
  printf '$ pushpoint %s\n' "$*"
  if pushpoint "$@"; then echo 'that should have been refused' >&2; exit 1; fi
}
say() { printf '\n== %s\n' "$*"; }
# start runs something in the background until the end and waits for its ready line, which goes to FILE.
start() {
  file=$1; shift
  "$checkout/bin/pushpoint" "$@" >"$file" 2>"$file.err" &
  pids="$! $pids"
  until [ -s "$file" ]; do
    kill -0 $! 2>/dev/null || { cat "$file.err" >&2; exit 1; }
    sleep 0.2
  done
}
value() { sed -n "s/.*\"$2\": *\"\([^\"]*\)\".*/\1/p" "$1" | head -1 | sed 's/\\\\/\\/g'; }
# soon waits until a command succeeds and its output holds a text.
soon() {
  text=$1; shift
  tries=0
  until pushpoint "$@" 2>/dev/null | grep -q -- "$text"; do
    tries=$((tries + 1))
    [ $tries -lt 150 ] || { echo "waited in vain for '$text' from: pushpoint $*" >&2; exit 1; }
    sleep 0.2
  done
}
row() { sed -n "$(($1 + 1))p" lab/devices.csv | tr -d '\r'; }
name() { row "$1" | cut -d, -f1; }
address() { row "$1" | cut -d, -f4; }
# discover imports machine number N at a site: an import by an administrator is a trusted discovery.
discover() {
  { sed -n 1p lab/devices.csv; row "$2"; } >"machine-$2.csv"
  run device import "machine-$2.csv" --data "$1"
}
no_ccr() {
  for site in P01 S01; do
    if pushpoint ccr show "$1" --data $site >/dev/null 2>&1; then echo "there is a CCR at $site" >&2; exit 1; fi
  done
  echo "(no CCR of $1 at P01, none at S01)"
}
# outcome tells what became of a machine, from what stands on its own disk. A client registers at its primary and learns within ten seconds
# whether there is a proxy management point for it, which it talks to from then on.
outcome() {
  disk=lab/hosts/$1/Windows
  soon '"complete"' ccr show "$1" --json --data "$2"
  tries=0
  until grep -qs "$4" "$disk/CCM/status.json" && grep -qs "$3" "$disk/CCM/status.json"; do
    tries=$((tries + 1))
    [ $tries -lt 150 ] || { echo "the client of $1 does not say that it talks to $3" >&2; exit 1; }
    sleep 0.2
  done
  echo "$1: CCR at $2; client of site $(value "$disk/CCM/status.json" site); talks to $3;"
  echo "    files from $(sed -n 's/.*Downloading \(http[^ ]*\)\/CCM_Client.*/\1/p' "$disk/ccmsetup/logs/ccmsetup.log" | head -1)"
}

say 'Making the sites and seven machines'
start lab.json lab up --windows 7 --healthy --folder lab --json
run site create P01 --listen 127.0.0.1:0 --console 127.0.0.1:0 --data P01
start p01.json up --data P01 --json
p01=$(value p01.json points)
run point set mp --address "$p01" --data P01
run account add push --username "$(value lab.json username)" --password-file "$(value lab.json passwordFile)" --data P01
run package add "$(value lab.json package)" --data P01
run site token --out s01.token --data P01
run site join S01 --parent "$p01" --token-file s01.token --listen 127.0.0.1:0 --console 127.0.0.1:0 --data S01
start s01.json up --data S01 --json
s01=$(value s01.json points)
run account add push --username "$(value lab.json username)" --password-file "$(value lab.json passwordFile)" --data S01
run boundary add "range:$(address 1)-$(address 1)" --data P01
run boundary add "range:$(address 2)-$(address 7)" --site S01 --data P01
soon "$(address 2)" boundary list --site S01 --data S01
soon "$(value lab.json package | xargs -I{} sed -n 's/.*"name": *"\([^"]*\)".*/\1/p' {} | head -1)" package list --data S01
run push settings --enable --systems workstations,servers,dcs --data P01
echo "P01 answers clients at $p01, S01 at $s01"

round() {
  say "Scenario 1, $1: discovery at P01, site-wide push off at S01"
  run push settings --disable --data S01
  discover P01 "$2"
  soon pdr device show "$(name "$2")" --json --data S01
  run device show "$(name "$2")" --data S01
  no_ccr "$(name "$2")"
  fails push "$(name "$2")" --data P01
  # P01 hears of the points of S01 over the line.
  soon "\"managementPoint\":\"$5\"" push "$(name "$2")" --include-unassigned --dry-run --json --data P01
  run push "$(name "$2")" --include-unassigned --dry-run --data P01
  run push "$(name "$2")" --include-unassigned --data P01
  outcome "$(name "$2")" P01 "$5" "$6"

  say "Scenario 2, $1: discovery and site-wide push at S01"
  run push settings --enable --systems workstations,servers,dcs --data S01
  discover S01 "$3"
  outcome "$(name "$3")" S01 "$5" "$6"
  run device show "$(name "$3")" --data P01

  say "Scenario 3, $1: discovery at P01, site-wide push on at S01"
  discover P01 "$4"
  outcome "$(name "$4")" S01 "$5" "$6"
  run device show "$(name "$4")" --data P01
}

run point set mp --address "$s01" --data S01
round 'with a proxy management point' 2 3 4 "$s01" proxyManagementPoints
run point set mp --off --data S01
round 'without a proxy management point' 5 6 7 "$p01" '"managementPoint"'

say 'Done'
echo "The folder $folder has everything: P01/logs, S01/logs, lab/hosts/*/Windows/ccmsetup/logs."
