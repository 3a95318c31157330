package torture

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// volumeRole keeps a volume until the parent closes the pipe.
func volumeRole(ctx context.Context, p *Parent, config json.RawMessage) error {
	var c volumeConfig
	if err := json.Unmarshal(config, &c); err != nil {
		return err
	}
	if err := c.mount(ctx); err != nil {
		return err
	}
	if err := p.Tell("mounted"); err != nil {
		return err
	}
	for {
		line, err := p.Next(ctx)
		if err == io.EOF || ctx.Err() != nil {
			return c.unmount(context.WithoutCancel(ctx))
		}
		if err != nil {
			return err
		}
		if err := c.obey(ctx, line); err != nil {
			return fmt.Errorf("%s: %w", line, err)
		}
		if err := p.Tell("done"); err != nil {
			return err
		}
	}
}

func (c *volumeConfig) obey(ctx context.Context, line string) error {
	word, rest, _ := strings.Cut(line, " ")
	switch word {
	case "cut":
		return shutdown(c.Mount)
	case "again":
		if err := c.unmount(ctx); err != nil {
			return err
		}
		return c.mount(ctx)
	case "size":
		return unix.Mount("", c.Mount, "", unix.MS_REMOUNT, "size="+rest)
	}
	return fmt.Errorf("a volume has no command %q", line)
}

// mount mounts. The loop device is freed by the kernel with the mount, which is
// what the mount command asks for.
func (c *volumeConfig) mount(ctx context.Context) error {
	if c.Image == "" {
		return unix.Mount("none", c.Mount, "tmpfs", 0, "size="+c.Size)
	}
	return command(ctx, "mount", "-n", "-t", "ext4", "-o", "loop,noatime", c.Image, c.Mount)
}

func (c *volumeConfig) unmount(ctx context.Context) error {
	return command(ctx, "umount", "-n", c.Mount)
}

// The request by which ext4 stops, and the flag by which it doesn't write its
// journal before: from then on nothing gets to the device, and what was only in
// memory is gone at the unmount. Nothing shows the difference to a power cut, but
// for the cache of the device: what got to the image stays, flushed or not.
const (
	ext4Shutdown       = 0x8004587d // EXT4_IOC_SHUTDOWN
	ext4ShutdownNoSync = 2          // EXT4_GOING_FLAGS_NOLOGFLUSH
)

func shutdown(mountPoint string) error {
	f, err := os.Open(mountPoint)
	if err != nil {
		return err
	}
	defer f.Close()
	return unix.IoctlSetPointerInt(int(f.Fd()), ext4Shutdown, ext4ShutdownNoSync)
}
