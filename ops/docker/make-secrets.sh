#!/bin/sh
# Makes the secrets that compose.yaml mounts, each once: what is there already stays.
# Others can't enter the folder. The files are readable, for the containers read them as users of their own.
set -eu

folder="${1:-secrets}"
umask 077
mkdir -p "$folder"

random_text() {
    od -An -N "$1" -tx1 /dev/urandom | tr -d ' \n'
}

random_ring() {
    printf 'k%s:%s' "$(random_text 3)" "$(head -c 32 /dev/urandom | base64 | tr -d '\n')"
}

keep_or_write() {
    if [ ! -s "$folder/$1" ]; then
        printf '%s' "$2" >"$folder/$1"
        echo "Wrote $folder/$1"
    fi
    chmod 0644 "$folder/$1"
}

keep_or_write postgres_password "$(random_text 24)"
keep_or_write valkey_password "$(random_text 24)"
keep_or_write database_url "postgresql://gateway:$(cat "$folder/postgres_password")@postgres:5432/gateway"
keep_or_write redis_url "redis://:$(cat "$folder/valkey_password")@valkey:6379/0"
keep_or_write secret_key "$(random_text 48)"
keep_or_write encryption_keys "$(random_ring)"
keep_or_write key_peppers "$(random_ring)"
