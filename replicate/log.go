package replicate

import (
	"context"
	"log/slog"
)

// quiet passes on what Litestream says, one level lower: what an operator must know of
// it is told by Replication, in its own words.
func quiet(log *slog.Logger) *slog.Logger {
	return slog.New(lower{log.Handler()}).With("by", "litestream")
}

type lower struct{ slog.Handler }

func (l lower) Enabled(ctx context.Context, level slog.Level) bool {
	return l.Handler.Enabled(ctx, lowered(level))
}

func (l lower) Handle(ctx context.Context, r slog.Record) error {
	r.Level = lowered(r.Level)
	return l.Handler.Handle(ctx, r)
}

func (l lower) WithAttrs(a []slog.Attr) slog.Handler { return lower{l.Handler.WithAttrs(a)} }
func (l lower) WithGroup(n string) slog.Handler      { return lower{l.Handler.WithGroup(n)} }

func lowered(level slog.Level) slog.Level {
	if level <= slog.LevelInfo {
		return level - 4
	}
	return level
}
