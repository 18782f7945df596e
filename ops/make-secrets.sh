#!/bin/sh
# Makes all that docker-compose.yml takes from ./secrets: random passwords, a private CA, and certificates for the servers and services.
#
#   sh ops/make-secrets.sh [FOLDER]
#
# What is there is kept. Run it again after a change in ops/, or to renew certificates that expire within 90 days; to have a password or a
# certificate made anew, empty its file first (docs/runbook.md, Passwords and certificates). Needs openssl, or LibreSSL.
set -eu

ops=$(cd "$(dirname "$0")" && pwd)
secrets=${1:-$ops/../secrets}
ca_days=3650
days=825
renew_seconds=7776000 # 90 days

umask 077
mkdir -p "$secrets"
cd "$secrets"
# Nobody else on this machine gets into the folder. In containers each file is read by another user, so the files say nothing of that.
chmod 700 .
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# ---- Passwords

passwords='gateway-nats write-side-nats read-side-nats operator-nats gateway-redis read-side-redis operator-redis
  write-side-mysql operator-mysql mysql-root signing-key'
for name in $passwords; do
  [ -s "$name" ] || openssl rand -hex 32 >"$name"
done
# The mail server's URL, with user and password: to be filled in. While it is empty, mails become files.
[ -e mail-url ] || : >mail-url

# ---- Certificates

cat >"$work/openssl.cnf" <<'END'
[req]
distinguished_name = name
prompt = no
[name]
CN = Cheeper
[ca]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
END
if [ ! -s ca.pem ] || [ ! -s ca.key ]; then
  openssl ecparam -name prime256v1 -genkey -noout -out ca.key
  openssl req -x509 -new -key ca.key -sha256 -days "$ca_days" -subj '/CN=Cheeper private CA' \
    -config "$work/openssl.cnf" -extensions ca -out ca.pem
fi

# certificate NAME USAGE SUBJECT_ALT_NAMES
certificate() {
  if [ -s "$1.pem" ] && [ -s "$1.key" ] && openssl x509 -in "$1.pem" -noout -checkend "$renew_seconds" >"$work/said" &&
    openssl verify -CAfile ca.pem "$1.pem" >"$work/said" 2>&1; then return; fi
  openssl ecparam -name prime256v1 -genkey -noout -out "$work/key"
  openssl req -new -key "$work/key" -sha256 -subj "/CN=$1" -config "$work/openssl.cnf" -out "$work/request"
  printf '%s\n' 'basicConstraints = critical, CA:FALSE' 'keyUsage = critical, digitalSignature' \
    "extendedKeyUsage = $2" "subjectAltName = $3" >"$work/extensions"
  openssl x509 -req -in "$work/request" -CA ca.pem -CAkey ca.key -set_serial "0x$(openssl rand -hex 16)" -sha256 -days "$days" \
    -extfile "$work/extensions" -out "$work/certificate" 2>"$work/said" || { cat "$work/said" >&2; exit 1; }
  # In place, as everything here: a container goes on with the file that it was started with.
  cat "$work/key" >"$1.key"
  cat "$work/certificate" >"$1.pem"
}
# Health checks, and operators on the same machine, connect to localhost.
for name in mysql nats redis; do certificate "$name" serverAuth "DNS:$name, DNS:localhost, IP:127.0.0.1"; done
for name in gateway write-side read-side operator; do certificate "$name" clientAuth "DNS:$name"; done

# ---- What the servers know of their users

for name in $passwords; do
  value=$(cat "$name")
  echo "s|@$name@|$value|g"
  echo "s|@$name:sha256@|$(printf %s "$value" | openssl dgst -sha256 -r | cut -d ' ' -f 1)|g"
done >"$work/fill-in"
for name in nats.conf mysql.sql; do sed -f "$work/fill-in" "$ops/$name" >"$name"; done
# Redis knows no comments there, and no lines that go on.
sed -e '/^#/d' -e :a -e '/\\$/N; s/ *\\\n */ /; ta' "$ops/redis.acl" | sed -f "$work/fill-in" >redis.acl

chmod 644 ./*
chmod 600 ca.key # no container gets it
echo "The secrets are in $(pwd)."
