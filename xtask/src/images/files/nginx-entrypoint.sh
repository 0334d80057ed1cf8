#!/bin/sh
# Adapts the configuration to where the container runs, then becomes the command.
set -e
if [ "$1" = nginx ] && [ ! -e /proc/net/if_inet6 ]; then
    # A kernel without IPv6 refuses the second socket.
    sed -i '/listen \[::\]/d' /etc/nginx/conf.d/default.conf 2>/dev/null || echo "$0: conf.d is read-only" >&2
fi
exec "$@"
