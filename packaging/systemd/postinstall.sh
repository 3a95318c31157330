#!/bin/sh
# The user of the unit. The service is not begun by itself: nobody has said yet which
# databases it is to have.
set -e
if command -v systemd-sysusers >/dev/null 2>&1; then
	systemd-sysusers holdfast.conf
elif ! getent passwd holdfast >/dev/null; then
	useradd --system --user-group --home-dir /var/lib/holdfast --shell /usr/sbin/nologin holdfast
fi
if [ -d /run/systemd/system ]; then
	systemctl daemon-reload
	systemctl try-restart holdfast.service
fi
