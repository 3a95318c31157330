package objects

import (
	"context"
	"crypto/md5" // S3's checksum of a part; see Put
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go/logging"
	"github.com/holdfastdb/holdfast/backup"
	"golang.org/x/sync/errgroup"
)

// bucket is the part of a bucket below a prefix.
type bucket struct {
	client       *s3.Client
	transport    *http.Transport
	name, prefix string
	url          url.URL
	partSize     int64
}

const (
	// leastPart is the size of parts. With four at once it keeps a fast line busy, and
	// one that is sent again costs seconds.
	leastPart   = 16 << 20
	mostParts   = 10000 // S3's limit
	partsAtOnce = 4
	attempts    = 5
	// farewell is for what is cleared away once a context has ended.
	farewell = 10 * time.Second
)

func openBucket(ctx context.Context, u *url.URL) (*bucket, error) {
	query := u.Query()
	endpoint, pathStyle, err := endpointOf(query)
	if err != nil {
		return nil, err
	}
	options := []func(*config.LoadOptions) error{
		config.WithHTTPClient(awshttp.NewBuildableClient()),
		config.WithLogger(logging.Nop{}),
		// The checksums that the SDK adds by itself are refused by many servers that
		// aren't AWS. Put sends Content-MD5, which all of them know.
		config.WithRequestChecksumCalculation(aws.RequestChecksumCalculationWhenRequired),
		config.WithResponseChecksumValidation(aws.ResponseChecksumValidationWhenRequired),
	}
	if region := query.Get("region"); region != "" {
		options = append(options, config.WithRegion(region))
	}
	cfg, err := config.LoadDefaultConfig(ctx, options...)
	if err != nil {
		// The SDK's error may quote a line of a file of credentials.
		return nil, fmt.Errorf("%w: the settings of AWS can't be read: look at AWS_PROFILE, AWS_CONFIG_FILE, AWS_SHARED_CREDENTIALS_FILE and AWS_CA_BUNDLE", fs.ErrPermission)
	}
	b := &bucket{name: u.Host, prefix: strings.TrimPrefix(u.Path, "/"), url: *u, partSize: leastPart}
	if b.prefix != "" {
		b.prefix += "/"
	}
	// The transport, for Close. It has AWS_CA_BUNDLE in it.
	b.transport = cfg.HTTPClient.(*awshttp.BuildableClient).GetTransport()
	b.transport.DialContext = dialing(silence)
	if cfg.Region == "" {
		cfg.Region = "us-east-1"
	}
	b.client = s3.NewFromConfig(cfg, func(o *s3.Options) {
		o.HTTPClient = &http.Client{Transport: b.transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
		o.UsePathStyle = pathStyle
		if endpoint != "" {
			o.BaseEndpoint = aws.String(endpoint)
		}
		if os.Getenv("AWS_MAX_ATTEMPTS") == "" {
			o.RetryMaxAttempts = attempts
		}
	})
	if cfg.Credentials == nil {
		return nil, noCredentials()
	}
	if _, err := cfg.Credentials.Retrieve(ctx); err != nil {
		b.transport.CloseIdleConnections()
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, noCredentials()
	}
	return b, nil
}

// endpointOf reads what a URL says of the server.
func endpointOf(query url.Values) (endpoint string, pathStyle bool, err error) {
	if endpoint = query.Get("endpoint"); endpoint != "" && !strings.Contains(endpoint, "://") {
		endpoint = "https://" + endpoint
	}
	pathStyle = endpoint != ""
	if e, err := url.Parse(endpoint); pathStyle && (err != nil || e.Scheme != "http" && e.Scheme != "https" || e.Host == "" || e.User != nil || e.RawQuery != "") {
		return "", false, invalid("endpoint must be HOST, https://HOST or http://HOST:PORT, without credentials")
	}
	for _, key := range []string{"force-path-style", "path-style"} { // Litestream's name, and ours
		if text := query.Get(key); text != "" {
			if pathStyle, err = strconv.ParseBool(text); err != nil {
				return "", false, invalid("%s must be true or false", key)
			}
		}
	}
	return endpoint, pathStyle, nil
}

func noCredentials() error {
	return fmt.Errorf("%w: there are no credentials for S3: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE, or give the machine a role", fs.ErrPermission)
}

func (b *bucket) Close() error {
	b.transport.CloseIdleConnections()
	return nil
}

func (b *bucket) Path(name string) string { return pathOf(b.url, name) }

func (b *bucket) key(name string) *string { return aws.String(b.prefix + name) }

// Put uploads in parts, also what would fit into one request: there is no object until
// the parts are put together, and by then each was compared. With each part its MD5 is
// sent, by which the server refuses what arrives otherwise, and the server's own MD5
// comes back as the ETag. Where the server encrypts with keys of its own, the ETag is
// none, and the whole object is read back.
func (b *bucket) Put(ctx context.Context, name string, content io.ReaderAt, size int64) error {
	if err := b.absent(ctx, name); err != nil {
		return err
	}
	created, err := b.client.CreateMultipartUpload(ctx, &s3.CreateMultipartUploadInput{Bucket: &b.name, Key: b.key(name)})
	if err != nil {
		return b.failed(ctx, "begin an upload", name, err)
	}
	etag, err := b.put(ctx, name, created.UploadId, content, size)
	if err != nil {
		b.abort(ctx, name, created.UploadId)
		return err
	}
	if etag != "" {
		return nil
	}
	if err := b.readBack(ctx, name, content, size); err != nil {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), farewell)
		defer cancel()
		return errors.Join(err, b.Remove(ctx, name))
	}
	return nil
}

// put uploads the parts and makes the object. It returns the object's ETag if that
// proves what the server has received.
func (b *bucket) put(ctx context.Context, name string, upload *string, content io.ReaderAt, size int64) (etag string, err error) {
	parts, want, err := b.parts(ctx, name, upload, content, size)
	if err != nil {
		return "", err
	}
	if err := b.absent(ctx, name); err != nil { // not every server knows If-None-Match
		return "", err
	}
	done, err := b.client.CompleteMultipartUpload(ctx, &s3.CompleteMultipartUploadInput{
		Bucket: &b.name, Key: b.key(name), UploadId: upload, IfNoneMatch: aws.String("*"), MultipartUpload: &types.CompletedMultipartUpload{Parts: parts},
	})
	if err != nil {
		if ctx.Err() == nil && b.isThere(ctx, name, content, size) { // the answer was lost, and the SDK has asked again
			return want, nil
		}
		return "", b.failed(ctx, "end the upload", name, err)
	}
	if got := unquoted(done.ETag); got == want {
		return got, nil
	}
	return "", nil
}

// parts uploads the parts, and returns what the ETag of the object must be: S3 makes it
// of those of the parts. "" if they are not MD5s.
func (b *bucket) parts(ctx context.Context, name string, upload *string, content io.ReaderAt, size int64) ([]types.CompletedPart, string, error) {
	length := max(b.partSize, (size+mostParts-1)/mostParts)
	n := int(max(1, (size+length-1)/length))
	parts, sums := make([]types.CompletedPart, n), make([][]byte, n)
	group, running := errgroup.WithContext(ctx)
	group.SetLimit(partsAtOnce)
	for i := range n {
		if running.Err() != nil {
			break
		}
		group.Go(func() error {
			from := int64(i) * length
			part := io.NewSectionReader(content, from, min(length, size-from))
			sum := md5.New()
			if _, err := io.Copy(sum, part); err != nil {
				return err
			}
			sums[i] = sum.Sum(nil)
			number := aws.Int32(int32(i + 1))
			done, err := b.client.UploadPart(running, &s3.UploadPartInput{
				Bucket: &b.name, Key: b.key(name), UploadId: upload, PartNumber: number, Body: io.NewSectionReader(content, from, part.Size()),
				ContentLength: aws.Int64(part.Size()), ContentMD5: aws.String(base64.StdEncoding.EncodeToString(sums[i])),
			})
			if err != nil {
				return b.failed(running, "upload", name, err)
			}
			if unquoted(done.ETag) != hex.EncodeToString(sums[i]) {
				sums[i] = nil
			}
			parts[i] = types.CompletedPart{ETag: done.ETag, PartNumber: number}
			return nil
		})
	}
	err := group.Wait()
	if ctx.Err() != nil {
		return nil, "", ctx.Err()
	}
	if err != nil {
		return nil, "", err
	}
	all := md5.New()
	for _, sum := range sums {
		if sum == nil {
			return parts, "", nil
		}
		all.Write(sum)
	}
	return parts, fmt.Sprintf("%x-%d", all.Sum(nil), n), nil
}

func unquoted(etag *string) string { return strings.Trim(aws.ToString(etag), `"`) }

// absent is fs.ErrExist if there is an object of that name.
func (b *bucket) absent(ctx context.Context, name string) error {
	_, err := b.client.HeadObject(ctx, &s3.HeadObjectInput{Bucket: &b.name, Key: b.key(name)})
	if err == nil {
		return taken(b.Path(name))
	}
	if err = b.failed(ctx, "look for it", name, err); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

func taken(path string) error {
	return fmt.Errorf("%s exists already (%w)", path, fs.ErrExist)
}

func (b *bucket) isThere(ctx context.Context, name string, content io.ReaderAt, size int64) bool {
	head, err := b.client.HeadObject(ctx, &s3.HeadObjectInput{Bucket: &b.name, Key: b.key(name)})
	return err == nil && aws.ToInt64(head.ContentLength) == size && b.readBack(ctx, name, content, size) == nil
}

func (b *bucket) readBack(ctx context.Context, name string, content io.ReaderAt, size int64) error {
	kept, _, err := b.Get(ctx, name)
	if err != nil {
		return err
	}
	defer kept.Close()
	return same(b.Path(name), kept, io.NewSectionReader(content, 0, size))
}

// abort forgets the parts. Until then they cost money, and the object can still appear.
func (b *bucket) abort(ctx context.Context, name string, upload *string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), farewell)
	defer cancel()
	_, _ = b.client.AbortMultipartUpload(ctx, &s3.AbortMultipartUploadInput{Bucket: &b.name, Key: b.key(name), UploadId: upload}) // or Sweep does it
}

func (b *bucket) Get(ctx context.Context, name string) (io.ReadCloser, int64, error) {
	got, err := b.client.GetObject(ctx, &s3.GetObjectInput{Bucket: &b.name, Key: b.key(name)})
	if err != nil {
		return nil, 0, b.failed(ctx, "read", name, err)
	}
	d := &download{b: b, ctx: ctx, name: name, etag: got.ETag, body: got.Body, size: aws.ToInt64(got.ContentLength)}
	return d, d.size, nil
}

func (b *bucket) List(ctx context.Context) ([]backup.Object, error) {
	var objects []backup.Object
	pages := s3.NewListObjectsV2Paginator(b.client, &s3.ListObjectsV2Input{
		Bucket: &b.name, Prefix: &b.prefix, Delimiter: aws.String("/"), EncodingType: types.EncodingTypeUrl, // a name of somebody else's may be no XML
	})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, b.failed(ctx, "list", "", err)
		}
		for _, o := range page.Contents {
			key := aws.ToString(o.Key)
			if page.EncodingType == types.EncodingTypeUrl {
				if key, err = url.QueryUnescape(key); err != nil {
					continue // not one of ours
				}
			}
			if name, ok := strings.CutPrefix(key, b.prefix); ok && name != "" {
				objects = append(objects, backup.Object{Name: name, Bytes: aws.ToInt64(o.Size), Modified: aws.ToTime(o.LastModified)})
			}
		}
	}
	return objects, nil
}

func (b *bucket) Remove(ctx context.Context, name string) error {
	_, err := b.client.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: &b.name, Key: b.key(name)})
	if err = b.failed(ctx, "remove", name, err); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// Sweep aborts uploads of ours in this place, and in no other below it. Where it may
// not see or abort them, a rule of the bucket has to (AbortIncompleteMultipartUpload).
func (b *bucket) Sweep(ctx context.Context, age time.Duration, ours func(name string) bool) error {
	pages := s3.NewListMultipartUploadsPaginator(b.client, &s3.ListMultipartUploadsInput{Bucket: &b.name, Prefix: &b.prefix})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			// Some servers call a bucket without uploads missing.
			if err = b.failed(ctx, "list uploads", "", err); errors.Is(err, fs.ErrPermission) || errors.Is(err, errors.ErrUnsupported) || errors.Is(err, fs.ErrNotExist) {
				return nil
			}
			return err
		}
		for _, u := range page.Uploads {
			name, ok := strings.CutPrefix(aws.ToString(u.Key), b.prefix)
			if !ok || strings.Contains(name, "/") || !ours(name) || time.Since(aws.ToTime(u.Initiated)) < age {
				continue
			}
			b.abort(ctx, name, u.UploadId)
		}
	}
	return nil
}
