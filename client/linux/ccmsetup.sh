#!/bin/sh
# ccmsetup for Linux: reads the mobileclient.tcf beside it, fetches the client from the management points, checks it, installs it as a
# service, tells the site, and ends. It may be run again at any time. Wants curl or wget, sha256sum, awk; openssl where a certificate is
# pinned. The same parameters, return codes and state messages as ccmsetup on Windows (docs/client.md).
set -u
umask 022
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:${PATH:-}
LC_ALL=C
export PATH LC_ALL

# Everything below another folder, for containers that are built and for trying it out; then no init system is touched.
root=${PUSHPOINT_ROOT:-}
program=$root/opt/pushpoint-client
state=$root/var/lib/pushpoint-client
logs=$root/var/log/pushpoint-client
setup=$root/var/lib/pushpoint-setup
identity=$root/etc/pushpoint-client.ini
lock=$root/run/pushpoint-ccmsetup.lock
pidfile=$root/run/pushpoint-client.pid
service=pushpoint-client
log=$setup/logs/ccmsetup.log

OK=0 ERROR=6 RESTART=7 RUNNING=8 PREREQUISITE=9 HASH=10

case $0 in */*) here=${0%/*} ;; *) here=. ;; esac
here=$(CDPATH='' cd -- "$here" && pwd -P) || exit $ERROR
self=$here/${0##*/}
config=$here/mobileclient.tcf
topic=$(cat /proc/sys/kernel/random/uuid 2>/dev/null || echo 00000000-0000-4000-8000-000000000000)

uninstall='' force='' logon='' foreground='' retry=10 timeout=1440 points='' sources='' skip=';' properties='' configured='' locked=''
detail=''

# ---- log, in the format that CMTrace-class viewers read -----------------------------------------------------------------------------

plain() { printf '%s' "$1" | tr '\001-\037\177' ' ' | cut -c1-2000; }

line() {
  mkdir -p "${log%/*}" 2>/dev/null
  printf '<![LOG[%s]LOG]!><time="%s.000+000" date="%s" component="ccmsetup" context="" type="%s" thread="%s" file="">\r\n' \
    "$(plain "$2" | sed 's/\]LOG\]!>/] LOG]!>/g')" "$(date -u +%H:%M:%S)" "$(date -u +%m-%d-%Y)" "$1" "$$" >>"$log" 2>/dev/null
  [ -z "$foreground" ] || printf '%s\n' "$2" >&2
}
info() { line 1 "$1"; }
warn() { line 2 "$1"; }
error() { line 3 "$1"; }

# ---- mobileclient.tcf ---------------------------------------------------------------------------------------------------------------

# ini SECTION KEY: of a repeated key the first counts, keys and sections in any case.
ini() {
  awk -v section="$1" -v key="$2" '
    { sub(/\r$/, ""); sub(/^[ \t]+/, ""); sub(/[ \t]+$/, "") }
    NR == 1 { sub(/^\357\273\277/, "") }
    /^[;#]/ || $0 == "" { next }
    /^\[.*\]$/ { inside = tolower(substr($0, 2, length($0) - 2)) == tolower(section); next }
    inside && (at = index($0, "=")) > 1 {
      name = substr($0, 1, at - 1); sub(/[ \t]+$/, "", name)
      if (tolower(name) != tolower(key)) next
      value = substr($0, at + 1); sub(/^[ \t]+/, "", value); print value; exit
    }' "$config" 2>/dev/null
}

only() { case $1 in '' | *[!$2]*) return 1 ;; esac; }

is_hash() { [ ${#1} -eq 64 ] && only "$1" 0-9a-f; }
# are_hashes LIST: with commas between. What stands behind the last comma is one too, so that an empty place makes the list wrong.
are_hashes() { case $1 in *,*) is_hash "${1%%,*}" && are_hashes "${1#*,}" ;; *) is_hash "$1" ;; esac; }
is_file() { case $1 in '' | .* | -* | *[!A-Za-z0-9._-]*) return 1 ;; esac; }
is_point() { case $1 in http://*[!A-Za-z0-9._:/~\[\]-]* | https://*[!A-Za-z0-9._:/~\[\]-]*) return 1 ;; http://?* | https://?*) return 0 ;; esac; return 1; }

read_config() {
  if [ ! -r "$config" ]; then detail="$config is not there"; return 1; fi
  origin=$config
  if [ "$(head -c 2 "$config" | od -An -tx1 | tr -d ' \n')" = fffe ]; then
    # What is not ASCII comes as UTF-16; Linux has no use for it beside what is in it.
    iconv -f UTF-16 -t UTF-8 "$config" >"$setup/mobileclient.utf8" 2>/dev/null && config=$setup/mobileclient.utf8
  fi
  site=$(ini Site SiteCode | tr a-z A-Z)
  fsp=$(ini Site FSP)
  file=$(ini Payload File)
  sha256=$(ini Payload SHA256 | tr A-F a-f)
  size=$(ini Payload Size)
  version=$(ini Payload Version)
  command=$(ini Payload Command)
  pins=$(ini Trust CertificatePin | tr -d ': \t' | tr A-F a-f)
  mps=''
  for one in $(ini Site MP | tr ';' ' '); do is_point "$one" && mps="$mps $one"; done
  detail='mobileclient.tcf is not of the right form'
  [ ${#site} -eq 3 ] && only "$site" A-Z0-9 || return 1
  is_file "$file" && is_hash "$sha256" && only "$size" 0-9 && [ ${#size} -le 12 ] && only "$version" A-Za-z0-9.+_- || return 1
  [ -z "$(ini Trust CertificatePin)" ] || are_hashes "$pins" || return 1
  [ -n "$mps" ] || { detail='mobileclient.tcf names no management point'; return 1; }
  detail=''
  configured=yes
  # With a download this machine names its push, unsigned: the site may refuse its files to one that it has blocked. The id is no secret.
  push=''
  if names_me; then push=$(ini Registration TokenId | tr -cd A-Za-z0-9_-); fi
  # A token is in it, for nobody but root.
  [ -z "$(ini Registration TokenId)" ] || chmod 600 "$origin"
  info "Site $site, management points$mps, client $version"
}

# settle lets properties of the command line have their say; sources are not mixed, so those of the file do not count then.
settle() {
  [ -n "$properties" ] || return 0
  info 'Installation properties of the command line are used'
  is_point "$(property FSP)" && fsp=$(property FSP)
  is_point "$(property SMSMP)" && mps=" $(property SMSMP)$mps"
  return 0
}
property() { value_in "$properties" "$1"; }
value_in() { printf ' %s' "$1" | sed -n "s/.* $2=\"\{0,1\}\([^ \"]*\).*/\1/p"; }

# setting NAME: of the command line, whose properties take the place of all those in the file.
setting() { if [ -n "$properties" ]; then property "$1"; else value_in "$(ini 'Client Install' Install)" "$1"; fi; }

# ---- DNS ----------------------------------------------------------------------------------------------------------------------------

# ask_srv NAME prints what a resolver says of service records (RFC 2782). getent asks for addresses only; 1 = there is nobody to ask.
ask_srv() {
  if command -v dig >/dev/null 2>&1; then dig +short +time=3 +tries=2 "$1" SRV 2>/dev/null || :
  elif command -v host >/dev/null 2>&1; then host -W 3 -t SRV "$1" 2>/dev/null || :
  elif command -v resolvectl >/dev/null 2>&1; then resolvectl --legend=no --type=SRV query "$1" 2>/dev/null || :
  else return 1; fi
}

# published prints the management points that DNS names for the site (DNSSUFFIX) and nobody else did. Priority and weight are not heeded; the
# port tells whether it is https.
published() {
  suffix=$(setting DNSSUFFIX)
  case $suffix in '' | *[!A-Za-z0-9.-]*) return 0 ;; esac
  if ! found=$(ask_srv "_mssms_mp_$(printf %s "$site" | tr A-Z a-z)._tcp.$suffix"); then
    info "DNS is not asked for management points: neither dig nor host nor resolvectl is there"
    return 0
  fi
  for one in $(printf '%s\n' "$found" | awk '
    { for (i = 1; i + 3 <= NF; i++) {
        name = $(i + 3); port = $(i + 2); sub(/\.$/, "", name)
        if ($i !~ /^[0-9]+$/ || $(i + 1) !~ /^[0-9]+$/ || port !~ /^[0-9]+$/ || name !~ /^[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?$/) continue
        if (port + 0 > 0 && port + 0 < 65536 && ++n <= 32) print "http" (port + 0 == 443 || port + 0 == 8443 ? "s" : "") "://" name ":" port + 0
        next } }'); do
    case " ${points:-$mps} " in *" $one "*) ;; *) echo "$one" ;; esac
  done
}

# ---- HTTP ---------------------------------------------------------------------------------------------------------------------------

host_of() { printf '%s' "$1" | sed 's|^https*://||; s|/.*||'; }

# pinned URL: sets $trust to the options that let nobody answer but who shows a pinned certificate. The pins of mobileclient.tcf are
# hashes of whole certificates, any of which is right at any point; curl and wget compare keys. So the certificate is fetched, compared, and its key is what they get.
pinned() {
  trust=''
  case $1 in http:*) [ -z "$pins" ]; return ;; esac
  [ -n "$pins" ] || return 0
  command -v openssl >/dev/null 2>&1 || { warn 'openssl is needed to compare the pinned certificate'; return 1; }
  authority=$(host_of "$1")
  case $authority in *:[0-9]*) ;; *) authority=$authority:443 ;; esac
  name=${authority%:*}
  openssl s_client -connect "$authority" -servername "$name" </dev/null 2>/dev/null | openssl x509 -outform DER >"$setup/point.der" 2>/dev/null
  shown=$(sha256sum <"$setup/point.der" | cut -d' ' -f1)
  key=$(openssl x509 -inform DER -in "$setup/point.der" -pubkey -noout 2>/dev/null | openssl pkey -pubin -outform DER 2>/dev/null | openssl dgst -sha256 -binary | openssl base64 -A)
  rm -f "$setup/point.der"
  case ",$pins," in
    *",$shown,"*) ;;
    *)
      warn "$1 shows another certificate than the one this client was told to expect"
      wrong_pin=yes
      return 1
      ;;
  esac
  trust="--pinnedpubkey sha256//$key"
}

# own_certificate URL: sets $own to the options that show a point in native mode the certificate of this machine (docs/client.md), and $lacks to
# why there is none.
own_certificate() {
  own='' lacks=''
  case $1 in https:*) ;; *) return 0 ;; esac
  own_file=$(setting CCMCERTFILE) own_key=$(setting CCMKEYFILE)
  : "${own_file:=$state/certificate.pem}"
  [ -r "$own_file" ] || { lacks="there is no $own_file"; return 0; }
  if [ -z "$own_key" ]; then if grep -q 'PRIVATE KEY-----' "$own_file"; then own_key=$own_file; else own_key=$state/certificate.key; fi; fi
  [ -r "$own_key" ] || { lacks="there is no $own_key"; return 0; }
  case $own_file$own_key in *[!A-Za-z0-9._/:+@-]*) lacks="the name of $own_file or of its key has letters that this program cannot pass on"; return 0 ;; esac
  if command -v curl >/dev/null 2>&1; then own="--cert $own_file --key $own_key"; else own="--certificate=$own_file --private-key=$own_key"; fi
}

# get URL FILE: goes on at the end of FILE. Sets $status (000 = nobody answered) and $wait (what the point asks for, in seconds).
get() {
  status=000 wait=''
  if command -v curl >/dev/null 2>&1; then
    rm -f "$setup/head"
    # Less than 4 KB in a minute is a point that holds us for ever.
    # shellcheck disable=SC2086
    status=$(curl -sS -f -C - -o "$2" -D "$setup/head" -w '%{http_code}' --proto '=http,https' --max-redirs 0 --connect-timeout 30 \
      --speed-limit 68 --speed-time 60 --max-filesize "$3" ${trust:+-k} $trust $own ${push:+-H} ${push:+"x-pushpoint-token: $push"} \
      "$1" 2>"$setup/curl")
    ended=$?
    wait=$(sed -n 's/^[Rr]etry-[Aa]fter: *\([0-9]\{1,6\}\).*/\1/p' "$setup/head" 2>/dev/null | tail -n 1)
    [ $ended -eq 0 ] || plain "$(cat "$setup/curl" 2>/dev/null)" >"$setup/why"
    rm -f "$setup/head" "$setup/curl"
    return $ended
  fi
  # shellcheck disable=SC2086
  wget -q -c -O "$2" --max-redirect=0 --tries=1 --timeout=60 ${trust:+--no-check-certificate} $trust $own ${push:+--header="x-pushpoint-token: $push"} \
    "$1" 2>"$setup/why"
  ended=$?
  [ $ended -eq 8 ] && status=404
  [ $ended -eq 0 ] && status=200
  return $ended
}

is_right() { # FILE SIZE HASH
  [ -f "$1" ] && [ "$(wc -c <"$1" | tr -d ' ')" = "$2" ] && [ "$(sha256sum <"$1" | cut -d' ' -f1)" = "$3" ]
}

# from_point POINT FILE SIZE HASH: by the hash first, which names exactly this content; where the point does not know it, by the name.
from_point() {
  part=$setup/$2.$(printf %s "$4" | cut -c1-16).part
  pinned "$1" || return 1
  own_certificate "$1"
  for path in "$4/$2" "$2"; do
    cuts=0
    while :; do
      had=$(wc -c <"$part" 2>/dev/null | tr -d ' ' || echo 0)
      : "${had:=0}"
      [ "$had" -lt "$3" ] || break
      info "Downloading ${1%/}/CCM_Client/$path from byte $had"
      get "${1%/}/CCM_Client/$path" "$part" "$3" && break
      has=$(wc -c <"$part" 2>/dev/null | tr -d ' ' || echo 0)
      # Cut, and something came: the same point goes on.
      if [ "${has:-0}" -gt "$had" ] && [ "${has:-0}" -lt "$3" ] && [ $cuts -lt 50 ]; then
        cuts=$((cuts + 1))
        warn "Download was cut at $has of $3 bytes"
        sleep "${PUSHPOINT_RESUME_SECONDS:-5}"
        continue
      fi
      break
    done
    [ "$status" = 404 ] || break
    rm -f "$part"
  done
  case $status in 429 | 503) later="$later${wait:-$((retry * 60))} " ;; *) later="$later$((retry * 60)) " ;; esac
  if [ ! -s "$part" ]; then
    warn "the management point $1 answered $status: $(cat "$setup/why" 2>/dev/null)"
    [ "$status" != 403 ] || [ -z "$lacks" ] || warn "a site in native mode wants a client certificate, and $lacks"
    return 1
  fi
  if is_right "$part" "$3" "$4"; then
    info "Hash of $2 is right: $4"
    return 0
  fi
  if [ "$(wc -c <"$part" | tr -d ' ')" -ge "$3" ]; then
    warn "$2 from $1 does not have the expected hash"
    rm -f "$part"
    wrong_hash=yes
  else
    warn "the management point $1 stopped at $(wc -c <"$part" | tr -d ' ') of $3 bytes: $(cat "$setup/why" 2>/dev/null)"
  fi
  return 1
}

# fetch FILE SIZE HASH: leaves the verified file in $setup/FILE. 1 = given up, with $stateid and $code set.
fetch() {
  if is_right "$setup/$1" "$2" "$3"; then return 0; fi
  for one in $sources; do
    if is_right "$one/$1" "$2" "$3"; then info "Took $one/$1"; cp "$one/$1" "$setup/$1" && return 0; fi
    warn "$one/$1 is not there, or does not have the expected hash"
  done
  begun=$(uptime_seconds)
  told=''
  while :; do
    wrong_hash='' wrong_pin='' later=''
    for point in ${points:-$mps}; do
      if from_point "$point" "$1" "$2" "$3"; then mv -f "$part" "$setup/$1"; return 0; fi
    done
    # Whoever answers there, the hash judges what he gives.
    if [ -z "$wrong_hash$wrong_pin" ]; then
      for point in $(published); do
        info "DNS names the management point $point"
        if from_point "$point" "$1" "$2" "$3"; then mv -f "$part" "$setup/$1"; return 0; fi
      done
    fi
    # Another certificate or other bytes than the trust anchor says do not get better by waiting.
    [ -z "$wrong_hash" ] || { fail 325 $HASH "$1 does not have the expected hash"; return 1; }
    [ -z "$wrong_pin" ] || { fail 308 $ERROR 'a management point shows another certificate than the one that is pinned'; return 1; }
    [ -n "$told" ] || { told=yes; report 101; }
    pause=$((retry * 60))
    for one in $later; do [ "$one" -ge "$pause" ] || pause=$one; done
    [ "$pause" -ge 1 ] || pause=1
    if [ $(($(uptime_seconds) - begun + pause)) -gt $((timeout * 60)) ]; then
      fail 308 $ERROR "$1 could not be downloaded from any management point within $timeout minutes"
      return 1
    fi
    warn "Next retry in $(((pause + 59) / 60)) minute(s)..."
    sleep "$pause"
  done
}

uptime_seconds() { cut -d. -f1 /proc/uptime 2>/dev/null || date +%s; }

# ---- state messages (topic 800): signed by the client that is installed, where one is registered; before that to the fallback status
# point, where nobody can prove who sent them --------------------------------------------------------------------------------------------

json() { plain "$1" | sed 's/\\/\\\\/g; s/"/\\"/g' | cut -c1-"$2"; }
short_name() { uname -n | cut -d. -f1 | tr -cd A-Za-z0-9_- | cut -c1-63; }

report() { # STATE [EXIT [DETAIL]]
  [ -n "$configured" ] || return 0
  if signed_report "$1" "${2:-}" "${3:-}"; then return 0; fi
  [ -n "$fsp" ] && is_point "$fsp" || return 0
  info "Sending state message, STATEID='$1'."
  body=$(printf '{"topicType":800,"topicId":"%s","stateId":%s,"at":"%s","name":"%s","domain":"","site":"%s","clientVersion":"%s"%s%s}' \
    "$topic" "$1" "$(date -u +%Y-%m-%dT%H:%M:%SZ)" "$(short_name)" "$site" "$version" \
    "${2:+,\"exitCode\":$2}" "${3:+,\"detail\":\"$(json "$3" 1000)\"}")
  pinned "$fsp" || [ -z "${fsp##http:*}" ] || return 0
  url=${fsp%/}/sms_fsp/.sms_fsp
  if command -v curl >/dev/null 2>&1; then
    # shellcheck disable=SC2086
    printf '%s' "$body" | curl -sS -f -m 30 -o /dev/null -H 'content-type: application/json' --data-binary @- ${trust:+-k} $trust "$url" 2>/dev/null
  else
    printf '%s' "$body" >"$setup/state.json"
    # shellcheck disable=SC2086
    wget -q -O /dev/null --tries=1 --timeout=30 --header='content-type: application/json' --post-file="$setup/state.json" ${trust:+--no-check-certificate} $trust "$url" 2>/dev/null
  fi
  sent=$?
  rm -f "$setup/state.json"
  if [ $sent -eq 0 ]; then info "State message with TopicType 800 and TopicId {$topic} has been sent to the FSP"; else warn 'State message was not taken'; fi
}

# signed_report lets the agent say it, which has the key; it looks for one that runs here, and tells whether a management point took it.
signed_report() { # STATE EXIT DETAIL
  # Whatever does not know how to would run as an agent instead.
  [ -f "$state/client.key" ] && grep -q '"say-state"' "$program/CcmExec.mjs" 2>/dev/null && agent=$(node_for 24) || return 1
  PUSHPOINT_ROOT=$root "$agent" "$program/CcmExec.mjs" say-state "$topic" "$1" "$version" "$2" "$(plain "$3")" >/dev/null 2>&1 || return 1
  info "State message $1 with TopicType 800 and TopicId {$topic} has been sent, signed"
}

# fail STATE CODE DETAIL notes how the run ends.
fail() { stateid=$1 code=$2 detail=$3; return 1; }

finish() { # CODE
  info "CcmSetup is exiting with return code $1"
  [ -z "$locked" ] || rm -rf "$lock"
  exit "$1"
}

# ---- checks -------------------------------------------------------------------------------------------------------------------------

skips() { case $skip in *";$1;"*) return 0 ;; esac; return 1; }

machine_type() {
  case $(uname -m) in x86_64 | amd64) echo x64 ;; aarch64 | arm64) echo arm64 ;; i?86) echo x86 ;; *) uname -m ;; esac
}

check_machine() {
  command -v sha256sum >/dev/null 2>&1 || fail 320 $PREREQUISITE 'this deployment is not possible here: sha256sum is missing' || return 1
  command -v curl >/dev/null 2>&1 || command -v wget >/dev/null 2>&1 || fail 306 $PREREQUISITE 'neither curl nor wget is there to download with' || return 1
  wanted=$(ini Requires Architectures)
  if [ -n "$wanted" ] && ! skips os; then
    case ";$(printf %s "$wanted" | tr ', ' ';;');" in *";$(machine_type);"*) ;; *)
      fail 319 $PREREQUISITE "the operating system is not supported: architecture $(machine_type), the package needs $wanted" || return 1 ;;
    esac
  fi
  if [ -n "$(ini Requires NoRestartPending)" ] && ! skips restart && [ -e /run/reboot-required ]; then
    fail 317 $RESTART 'a restart of this machine is pending, and the package wants it done first' || return 1
  fi
  needed=$(($(total) * 2 + 10000000))
  least=$(ini Requires FreeBytes)
  if only "$least" 0-9 && [ "$least" -gt "$needed" ]; then needed=$least; fi
  free=$(df -Pk "$setup" | awk 'NR == 2 { printf "%.0f", $4 * 1024 }')
  if ! skips disk && [ "${free:-0}" -lt "$needed" ]; then
    fail 312 $PREREQUISITE "there are $free bytes free in $setup, $needed are needed" || return 1
  fi
}

total() {
  sum=$size n=1
  while [ -n "$(ini "Prerequisite $n" File)" ]; do
    more=$(ini "Prerequisite $n" Size)
    only "$more" 0-9 && sum=$((sum + more))
    n=$((n + 1))
  done
  echo "$sum"
}

# node_for MAJOR prints a node that is new enough: the one that came with a runtime package, or that of the machine.
node_for() {
  for one in "$program/node/bin/node" $(printf '%s' "$PATH" | tr ': ' '\n?' | sed 's|$|/node|'); do
    [ -x "$one" ] || continue
    major=$("$one" -p 'process.versions.node.split(".")[0]' 2>/dev/null)
    if only "$major" 0-9 && [ "$major" -ge "$1" ]; then echo "$one"; return 0; fi
  done
  return 1
}

# is_there CHECK: a path, or node:24 for a node of that version or newer.
is_there() {
  case $1 in '') return 1 ;; node:*) node_for "${1#node:}" >/dev/null ;; /*) [ -e "$root$1" ] ;; *) return 1 ;; esac
}

install_prerequisites() {
  n=1
  while [ "$n" -le 8 ]; do
    name=$(ini "Prerequisite $n" File)
    [ -n "$name" ] || break
    hash=$(ini "Prerequisite $n" SHA256 | tr A-F a-f) bytes=$(ini "Prerequisite $n" Size)
    run=$(ini "Prerequisite $n" Command) check=$(ini "Prerequisite $n" Check)
    n=$((n + 1))
    if ! is_file "$name" || ! is_hash "$hash" || ! only "$bytes" 0-9 || [ -z "$run" ]; then
      fail 314 $ERROR 'a prerequisite is not of the right form' || return 1
    fi
    if skips "$(printf %s "$name" | tr A-Z a-z)"; then info "The prerequisite $name is skipped"; continue; fi
    if is_there "$check"; then info "The prerequisite $name is there already"; continue; fi
    info "Installing the prerequisite $name"
    fetch "$name" "$bytes" "$hash" || return 1
    mkdir -p "$program"
    (cd "$setup" && CLIENT_FOLDER=$program sh -c "$run" >>"$setup/logs/prerequisite.log" 2>&1)
    ended=$?
    rm -f "$setup/$name"
    info "Prerequisite $name ended with $ended"
    [ $ended -eq 0 ] || fail 301 $PREREQUISITE "the prerequisite $name could not be installed: it ended with $ended" || return 1
  done
}

# ---- the agent and its service ------------------------------------------------------------------------------------------------------

init() {
  if [ -n "$root" ]; then echo bare
  elif [ -d /run/systemd/system ]; then echo systemd
  elif command -v openrc-run >/dev/null 2>&1 && command -v rc-update >/dev/null 2>&1; then echo openrc
  elif [ -d /etc/init.d ] && { command -v update-rc.d || command -v chkconfig; } >/dev/null 2>&1; then echo sysv
  else echo bare; fi
}

write_unit() {
  cat >"/etc/systemd/system/$service.service" <<UNIT
[Unit]
Description=Pushpoint client
Wants=network-online.target
After=network-online.target

[Service]
ExecStart=$node --use-system-ca --max-old-space-size=128 $program/CcmExec.mjs
Restart=always
RestartSec=10
OOMPolicy=continue
UMask=0077

[Install]
WantedBy=multi-user.target
UNIT
  systemctl daemon-reload
  systemctl -q enable "$service.service"
}

write_script() {
  cat >"/etc/init.d/$service" <<SCRIPT
#!/bin/sh
### BEGIN INIT INFO
# Provides:          $service
# Required-Start:    \$network \$local_fs
# Required-Stop:     \$network \$local_fs
# Default-Start:     2 3 4 5
# Default-Stop:      0 1 6
# Short-Description: Pushpoint client
### END INIT INFO
exec sh $program/service.sh "\$1"
SCRIPT
  chmod 755 "/etc/init.d/$service"
  if command -v update-rc.d >/dev/null 2>&1; then update-rc.d "$service" defaults >/dev/null 2>&1; else chkconfig --add "$service" >/dev/null 2>&1; fi
}

write_openrc() {
  cat >"/etc/init.d/$service" <<SCRIPT
#!$(command -v openrc-run)
description="Pushpoint client"
depend() { after localmount net; }
start() { ebegin "Starting $service"; sh $program/service.sh start; eend \$?; }
stop() { ebegin "Stopping $service"; sh $program/service.sh stop; eend \$?; }
status() { sh $program/service.sh status; }
SCRIPT
  chmod 755 "/etc/init.d/$service"
  rc-update add "$service" default >/dev/null 2>&1
}

# write_loop makes what keeps the agent running where no systemd does.
write_loop() {
  mkdir -p "$root/run"
  cat >"$program/service.sh" <<LOOP
#!/bin/sh
# start | stop | status | restart of the client; the agent is started again when it ends.
# A number in a file may be somebody else's by now: after a restart of the machine, for one.
is() { [ -s "\$1" ] && kill -0 "\$(cat "\$1")" 2>/dev/null && tr '\\0' ' ' <"/proc/\$(cat "\$1")/cmdline" 2>/dev/null | grep -qF "$program/\$2"; }
alive() { is "$pidfile" service.sh; }
# Where what watches it was killed, the agent goes on alone.
orphan() { alive || { is "$pidfile.agent" CcmExec.mjs && kill "\$(cat "$pidfile.agent")" 2>/dev/null; }; }
case \${1:-} in
start) alive || { orphan; setsid sh "$program/service.sh" loop </dev/null >/dev/null 2>&1 & }
  for _ in 1 2 3 4 5 6 7 8 9 10; do alive && exit 0; sleep 1; done; exit 1 ;;
loop) echo \$\$ >"$pidfile"
  trap 'trap - TERM; [ -z "\$child" ] || kill "\$child" 2>/dev/null; wait "\$child"; rm -f "$pidfile"; exit 0' TERM INT
  child=''
  while :; do
    PUSHPOINT_ROOT="$root" "$node" --use-system-ca --max-old-space-size=128 "$program/CcmExec.mjs" & child=\$!
    echo "\$child" >"$pidfile.agent"
    wait "\$child"
    sleep 10 & wait \$!
  done ;;
stop) alive || { orphan; rm -f "$pidfile" "$pidfile.agent"; exit 0; }
  kill "\$(cat "$pidfile")"
  for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15; do alive || { rm -f "$pidfile" "$pidfile.agent"; exit 0; }; sleep 1; done
  exit 1 ;;
restart) sh "$program/service.sh" stop; exec sh "$program/service.sh" start ;;
status) if alive; then echo running; else echo stopped; exit 3; fi ;;
*) echo 'service.sh start|stop|restart|status' >&2; exit 2 ;;
esac
LOOP
}

service_is() {
  case $(init) in systemd) [ -e "/etc/systemd/system/$service.service" ] ;; sysv | openrc) [ -e "/etc/init.d/$service" ] ;; *) [ -e "$program/service.sh" ] ;; esac
}
service_runs() {
  case $(init) in
  # A service that waits for its next start after a crash is activating, not active.
  systemd) systemctl -q is-active "$service.service" ;;
  *) [ -s "$pidfile.agent" ] && kill -0 "$(cat "$pidfile.agent")" 2>/dev/null ;;
  esac
}
service_start() {
  case $(init) in
  systemd) systemctl reset-failed "$service.service" 2>/dev/null; systemctl restart "$service.service" ;;
  # By its own tool, so that it knows that the service runs. One that was not booted cannot start anything.
  openrc) if [ -e /run/openrc/softlevel ]; then rc-service -q "$service" restart; else sh "$program/service.sh" restart; fi ;;
  *) sh "$program/service.sh" restart ;;
  esac
}
service_stop() {
  case $(init) in
  systemd) systemctl stop "$service.service" 2>/dev/null ;;
  openrc)
    [ ! -e /run/openrc/softlevel ] || rc-service -q "$service" stop 2>/dev/null
    [ ! -e "$program/service.sh" ] || sh "$program/service.sh" stop
    ;;
  *) [ ! -e "$program/service.sh" ] || sh "$program/service.sh" stop ;;
  esac
  return 0
}
service_remove() {
  case $(init) in
  systemd)
    systemctl -q disable "$service.service" 2>/dev/null
    rm -f "/etc/systemd/system/$service.service"
    systemctl daemon-reload
    systemctl reset-failed "$service.service" 2>/dev/null
    ;;
  sysv)
    rm -f "/etc/init.d/$service"
    if command -v update-rc.d >/dev/null 2>&1; then update-rc.d "$service" remove >/dev/null 2>&1; else chkconfig --del "$service" >/dev/null 2>&1; fi
    ;;
  openrc)
    rc-update del "$service" default >/dev/null 2>&1
    rm -f "/etc/init.d/$service"
    ;;
  esac
  return 0
}

# stays_running: one look is not enough for an agent that ends again at once.
stays_running() {
  for _ in 1 2 3 4 5 6; do
    sleep "${PUSHPOINT_LOOK_SECONDS:-1}"
    service_runs || return 1
    last=$(service_pid)
    [ -z "${first:=$last}" ] || [ "$last" = "$first" ] || return 1
  done
}
service_pid() {
  case $(init) in systemd) systemctl show -p MainPID --value "$service.service" 2>/dev/null ;; *) cat "$pidfile.agent" 2>/dev/null ;; esac
}

# hand_over writes what the agent needs: the file without its token, and the one-time token in a file of its own.
hand_over() {
  mkdir -p "$state" "$logs"
  chmod 700 "$state" "$logs"
  without_token "$state/mobileclient.tcf"
  if [ -n "$(ini Registration TokenId)" ] && is_for_me; then
    (umask 077 && printf '{"tokenId":"%s","token":"%s","expires":"%s"}' "$(ini Registration TokenId | tr -cd A-Za-z0-9_-)" \
      "$(ini Registration Token | tr -cd A-Za-z0-9_-)" "$(ini Registration Expires | tr -cd 0-9TZ:.-)" >"$state/registration.token.new") &&
      mv -f "$state/registration.token.new" "$state/registration.token"
  fi
}

names_me() { [ "$(ini Registration Machine | cut -d. -f1 | cut -c1-15 | tr a-z A-Z)" = "$(short_name | cut -c1-15 | tr a-z A-Z)" ]; }

# A file that was made for another machine must not let this one register as that.
is_for_me() {
  names_me && return 0
  warn "The registration token was made for $(ini Registration Machine); it is not used"
  return 1
}

without_token() {
  (umask 077 && awk -v properties="$properties" '
    { sub(/\r$/, "") }
    /^\[.*\]$/ { section = tolower($0) }
    section == "[registration]" { next }
    section == "[client install]" && properties != "" && tolower($0) ~ /^install *=/ { $0 = "Install=INSTALL=ALL " properties }
    { printf "%s\r\n", $0 }' "$config" >"$1.new") && mv -f "$1.new" "$1"
}

note_installed() {
  token=$(ini Registration TokenId | tr -cd A-Za-z0-9_-)
  printf '{\n  "version": "%s",\n  "sha256": "%s",\n  "site": "%s",\n  "installedAt": "%s",\n  "setup": "%s"%s\n}\n' "$version" "$sha256" "$site" \
    "$(date -u +%Y-%m-%dT%H:%M:%SZ)" "$setup/ccmsetup.sh" "${token:+,$(printf '\n  "tokenId": "%s"' "$token")}" >"$state/installed.json.new" &&
    mv -f "$state/installed.json.new" "$state/installed.json"
}

is_installed() { grep -q "\"sha256\": \"$sha256\"" "$state/installed.json" 2>/dev/null && service_is; }

# install_agent puts the agent into its place. One that was there keeps a copy until the new one runs; if that does not, it goes on.
install_agent() {
  node=$(node_for 24) || fail 320 $PREREQUISITE 'this deployment is not possible here: no Node.js 24 or newer is there, and the package brings none' || return 1
  mkdir -p "$program"
  service_stop
  [ ! -f "$program/CcmExec.mjs" ] || cp -p "$program/CcmExec.mjs" "$program/CcmExec.old"
  cp -p "$state/installed.json" "$state/installed.old" 2>/dev/null
  # From here until the end it counts as not installed, so that a run that is killed is done again.
  rm -f "$state/installed.json"
  cp "$setup/$file" "$program/CcmExec.new" && mv -f "$program/CcmExec.new" "$program/CcmExec.mjs" || fail 312 $PREREQUISITE 'there is no space for the client' || return 1
  hand_over
  case $(init) in systemd) write_unit ;; sysv) write_loop; write_script ;; openrc) write_loop; write_openrc ;; *) write_loop ;; esac
  info "Starting service $service"
  first=''
  if service_start && stays_running; then
    note_installed
    return 0
  fi
  fail 313 $ERROR "the service $service could not be started: it ends again at once"
  if [ -f "$program/CcmExec.old" ]; then
    warn 'The new agent does not start; going back to the one before'
    service_stop
    mv -f "$program/CcmExec.old" "$program/CcmExec.mjs"
    service_start
    [ ! -f "$state/installed.old" ] || mv -f "$state/installed.old" "$state/installed.json"
  fi
  return 1
}

run_installer() {
  hand_over
  info 'Running the installer of the package'
  (cd "$setup" && CLIENT_FOLDER=$program sh -c "$command" >>"$setup/logs/installer.log" 2>&1)
  ended=$?
  info "Installer ended with $ended"
  [ $ended -eq 0 ] || fail 313 $ERROR "the installer of the client ended with $ended" || return 1
  note_installed
}

clear_away() {
  # The token did its work, and files stay for years. Before its copy that is not UTF-16 goes, or it would not be seen any more.
  [ -z "$(ini Registration TokenId)" ] || without_token "$origin"
  rm -f "$program/CcmExec.old" "$state/installed.old" "$setup/mobileclient.utf8" "$setup/why" "$setup"/*.part
  [ ! -f "$setup/$file" ] || [ "$setup/$file" = "$self" ] || rm -f "$setup/$file"
}

remove_client() {
  # The site hears it from the client itself, which has the key; leaving does not wait for that.
  if [ -f "$program/CcmExec.mjs" ] && node=$(node_for 24); then
    service_stop
    why=$(PUSHPOINT_ROOT=$root "$node" --use-system-ca "$program/CcmExec.mjs" farewell 2>&1) || warn "The site was not told: $(plain "$why")"
  fi
  if service_is; then
    info "Removing service $service"
    service_stop
    service_remove
  fi
  rm -rf "$program" "$state" "$logs" "$identity" "$pidfile" "$pidfile.agent"
  info 'The client is removed'
}

# ---- the run ------------------------------------------------------------------------------------------------------------------------

minutes() { only "$1" 0-9 && [ ${#1} -le 5 ] && [ "$1" -ge 1 ] && [ "$1" -le "$2" ]; }

option() {
  case $1 in
  [/-]*) ;;
  [A-Za-z0-9_]*=*)
    case ${1%%=*} in *[!A-Za-z0-9_]*) return 1 ;; esac
    case $1 in *'"'*) return 1 ;; esac
    value=${1#*=}
    case $value in '' | *[[:space:]]*) one="${1%%=*}=\"$value\"" ;; *) one=$1 ;; esac
    properties="$properties${properties:+ }$one"
    return 0
    ;;
  *) return 1 ;;
  esac
  name=$(printf '%s' "${1#?}" | cut -d: -f1 | tr A-Z a-z) value=''
  case $1 in *:*) value=${1#*:}; [ -n "$value" ] || return 1 ;; esac
  case $name:$value in
  uninstall:) uninstall=yes ;;
  forceinstall:) force=yes ;;
  logon:) logon=yes ;;
  noservice:) foreground=yes ;;
  service: | runservice:) ;;
  retry:?*) minutes "$value" 1440 && retry=$value ;;
  downloadtimeout:?*) minutes "$value" 43200 && timeout=$value ;;
  config:?*) case $value in */*) config=$value ;; *) config=$here/$value ;; esac ;;
  source:?*) case $value in *' '*) return 1 ;; esac; sources="$sources $value" ;;
  skipprereq:?*) skip=";$(printf %s "$value" | tr A-Z a-z);" ;;
  bitspriority:?*) case $(printf %s "$value" | tr A-Z a-z) in foreground | high | normal | low) ;; *) return 1 ;; esac ;;
  mp:?*) points=''; for one in $(printf %s "$value" | tr ';' ' '); do is_point "$one" || return 1; points="$points $one"; done ;;
  *) return 1 ;;
  esac
}

usage() {
  cat <<'TEXT'
ccmsetup.sh [parameters] [PROPERTY=value ...]: installs the client that mobileclient.tcf beside it names.
  /mp:URL[;URL]  /source:FOLDER  /retry:MINUTES  /downloadtimeout:MINUTES  /config:FILE  /forceinstall  /logon
  /skipprereq:NAME[;NAME]  /uninstall  /noservice (stay in the foreground)  /service  /BITSPriority:P
Return codes: 0 done, 6 failed, 7 restart needed, 8 another ccmsetup runs, 9 prerequisite not met, 10 wrong hash.
TEXT
}

take_lock() {
  mkdir -p "${lock%/*}"
  if ! mkdir "$lock" 2>/dev/null; then
    holder=$(cat "$lock/pid" 2>/dev/null)
    if [ -n "$holder" ] && kill -0 "$holder" 2>/dev/null && [ "$holder" != $$ ]; then return 1; fi
    # Its holder was killed.
    rm -rf "$lock"
    mkdir "$lock" 2>/dev/null || return 1
  fi
  echo $$ >"$lock/pid"
  locked=yes
}

bring() {
  report 100
  if is_installed && [ -z "$force" ]; then
    info "Client $version is installed already"
    hand_over
    note_installed
    service_start || fail 313 $ERROR "the service $service could not be started"
    return
  fi
  check_machine && install_prerequisites && fetch "$file" "$size" "$sha256" || return 1
  if [ -n "$command" ]; then run_installer; else install_agent; fi
}

ended_badly() {
  error "$detail"
  report "$stateid" "$code" "$detail"
  finish "$code"
}

# detach goes on as a service of its own, so that whoever started it over a line that may be cut can leave.
detach() {
  if [ -z "$root" ] && [ -d /run/systemd/system ] && command -v systemd-run >/dev/null 2>&1; then
    exec systemd-run -q --collect --unit=pushpoint-ccmsetup --setenv=PUSHPOINT_DETACHED=1 /bin/sh "$self" "$@"
  fi
  PUSHPOINT_DETACHED=1 setsid /bin/sh "$self" "$@" </dev/null >/dev/null 2>&1 &
  exit $OK
}

main() {
  case ${1:-} in [/-]\?) usage; exit $OK ;; esac
  wrong=''
  for one_argument in "$@"; do option "$one_argument" || { wrong=$one_argument; break; }; done
  if [ -z "$wrong" ] && [ -z "$foreground" ] && [ -z "${PUSHPOINT_DETACHED:-}" ]; then detach "$@"; fi
  mkdir -p "$setup/logs"
  chmod 700 "$setup"
  info "==========[ ccmsetup started, $# argument(s) ]=========="
  if ! take_lock; then
    error 'Another ccmsetup is running'
    finish $RUNNING
  fi
  # The file first: a wrong command line is reported too, where possible.
  read_config || stateid=314 code=$ERROR
  read_why=$detail
  if [ -n "$wrong" ]; then
    fail 307 $ERROR "ccmsetup does not know $(plain "$wrong")"
    ended_badly
  fi
  if [ -n "$uninstall" ]; then
    remove_client
    info "CcmSetup is exiting with return code $OK"
    rm -rf "$setup" "$lock"
    [ "$here" = "$setup" ] || rm -f "$here/mobileclient.tcf"
    exit $OK
  fi
  [ -n "$configured" ] || { detail=$read_why; ended_badly; }
  settle
  if [ -n "$logon" ] && service_is; then
    info 'A client is installed and /logon was given; nothing is done'
    report 104 $OK
    finish $OK
  fi
  # By which the client is upgraded and removed later.
  [ "$here" = "$setup" ] || cp -f "$self" "$setup/ccmsetup.sh"
  bring || ended_badly
  report 400 $OK
  clear_away
  info 'Installation succeeded'
  finish $OK
}

main "$@"
