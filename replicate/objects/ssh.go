package objects

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/url"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/pkg/sftp"
	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"
	"golang.org/x/crypto/ssh/knownhosts"
)

// ErrHostKey: the server isn't the one that the file of known hosts knows.
var ErrHostKey = errors.New("the server can't be trusted")

const writeNew = os.O_WRONLY | os.O_CREATE | os.O_EXCL

// session is one connection to a server of SFTP.
type session struct {
	ssh    *ssh.Client
	client *sftp.Client
	used   time.Time
	closed sync.Once
}

func (s *session) close() {
	s.closed.Do(func() {
		_ = s.ssh.Close() // first: the other would wait for a server that is silent
		_ = s.client.Close()
	})
}

// server is what is needed to reach one.
type server struct {
	addr  string
	user  string
	key   string // file, or ""
	known string // file
}

func dialer(u *url.URL) (func(ctx context.Context) (*session, error), error) {
	home, _ := os.UserHomeDir() // without one, both files have to be named
	query := u.Query()
	s := server{addr: net.JoinHostPort(u.Hostname(), "22"), user: u.User.Username(), key: query.Get("key"), known: query.Get("known-hosts")}
	if u.Port() != "" {
		s.addr = net.JoinHostPort(u.Hostname(), u.Port())
	}
	if s.known == "" {
		s.known = filepath.Join(home, ".ssh", "known_hosts")
	}
	if s.user == "" {
		me, err := user.Current()
		if err != nil {
			return nil, invalid("name the user: sftp://USER@%s", u.Host)
		}
		s.user = me.Username
	}
	return s.dial, nil
}

func (s server) dial(ctx context.Context) (*session, error) {
	known, err := knownhosts.New(s.known)
	if err != nil {
		return nil, said{fmt.Errorf("%w: the known hosts can't be read (%w): make the file by ssh-keyscan, and compare what it says with the server's own", ErrHostKey, err)}
	}
	c, err := dialing(silence)(ctx, "tcp", s.addr)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnreachable, err)
	}
	stop := context.AfterFunc(ctx, func() { _ = c.Close() }) // the handshake knows no context
	defer stop()
	session, err := s.greet(ctx, c, known)
	if err != nil {
		_ = c.Close()
		return nil, err
	}
	return session, nil
}

func (s server) greet(ctx context.Context, c net.Conn, known ssh.HostKeyCallback) (*session, error) {
	var hostKey error
	trusted := false
	keys := keyring{file: s.key}
	defer keys.close()
	config := &ssh.ClientConfig{
		User: s.user,
		Auth: []ssh.AuthMethod{ssh.PublicKeysCallback(func() ([]ssh.Signer, error) { return keys.signers(ctx) })},
		HostKeyCallback: func(host string, remote net.Addr, key ssh.PublicKey) error {
			hostKey = known(host, remote, key)
			trusted = hostKey == nil
			return hostKey
		},
		HostKeyAlgorithms: algorithms(known, s.addr),
	}
	client, channels, requests, err := ssh.NewClientConn(c, s.addr, config)
	switch {
	case err == nil:
	case hostKey != nil:
		return nil, said{fmt.Errorf("%w: %s: %w (%s): if that is as it should be, mend the file of known hosts", ErrHostKey, s.addr, hostKey, s.known)}
	case keys.err != nil:
		return nil, said{fmt.Errorf("%w: %s: %w", fs.ErrPermission, s.addr, keys.err)}
	case trusted && !isNetwork(err):
		return nil, said{fmt.Errorf("%w: %s: none of %d keys opens it for %s: give another by key=FILE, or to the agent", fs.ErrPermission, s.addr, keys.tried, s.user)}
	default:
		return nil, fmt.Errorf("%w: %s: %w", ErrUnreachable, s.addr, err)
	}
	conn := ssh.NewClient(client, channels, requests)
	files, err := sftp.NewClient(conn, sftp.UseConcurrentWrites(true))
	if err != nil {
		_ = conn.Close()
		return nil, fmt.Errorf("%w: %s has no SFTP: %w", ErrUnreachable, s.addr, err)
	}
	return &session{ssh: conn, client: files, used: time.Now()}, nil
}

func isNetwork(err error) bool {
	var e *net.OpError
	return errors.As(err, &e) || errors.Is(err, io.EOF)
}

// algorithms are those of the keys that are known of the host: a server with keys of
// several kinds would else show one that isn't known. nil if none is.
func algorithms(known ssh.HostKeyCallback, addr string) (list []string) {
	var mismatch *knownhosts.KeyError
	if err := known(addr, &net.TCPAddr{}, noKey{}); !errors.As(err, &mismatch) {
		return nil
	}
	for _, k := range mismatch.Want {
		kinds := []string{k.Key.Type()}
		if kinds[0] == ssh.KeyAlgoRSA {
			kinds = []string{ssh.KeyAlgoRSASHA512, ssh.KeyAlgoRSASHA256}
		}
		for _, kind := range kinds {
			if !slices.Contains(list, kind) {
				list = append(list, kind)
			}
		}
	}
	return list
}

// noKey is no server's key.
type noKey struct{}

func (noKey) Type() string                        { return "none" }
func (noKey) Marshal() []byte                     { return nil }
func (noKey) Verify([]byte, *ssh.Signature) error { return errors.New("no key") }

// keyring finds the keys of the user, as ssh does.
type keyring struct {
	file  string
	agent net.Conn
	tried int
	err   error
}

func (k *keyring) close() {
	if k.agent != nil {
		_ = k.agent.Close()
	}
}

func (k *keyring) signers(ctx context.Context) (signers []ssh.Signer, err error) {
	defer func() { k.tried, k.err = len(signers), err }()
	if k.file != "" {
		key, err := readKey(k.file)
		if err != nil {
			return nil, err
		}
		return []ssh.Signer{key}, nil
	}
	if socket := os.Getenv("SSH_AUTH_SOCK"); socket != "" {
		if k.agent, err = new(net.Dialer).DialContext(ctx, "unix", socket); err == nil {
			signers, _ = agent.NewClient(k.agent).Signers() // one that doesn't answer has none
		}
	}
	home, _ := os.UserHomeDir()
	for _, name := range []string{"id_ed25519", "id_ecdsa", "id_rsa"} {
		if key, err := readKey(filepath.Join(home, ".ssh", name)); err == nil { // those with a passphrase are the agent's
			signers = append(signers, key)
		}
	}
	if len(signers) == 0 {
		return nil, errors.New("there is no key: give a file by key=FILE, or start an agent (SSH_AUTH_SOCK)")
	}
	return signers, nil
}

// readKey reads a private key. Its errors hold nothing of what is in the file.
func readKey(path string) (ssh.Signer, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	key, err := ssh.ParsePrivateKey(text)
	var locked *ssh.PassphraseMissingError
	switch {
	case errors.As(err, &locked):
		return nil, fmt.Errorf("the key %s has a passphrase: give it to an agent (ssh-add)", path)
	case err != nil:
		return nil, fmt.Errorf("%s holds no private key of SSH", path)
	}
	return key, nil
}
