package dash

import (
	"context"
	"log/slog"
	"net/http"
	"strings"

	"github.com/holdfastdb/holdfast"
	"github.com/holdfastdb/holdfast/alerts"
)

// Option changes one setting of a Dashboard.
type Option func(*options)

type options struct {
	prefix    string
	title     string
	auth      func(*http.Request) error
	public    bool
	others    bool
	hosts     []string
	logger    *slog.Logger
	actions   bool
	backupOf  func(database string) BackupFunc // what the button does; nil: see backupDir
	backupDir string                           // where the button's go; "": there is none
	audit     *audit
	alerts    *alerts.Engine
	config    func(database string) *holdfast.ConfigReport
}

// WithPrefix says under which address the handler is mounted without http.StripPrefix:
// "/debug/holdfast".
func WithPrefix(prefix string) Option {
	return func(o *options) { o.prefix = strings.TrimRight(prefix, "/") }
}

// WithTitle is what stands at the top of each page. Default: the database's file name.
func WithTitle(title string) Option { return func(o *options) { o.title = title } }

// WithAuth asks for each request whether it may be answered: an error refuses it with 401, and
// its text is shown. With it requests may come from other machines and by any
// name; WithHosts bounds the names.
func WithAuth(allowed func(*http.Request) error) Option {
	return func(o *options) { o.auth = allowed }
}

// WithPublic answers everybody who reaches the handler: statements without their values, call
// sites, file names and sizes are then public. Add WithHosts, or a page that somebody visits from within
// the network can have the answers too (DNS rebinding).
func WithPublic() Option { return func(o *options) { o.public = true } }

// WithHosts answers only what was asked under one of these names, without ports. Default:
// localhost and addresses of this machine; with WithAuth or WithPublic any.
func WithHosts(names ...string) Option {
	return func(o *options) { o.hosts = append(o.hosts, names...) }
}

// WithActions offers buttons that do something: checkpoint, optimize, back up, end a
// transaction or a result. It needs WithAuth; without, there is none. Each press is logged (WithLogger)
// with the peer. Default: false.
func WithActions(offered bool) Option { return func(o *options) { o.actions = offered } }

// WithBackups is the directory that the button for a backup writes to. Without one there
// is no such button.
func WithBackups(dir string) Option {
	return func(o *options) { o.backupOf, o.backupDir = nil, dir }
}

// BackupFunc makes one verified backup of a database and says what came of it. It has
// half an hour.
type BackupFunc func(ctx context.Context) (holdfast.BackupInfo, error)

// WithBackupsOf gives each database a way of its own to be backed up by the button: in the
// format, and at the place, that its configuration names. of is asked for each page and has to be quick; nil
// is no button. The database is named as Databases names it, and "" by Handler.
func WithBackupsOf(of func(database string) BackupFunc) Option {
	return func(o *options) { o.backupOf = of }
}

// WithLogger sends what was done by buttons, or refused, and pages that failed to l. Default: silent.
func WithLogger(l *slog.Logger) Option { return func(o *options) { o.logger = l } }

// WithConfig tells the pages where the settings of a database come from: what LoadConfig
// has returned for it, nil if that is not known. The database is named as Databases names it, and ""
// by Handler.
func WithConfig(report func(database string) *holdfast.ConfigReport) Option {
	return func(o *options) { o.config = report }
}
