package torture

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// volume is a file system of its own that can lose its power or run out of
// space. A child, the keeper, has mounted it in a mount namespace of its own:
// when the processes in there have ended, by whatever signal, the kernel
// unmounts it and frees the loop device, so that nothing is left to tidy up.
type volume struct {
	keeper *Child
	path   string // where the processes in its namespace see it
}

// volumeConfig is an ext4 file system in an image, or a tmpfs of a size.
type volumeConfig struct {
	Mount string `json:"mount"`
	Image string `json:"image"` // a path; "" for a tmpfs
	Size  string `json:"size"`  // as tmpfs and truncate take it, such as 16m
}

// newVolume makes an ext4 file system, or a tmpfs, of a size in bytes.
func newVolume(ctx context.Context, t *Trial, name string, size int64, tmpfs bool) (*volume, error) {
	dir, err := filepath.Abs(filepath.Join(t.Dir, name))
	if err != nil {
		return nil, err
	}
	c := volumeConfig{Mount: filepath.Join(dir, "volume"), Size: fmt.Sprint(size)}
	if err := os.MkdirAll(c.Mount, 0o700); err != nil {
		return nil, err
	}
	if !tmpfs {
		c.Image = filepath.Join(dir, "image")
		if err := format(ctx, c.Image, size); err != nil {
			return nil, err
		}
	}
	v := &volume{path: c.Mount}
	if v.keeper, err = t.ChildUnder(ctx, []string{"unshare", "--mount", "--propagation", "private", "--"}, "volume", c, nil); err != nil {
		return nil, err
	}
	_, err = v.keeper.Expect(ctx, "mounted")
	return v, err
}

// format makes a file system in an image. What mkfs would leave to the first
// mount is done at once, or the kernel would be at it in the background.
func format(ctx context.Context, image string, size int64) error {
	f, err := os.Create(image)
	if err != nil {
		return err
	}
	if err := f.Truncate(size); err != nil {
		_ = f.Close()
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	return command(ctx, "mkfs.ext4", "-q", "-F", "-b", "4096", "-J", "size=4", "-m", "0", "-N", "256",
		"-E", "lazy_itable_init=0,lazy_journal_init=0,nodiscard", image)
}

func command(ctx context.Context, name string, args ...string) error {
	if out, err := exec.CommandContext(ctx, name, args...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", name, err, strings.TrimSpace(string(out)))
	}
	return nil
}

// inside is the command by which a child gets to see the volume.
func (v *volume) inside() []string {
	return []string{"nsenter", fmt.Sprintf("--mount=/proc/%d/ns/mnt", v.keeper.PID), "--"}
}

// outside is where processes outside of the namespace see a file of the volume.
// It is good for plain reads and writes; SQLite would take the link for what it
// says.
func (v *volume) outside(name string) string {
	return fmt.Sprintf("/proc/%d/root%s", v.keeper.PID, filepath.Join(v.path, name))
}

// ask makes the keeper do something: "cut" the power, mount it "again", or give
// it a "size".
func (v *volume) ask(ctx context.Context, what string) error {
	v.keeper.Say(what)
	_, err := v.keeper.Expect(ctx, "done")
	return err
}

// close unmounts. Nobody may be on the volume any more.
func (v *volume) close(ctx context.Context) error { return v.keeper.Finish(ctx) }

// Volumes needs file systems of its own: it makes one, for a CI machine may have
// root and all commands and yet no loop devices.
func Volumes(ctx context.Context) string { return needsVolume(ctx, false) }

// TmpfsVolumes is Volumes for those in memory.
func TmpfsVolumes(ctx context.Context) string { return needsVolume(ctx, true) }

func needsVolume(ctx context.Context, tmpfs bool) string {
	programs := []string{"unshare", "nsenter", "mount", "umount"}
	if !tmpfs {
		programs = append(programs, "mkfs.ext4")
	}
	for _, p := range programs {
		if _, err := exec.LookPath(p); err != nil {
			return fmt.Sprintf("needs the command %s: install util-linux and e2fsprogs", p)
		}
	}
	dir, err := os.MkdirTemp("", "holdfast-torture-volume-")
	if err != nil {
		return fmt.Sprintf("needs a scratch directory: %s", err)
	}
	defer os.RemoveAll(dir)
	args := []string{"-t", "tmpfs", "none", dir}
	if !tmpfs {
		image := filepath.Join(dir, "image")
		if err := format(ctx, image, volumeSize); err != nil {
			return fmt.Sprintf("needs ext4: %s", err)
		}
		args = []string{"-o", "loop", image, dir}
	}
	args = append([]string{"--mount", "--propagation", "private", "--", "mount"}, args...)
	if err := command(ctx, "unshare", args...); err != nil {
		return fmt.Sprintf("needs the right to mount, and loop devices: run it as root, in a container with --privileged (%s)", err)
	}
	return ""
}

// volumeSize is little, so that making one takes 10 ms, and enough for the
// journal and some databases.
const volumeSize = 24 << 20
