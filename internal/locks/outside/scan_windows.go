package outside

import (
	"context"
	"fmt"
	"path/filepath"
	"time"
	"unsafe"

	"golang.org/x/sys/windows"
)

// noHolders says what Windows keeps to itself: it has no question of who holds a
// byte range, and even reading one that is locked is refused.
const noHolders = "Windows tells nobody who holds which lock (LockFileEx), so holders and waiters are missing"

// scan asks the Restart Manager, by which installers find out whom to close, who
// has the database open. It opens and locks nothing of ours.
func (w *Watcher) scan(_ context.Context, f files) (sight, error) {
	seen := sight{processes: map[int]process{}, at: time.Now(), own: own(f)}
	users, err := usersOf(f.path)
	if err != nil {
		seen.blind = append(seen.blind, noHolders+"; who has the database open is not known either ("+err.Error()+"): the Resource Monitor names them (CPU, Associated Handles)")
		return seen, nil
	}
	seen.blind = append(seen.blind, noHolders+"; who has the database open is listed, but for programs of other users if this is no administrator's console")
	for _, u := range users {
		pid := int(u.process)
		seen.processes[pid] = w.introduce(process{
			Process: Process{PID: pid, Program: windows.UTF16ToString(u.application[:])},
			started: uint64(u.started.Nanoseconds()),
		})
	}
	return seen, nil
}

// user is RM_PROCESS_INFO of restartmanager.h.
type user struct {
	process     uint32
	started     windows.Filetime
	application [256]uint16 // as its version information has it, such as "Windows Explorer"
	service     [64]uint16
	kind        uint32
	status      uint32
	session     uint32
	restartable int32
}

// usersOf lists who has a file open.
func usersOf(path string) ([]user, error) {
	name, err := windows.UTF16PtrFromString(path)
	if err != nil {
		return nil, err
	}
	rm := windows.NewLazySystemDLL("rstrtmgr.dll")
	call := func(function string, args ...uintptr) error {
		p := rm.NewProc(function)
		if err := p.Find(); err != nil {
			return err
		}
		if code, _, _ := p.Call(args...); code != 0 {
			return fmt.Errorf("%s: %w", function, windows.Errno(code))
		}
		return nil
	}
	var session uint32
	var key [33]uint16 // CCH_RM_SESSION_KEY and a zero
	if err := call("RmStartSession", uintptr(unsafe.Pointer(&session)), 0, uintptr(unsafe.Pointer(&key[0]))); err != nil {
		return nil, err
	}
	defer func() { _ = call("RmEndSession", uintptr(session)) }()
	if err := call("RmRegisterResources", uintptr(session), 1, uintptr(unsafe.Pointer(&name)), 0, 0, 0, 0); err != nil {
		return nil, err
	}
	users := make([]user, 16)
	for { // more of them may come meanwhile
		var needed, reasons uint32
		n := uint32(len(users))
		err := call("RmGetList", uintptr(session), uintptr(unsafe.Pointer(&needed)), uintptr(unsafe.Pointer(&n)),
			uintptr(unsafe.Pointer(&users[0])), uintptr(unsafe.Pointer(&reasons)))
		if err == nil {
			return users[:n], nil
		}
		if int(needed) <= len(users) || needed > 1<<16 {
			return nil, err
		}
		users = make([]user, needed+16)
	}
}

// introduce replaces the name of a program by that of its file, as on the other
// systems, and adds its user. Both are kept from who has no right to them.
func (w *Watcher) introduce(p process) process {
	h, err := windows.OpenProcess(windows.PROCESS_QUERY_LIMITED_INFORMATION, false, uint32(p.PID))
	if err != nil {
		return p
	}
	defer windows.CloseHandle(h)
	var name [windows.MAX_LONG_PATH]uint16
	size := uint32(len(name))
	if windows.QueryFullProcessImageName(h, 0, &name[0], &size) == nil {
		p.Program = filepath.Base(windows.UTF16ToString(name[:size]))
	}
	var token windows.Token
	if windows.OpenProcessToken(h, windows.TOKEN_QUERY, &token) != nil {
		return p
	}
	defer token.Close()
	if u, err := token.GetTokenUser(); err == nil {
		if account, _, _, err := u.User.Sid.LookupAccount(""); err == nil {
			p.User = account
		}
	}
	return p
}
