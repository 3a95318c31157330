//go:build !linux && !darwin

package control

import (
	"context"
	"errors"
	"net"
)

// supported: elsewhere nobody has tried it. Windows has such sockets, but no mode
// that keeps others out; the BSDs tell no process of the other end.
const supported = false

func reach(string) (string, func(), error)               { return "", nil, errors.ErrUnsupported }
func bind(context.Context, string) (net.Listener, error) { return nil, errors.ErrUnsupported }
func peer(net.Conn) (int, error)                         { return 0, errors.ErrUnsupported }
func isAlso(int, int) bool                               { return false }
