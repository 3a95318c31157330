#!/bin/sh
# Not at an upgrade: dpkg says "upgrade" then, rpm 1.
set -e
case "$1" in
remove | 0)
	if [ -d /run/systemd/system ]; then
		systemctl disable --now holdfast.service || true
	fi
	;;
esac
