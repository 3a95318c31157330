#!/bin/sh
# Databases, configuration and user stay: they are somebody's data.
set -e
if [ -d /run/systemd/system ]; then
	systemctl daemon-reload
fi
