package objects

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/holdfastdb/holdfast"
	"github.com/pkg/sftp"
)

// download is an object that is being read. Where the connection breaks it goes on from
// there with another, so that an hour of downloading isn't lost to a second's outage.
type download struct {
	b     *bucket
	ctx   context.Context
	name  string
	etag  *string // it goes on with the same object, or not at all
	body  io.ReadCloser
	size  int64
	read  int64
	again int // connections since the last byte
}

func (d *download) Read(p []byte) (int, error) {
	for {
		n, err := d.body.Read(p)
		d.read += int64(n)
		if n > 0 {
			d.again = 0
		}
		switch {
		case n > 0 && err != nil && !errors.Is(err, io.EOF):
			return n, nil // the error comes again, or not
		case err == nil || errors.Is(err, io.EOF) && d.read >= d.size:
			return n, err
		case d.ctx.Err() != nil:
			return n, d.ctx.Err()
		}
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		if err := d.goOn(err); err != nil {
			return n, err
		}
		if n > 0 {
			return n, nil
		}
	}
}

func (d *download) goOn(cause error) error {
	if d.again++; d.again > attempts {
		return d.b.failed(d.ctx, "read", d.name, cause)
	}
	got, err := d.b.client.GetObject(d.ctx, &s3.GetObjectInput{
		Bucket: &d.b.name, Key: d.b.key(d.name), Range: aws.String(fmt.Sprintf("bytes=%d-", d.read)), IfMatch: d.etag,
	})
	if err != nil {
		return d.b.failed(d.ctx, "read on", d.name, err)
	}
	_ = d.body.Close()
	d.body = got.Body
	if aws.ToInt64(got.ContentLength) != d.size-d.read { // a server that knows no ranges, or another object
		return fmt.Errorf("%w: %s: the connection broke, and the server can't go on from there: try again", ErrUnreachable, d.b.Path(d.name))
	}
	return nil
}

func (d *download) Close() error { return d.body.Close() }

// remoteFile is a file behind SFTP that is being read, and has a session to itself.
type remoteFile struct {
	d       *directory
	ctx     context.Context
	name    string
	session *session
	stop    func() bool
	f       *sftp.File
	r       *bufio.Reader
	size    int64
	read    int64
	err     error
}

func (r *remoteFile) Read(p []byte) (int, error) {
	if r.err != nil {
		return 0, r.err
	}
	n, err := r.r.Read(p)
	r.read += int64(n)
	switch {
	case err == nil:
		return n, nil
	case errors.Is(err, io.EOF) && r.read >= r.size:
		return n, io.EOF
	case errors.Is(err, io.EOF):
		err = io.ErrUnexpectedEOF // the end of the connection, not of the file
	}
	r.err = r.d.failed(r.ctx, "read", r.name, err)
	return n, r.err
}

func (r *remoteFile) Close() error {
	err := r.f.Close()
	if r.stop() && err == nil && r.err == nil {
		r.d.give(r.session)
		return nil
	}
	r.session.close()
	return nil
}

// same fails if what was kept isn't what was to be kept.
func same(path string, kept, want io.Reader) error {
	got, sent := sha256.New(), sha256.New()
	if _, err := io.Copy(got, kept); err != nil {
		return err
	}
	if _, err := io.Copy(sent, want); err != nil {
		return err
	}
	return compared(path, got.Sum(nil), sent.Sum(nil))
}

func compared(path string, got, sent []byte) error {
	if !bytes.Equal(got, sent) {
		return fmt.Errorf("%w: %s was read back and has the sha256 %x, and %x was sent; nothing is kept under that name: try again, or elsewhere", holdfast.ErrIO, path, got, sent)
	}
	return nil
}
