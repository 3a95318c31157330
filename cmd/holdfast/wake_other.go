//go:build !linux

package main

import "os"

// wakeTerminal is for Linux; see there.
func wakeTerminal(*os.File) {}
