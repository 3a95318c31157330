package holdfast_test

import (
	"time"
	"unsafe"

	"golang.org/x/sys/windows"
)

// threadTime is the processor time of the thread that calls it, in steps of some 16 ms.
func threadTime() time.Duration {
	return spent(windows.NewLazySystemDLL("kernel32.dll").NewProc("GetThreadTimes"), windows.CurrentThread())
}

// processTime is that of the whole process.
func processTime() time.Duration {
	return spent(windows.NewLazySystemDLL("kernel32.dll").NewProc("GetProcessTimes"), windows.CurrentProcess())
}

func spent(times *windows.LazyProc, of windows.Handle) time.Duration {
	var begun, ended, kernel, user windows.Filetime
	ok, _, err := times.Call(uintptr(of), uintptr(unsafe.Pointer(&begun)), uintptr(unsafe.Pointer(&ended)),
		uintptr(unsafe.Pointer(&kernel)), uintptr(unsafe.Pointer(&user)))
	if ok == 0 {
		panic(err)
	}
	return interval(kernel) + interval(user)
}

// interval is a Filetime that counts from nothing.
func interval(t windows.Filetime) time.Duration {
	return time.Duration(int64(t.HighDateTime)<<32|int64(t.LowDateTime)) * 100
}
