package objects

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/url"

	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/smithy-go"
	"github.com/holdfastdb/holdfast"
)

// kinds are the answers of S3 servers that an operator can do something about.
var kinds = map[string]struct {
	is   error
	next string
}{
	"NoSuchKey":                    {fs.ErrNotExist, "there is no such object"},
	"NotFound":                     {fs.ErrNotExist, "there is no such object, or no such bucket"}, // the answer to HEAD has no text
	"NoSuchBucket":                 {fs.ErrNotExist, "there is no such bucket: create it, or look at its name and at the endpoint"},
	"NoSuchUpload":                 {fs.ErrNotExist, "the upload was aborted by somebody, or took longer than a day: try again"},
	"AccessDenied":                 {fs.ErrPermission, "the credentials don't permit that: they need GetObject, PutObject, DeleteObject, AbortMultipartUpload, ListBucket and ListBucketMultipartUploads"},
	"AllAccessDisabled":            {fs.ErrPermission, "the bucket is closed"},
	"InvalidAccessKeyId":           {fs.ErrPermission, "the credentials are unknown there: look at AWS_ACCESS_KEY_ID and at the endpoint"},
	"SignatureDoesNotMatch":        {fs.ErrPermission, "the credentials are wrong: look at AWS_SECRET_ACCESS_KEY"},
	"ExpiredToken":                 {fs.ErrPermission, "the credentials have expired: get new ones"},
	"RequestTimeTooSkewed":         {fs.ErrPermission, "the clock of this machine is wrong: set it"},
	"PreconditionFailed":           {fs.ErrExist, "somebody else has taken the name, or changed the object"},
	"ConditionalRequestConflict":   {fs.ErrExist, "somebody else is just taking the name"},
	"PermanentRedirect":            {ErrURL, "the bucket is in another region: say which by region="},
	"AuthorizationHeaderMalformed": {ErrURL, "the bucket is in another region: say which by region="},
	"BadDigest":                    {holdfast.ErrIO, "what arrived is not what was sent: look at the network, and try again"},
	"NotImplemented":               {errors.ErrUnsupported, "the server doesn't know that"},
	"XMinioStorageFull":            {holdfast.ErrDiskFull, "the server is full"},
	"QuotaExceeded":                {holdfast.ErrDiskFull, "the bucket has reached its quota"},
	"InsufficientStorage":          {holdfast.ErrDiskFull, "the server is full"},
}

// statuses are for answers whose code says nothing, as those to HEAD.
var statuses = map[int]string{403: "AccessDenied", 404: "NotFound", 412: "PreconditionFailed", 501: "NotImplemented", 507: "InsufficientStorage"}

// failed says what has failed and why, and gives the error its kind. It takes the code
// of a server's answer and not its text, nor the SDK's, which hold what the server
// likes to put there, and parts of the request.
func (b *bucket) failed(ctx context.Context, what, name string, err error) error {
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	var api smithy.APIError
	var response *awshttp.ResponseError
	status := 0
	if errors.As(err, &response) {
		status = response.HTTPStatusCode()
	}
	if !errors.As(err, &api) && status == 0 {
		return fmt.Errorf("%w: %s: %s: %w; look at the network and at the endpoint", ErrUnreachable, b.Path(name), what, bare(err))
	}
	code := ""
	if api != nil {
		code = api.ErrorCode()
	}
	kind, known := kinds[code]
	if !known {
		kind, known = kinds[statuses[status]]
	}
	if !known {
		kind.is, kind.next = ErrUnreachable, "the server has failed: try again later"
	}
	return fmt.Errorf("%w: %s: %s: %s (HTTP %d, %q)", kind.is, b.Path(name), what, kind.next, status, code)
}

// bare is the error without the URL and the request that it is about.
func bare(err error) error {
	var about *url.Error
	if errors.As(err, &about) {
		return about.Err
	}
	var send *smithy.OperationError
	if errors.As(err, &send) {
		return send.Err
	}
	return err
}
