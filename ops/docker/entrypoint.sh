#!/bin/sh
# Starts one part of the gateway and becomes it, so that signals reach it:
#   all        prepare this machine once, then the server with its worker and beat (one container, SQLite)
#   bootstrap  secrets, migrations, an administrator and a first key, then end
#   migrate    migrations only, then end
#   serve      the server alone
#   worker     Celery's worker
#   beat       Celery's clock; only one of it
# Anything else is an argument of manage.py.
set -eu

role="${1:-all}"
[ "$#" -eq 0 ] || shift
cd "$(dirname "$0")/../.."
level="${GATEWAY_LOG_LEVEL:-INFO}"

case "$role" in
    all)
        python manage.py bootstrap
        exec python manage.py serve "$@"
        ;;
    serve)
        exec python manage.py serve --no-tasks "$@"
        ;;
    worker)
        export GATEWAY_PROCESS=worker
        exec python -m celery -A gateway_project.celery worker --pool solo --without-gossip --without-mingle \
            --loglevel "$level" "$@"
        ;;
    beat)
        export GATEWAY_PROCESS=beat
        exec python -m celery -A gateway_project.celery beat --schedule "${TMPDIR:-/tmp}/celerybeat-schedule" --pidfile= \
            --loglevel "$level" "$@"
        ;;
    *)
        exec python manage.py "$role" "$@"
        ;;
esac
