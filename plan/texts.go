package plan

// Language of the sentences.
type Language string

// The languages.
const (
	English Language = "en"
	German  Language = "de"
)

// phrase is a text in both languages. {t} stands for the table as the statement
// names it, and what is behind that name, {i} for the index, {c} for the conditions,
// {n} for a number, {s} for the subject, {e} for a number of rows.
type phrase struct{ en, de string }

func (p phrase) in(l Language) string {
	if l == German {
		return p.de
	}
	return p.en
}

// sentences by what a step does. The table is never written to.
var sentences = map[string]phrase{
	"scan":          {"reads {t} row by row, without an index, to its end or until no more is needed", "liest {t} Zeile für Zeile, ohne Index, bis zum Ende oder bis nichts mehr gebraucht wird"},
	"scan index":    {"goes through index {i} from one end and fetches rows of {t} by it, to its end or until no more is needed", "geht Index {i} von einem Ende her durch und holt danach Zeilen von {t}, bis zum Ende oder bis nichts mehr gebraucht wird"},
	"scan covering": {"goes through index {i} of {t} from one end, to its end or until no more is needed; it has every column that this step needs", "geht Index {i} von {t} von einem Ende her durch, bis zum Ende oder bis nichts mehr gebraucht wird; er hat jede Spalte, die dieser Schritt braucht"},
	"scan result":   {"goes through the rows of {t}, which this plan makes itself", "geht die Zeilen von {t} durch, die dieser Plan selbst erzeugt"},
	"scan queue":    {"takes the row of {t} whose turn it is", "nimmt die Zeile von {t}, die an der Reihe ist"},
	"scan values":   {"goes through the {n} rows of VALUES in the statement", "geht die {n} Zeilen von VALUES in der Anweisung durch"},
	"virtual":       {"asks the virtual table {t} for rows; how it finds them is its own choice (its plan {s})", "fragt die virtuelle Tabelle {t} nach Zeilen; wie sie sie findet, entscheidet sie selbst (ihr Plan {s})"},
	"virtual match": {"asks the full-text index of {t} for the rows that match", "fragt den Volltextindex von {t} nach den Zeilen, die passen"},
	"virtual whole": {"reads the full-text table {t} row by row: no MATCH and no rowid narrows it", "liest die Volltexttabelle {t} Zeile für Zeile: kein MATCH und keine rowid grenzt sie ein"},

	"search rowid":             {"finds rows of {t} by rowid, the key of the table itself", "findet Zeilen von {t} über die rowid, den Schlüssel der Tabelle selbst"},
	"search rowid range":       {"reads only a range of {t}, by rowid ({c})", "liest nur einen Bereich von {t}, nach rowid ({c})"},
	"search key":               {"finds rows of {t} by its primary key ({c})", "findet Zeilen von {t} über den Primärschlüssel ({c})"},
	"search key range":         {"reads only a range of {t}, by its primary key ({c})", "liest nur einen Bereich von {t}, nach dem Primärschlüssel ({c})"},
	"search index":             {"finds rows of {t} by index {i} ({c})", "findet Zeilen von {t} über Index {i} ({c})"},
	"search index range":       {"reads only a range of index {i} ({c}) and fetches rows of {t} by it", "liest nur einen Bereich von Index {i} ({c}) und holt danach Zeilen von {t}"},
	"search cover":             {"finds rows of {t} in index {i} ({c}), which has every column that this step needs", "findet Zeilen von {t} in Index {i} ({c}), der jede Spalte hat, die dieser Schritt braucht"},
	"search cover range":       {"reads only a range of index {i} of {t} ({c}), which has every column that this step needs", "liest nur einen Bereich von Index {i} von {t} ({c}), der jede Spalte hat, die dieser Schritt braucht"},
	"search skip":              {"tries each value of {s} that index {i} has, since the statement gives none, and looks for rows of {t} there ({c})", "probiert jeden Wert von {s}, den Index {i} hat, weil die Anweisung keinen nennt, und sucht dort Zeilen von {t} ({c})"},
	"search skip alone":        {"tries each value of {s} that index {i} has, since the statement gives none, and looks for rows of {t} there", "probiert jeden Wert von {s}, den Index {i} hat, weil die Anweisung keinen nennt, und sucht dort Zeilen von {t}"},
	"search auto":              {"builds a temporary index on {t} ({c}) in each run that gets here, and finds rows by it", "baut in jedem Lauf, der hierher kommt, einen vorübergehenden Index auf {t} ({c}) und findet darüber Zeilen"},
	"search auto partial":      {"builds a temporary index on the rows of {t} that can count ({c}) in each run that gets here, and finds rows by it", "baut in jedem Lauf, der hierher kommt, einen vorübergehenden Index auf die Zeilen von {t}, die in Frage kommen ({c}), und findet darüber Zeilen"},
	"search auto each":         {"builds a temporary index on {t} ({c}) in each run that gets here, and looks into it for each row so far", "baut in jedem Lauf, der hierher kommt, einen vorübergehenden Index auf {t} ({c}) und sieht für jede Zeile bis hierher darin nach"},
	"search auto partial each": {"builds a temporary index on the rows of {t} that can count ({c}) in each run that gets here, and looks into it for each row so far", "baut in jedem Lauf, der hierher kommt, einen vorübergehenden Index auf die Zeilen von {t}, die in Frage kommen ({c}), und sieht für jede Zeile bis hierher darin nach"},
	"search extreme":           {"looks for the smallest or largest value in {t}: the rowid at one end, any other column in every row", "sucht den kleinsten oder größten Wert in {t}: die rowid an einem Ende, jede andere Spalte in allen Zeilen"},
	"search extreme key":       {"looks for the smallest or largest value in {t}: at one end if its primary key begins with that column, else in every row", "sucht den kleinsten oder größten Wert in {t}: an einem Ende, wenn der Primärschlüssel mit dieser Spalte beginnt, sonst in allen Zeilen"},
	"search extreme index":     {"looks for the smallest or largest value by index {i} of {t}: at one end if the index begins with that column, else in all of it", "sucht den kleinsten oder größten Wert über Index {i} von {t}: an einem Ende, wenn der Index mit dieser Spalte beginnt, sonst im ganzen"},

	"constant":        {"makes one row and reads no table", "erzeugt eine Zeile und liest keine Tabelle"},
	"constant values": {"makes rows of the values in the statement and reads no table", "erzeugt Zeilen aus den Werten in der Anweisung und liest keine Tabelle"},
	"or":              {"finds rows by each part of the OR separately and takes none twice", "findet Zeilen für jeden Teil des OR getrennt und nimmt keine doppelt"},
	"or part":         {"answers part {n} of the OR", "beantwortet Teil {n} des OR"},
	"bloom":           {"reads {t} into a Bloom filter ({c}) in each run that gets here, to rule out early what has no match there", "liest {t} in jedem Lauf, der hierher kommt, in einen Bloom-Filter ({c}), um früh auszuschließen, was dort nichts trifft"},
	"list bloom":      {"notes the values of the list in a Bloom filter too, to rule out early what is not in it", "vermerkt die Werte der Liste auch in einem Bloom-Filter, um früh auszuschließen, was nicht darin ist"},
	"in rowid":        {"answers IN by the rowids of {t} as they are; no list is made", "beantwortet IN über die rowids von {t}, wie sie sind; es wird keine Liste gemacht"},
	"in index":        {"answers IN by index {i} as it is; no list is made", "beantwortet IN über Index {i}, wie er ist; es wird keine Liste gemacht"},
	"list":            {"makes the list of IN (subquery {n}), at most once in a run", "macht die Liste von IN (Unterabfrage {n}), höchstens einmal je Lauf"},
	"list each":       {"makes the list of IN (subquery {n}) anew for each row that asks for it", "macht die Liste von IN (Unterabfrage {n}) neu für jede Zeile, die danach fragt"},
	"scalar":          {"runs subquery {n} at most once and keeps what it gives", "führt Unterabfrage {n} höchstens einmal aus und behält, was sie ergibt"},
	"scalar each":     {"runs subquery {n} anew for each row that asks for it", "führt Unterabfrage {n} neu aus für jede Zeile, die danach fragt"},
	"reuse":           {"uses what subquery {n} gave before", "nutzt, was Unterabfrage {n} zuvor ergab"},
	"co-routine":      {"makes the rows of {t} one by one, as they are asked for", "erzeugt die Zeilen von {t} eine nach der anderen, so wie danach gefragt wird"},
	"materialize":     {"makes all rows of {t} and keeps them in a temporary table", "erzeugt alle Zeilen von {t} und behält sie in einer vorübergehenden Tabelle"},
	"setup":           {"makes the first rows of the recursion", "erzeugt die ersten Zeilen der Rekursion"},
	"recursion":       {"runs for one row after the other, each of which may add more, until none is left or no more is needed", "läuft für eine Zeile nach der anderen, deren jede weitere hinzufügen kann, bis keine übrig ist oder nichts mehr gebraucht wird"},
	"compound":        {"puts the rows of several SELECTs together", "fügt die Zeilen mehrerer SELECT zusammen"},
	"first":           {"begins with the first SELECT", "beginnt mit dem ersten SELECT"},
	"next":            {"goes on with the next SELECT and keeps all its rows", "macht mit dem nächsten SELECT weiter und behält alle seine Zeilen"},
	"next distinct":   {"goes on with the next SELECT ({s}), by a temporary b-tree", "macht mit dem nächsten SELECT weiter ({s}), über einen vorübergehenden B-Baum"},

	"merge UNION ALL": {"reads both sides in the order that is asked for and keeps all rows", "liest beide Seiten in der verlangten Reihenfolge und behält alle Zeilen"},
	"merge UNION":     {"reads both sides in the same order and leaves out doubles", "liest beide Seiten in gleicher Reihenfolge und lässt Doppelte weg"},
	"merge EXCEPT":    {"reads both sides in the same order and keeps what only the left one has", "liest beide Seiten in gleicher Reihenfolge und behält, was nur die linke hat"},
	"merge INTERSECT": {"reads both sides in the same order and keeps what both have", "liest beide Seiten in gleicher Reihenfolge und behält, was beide haben"},
	"left":            {"is the left side of it", "ist die linke Seite davon"},
	"right":           {"is the right side of it", "ist die rechte Seite davon"},
	"right join":      {"goes through {t} once more, for its rows that matched nothing (RIGHT or FULL JOIN)", "geht {t} noch einmal durch, für die Zeilen, die nichts trafen (RIGHT oder FULL JOIN)"},

	"sort":           {"sorts the rows, since they don't come in the order that is needed (ORDER BY)", "sortiert die Zeilen, weil sie nicht in der Reihenfolge kommen, die gebraucht wird (ORDER BY)"},
	"sort last":      {"sorts rows that are equal in the first terms of the order by the last one", "sortiert Zeilen, die in den ersten Teilen der Reihenfolge gleich sind, nach dem letzten"},
	"sort last some": {"sorts rows that are equal in the first terms of the order by the last {n}", "sortiert Zeilen, die in den ersten Teilen der Reihenfolge gleich sind, nach den letzten {n}"},
	"group":          {"sorts the rows for GROUP BY, since they don't come in that order", "sortiert die Zeilen für GROUP BY, weil sie nicht in dieser Reihenfolge kommen"},
	"distinct":       {"remembers each row in a temporary b-tree, to leave out doubles (DISTINCT)", "merkt sich jede Zeile in einem vorübergehenden B-Baum, um Doppelte wegzulassen (DISTINCT)"},
	"values once":    {"remembers each value in a temporary b-tree, so that {s} takes none twice", "merkt sich jeden Wert in einem vorübergehenden B-Baum, damit {s} keinen doppelt nimmt"},
	"values order":   {"puts the values for {s} in order in a temporary b-tree", "ordnet die Werte für {s} in einem vorübergehenden B-Baum"},
	"temporary":      {"uses a temporary b-tree for {s}", "nutzt einen vorübergehenden B-Baum für {s}"},
	"nothing":        {"SQLite names no step: nothing is looked for, though whole tables may be copied or emptied", "SQLite nennt keinen Schritt: es wird nichts gesucht, wenn auch vielleicht ganze Tabellen kopiert oder geleert werden"},
	"unknown":        {"is a step that this version does not know: {s}", "ist ein Schritt, den diese Version nicht kennt: {s}"},
}

// additions to a sentence.
var additions = map[string]phrase{
	"inner":    {"for each row so far: ", "für jede Zeile bis hierher: "},
	"outer":    {"; where nothing matches, NULLs stand in (outer join)", "; wo nichts passt, stehen NULL (äußerer Join)"},
	"exists":   {"; the first match is enough (EXISTS)", "; der erste Treffer genügt (EXISTS)"},
	"one":      {"; at most one row for each value", "; höchstens eine Zeile je Wert"},
	"estimate": {"; about {e} rows for each look-up by sqlite_stat1", "; etwa {e} Zeilen je Suche laut sqlite_stat1"},
	"size":     {"; it has about {e} rows by sqlite_stat1", "; sie hat etwa {e} Zeilen laut sqlite_stat1"},
}

// remarks on what is worth a look.
var remarks = map[string]phrase{
	"scan large":    {"an index on what WHERE or ON asks of {t} would spare most of it, unless most rows are wanted", "ein Index auf das, was WHERE oder ON von {t} verlangt, würde das meiste davon sparen, sofern nicht die meisten Zeilen gewollt sind"},
	"scan limited":  {"an index on what WHERE or ON asks of {t} would spare most of it, unless the LIMIT is reached soon", "ein Index auf das, was WHERE oder ON von {t} verlangt, würde das meiste davon sparen, sofern das LIMIT nicht bald erreicht ist"},
	"index whole":   {"an index that begins with a column of WHERE or ON would spare most of it, unless most rows are wanted or a LIMIT is reached soon", "ein Index, der mit einer Spalte aus WHERE oder ON beginnt, würde das meiste davon sparen, sofern nicht die meisten Zeilen gewollt sind oder ein LIMIT bald erreicht ist"},
	"scan again":    {"all of {t} again and again: an index on what joins it would end that", "immer wieder ganz {t}: ein Index auf das, was es verbindet, würde das beenden"},
	"scan size":     {"costs much if {t} is large, which the plan does not tell", "kostet viel, wenn {t} groß ist, was der Plan nicht sagt"},
	"scan again?":   {"costs much if {t} is large, which the plan does not tell: it is read again for each row", "kostet viel, wenn {t} groß ist, was der Plan nicht sagt: für jede Zeile wird neu gelesen"},
	"extreme":       {"unless it is the rowid this reads all of {t}; an index that begins with the column would give its ends", "wenn es nicht die rowid ist, liest dies ganz {t}; ein Index, der mit der Spalte beginnt, gäbe ihre Enden"},
	"auto":          {"if {t} is a table, an index on it would spare building one in each run", "wenn {t} eine Tabelle ist, würde ein Index darauf den Bau in jedem Lauf sparen"},
	"auto result":   {"{t} is a result and can have no index of its own; an index on what it is made of may help", "{t} ist ein Ergebnis und kann keinen eigenen Index haben; ein Index auf das, woraus es entsteht, hilft vielleicht"},
	"auto create":   {"an index that stays would spare that: {s}", "ein Index, der bleibt, würde das sparen: {s}"},
	"sort":          {"time and memory grow with the rows; an index in that order would spare it", "Zeit und Speicher wachsen mit den Zeilen; ein Index in dieser Reihenfolge würde es sparen"},
	"each":          {"costs as often as rows ask for it", "kostet so oft, wie Zeilen danach fragen"},
	"skip":          {"an index that begins with a column of the condition would be quicker", "ein Index, der mit einer Spalte der Bedingung beginnt, wäre schneller"},
	"virtual whole": {"costs much if {t} is large, which the plan does not tell", "kostet viel, wenn {t} groß ist, was der Plan nicht sagt"},
}
