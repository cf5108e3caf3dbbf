package main

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"sort"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

const tileHeight, tileWidth = 8, 256

// ledger is one exported log under verification. Memory is that of some bundles, of the keys and
// of the sequences.
type ledger struct {
	directory string
	site      string
	size      int64
	book      *book

	mutex  sync.Mutex
	faults []fault
}

type fault struct {
	index  int64 // -1 for the whole log
	detail string
}

func openLog(directory string) *ledger {
	return &ledger{directory: directory, site: directory}
}

func (l *ledger) fault(index int64, err error) {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	detail := err.Error()
	if !strings.HasPrefix(detail, "[") {
		detail = "[I1] " + detail
	}
	l.faults = append(l.faults, fault{index, detail})
}

// sorted has the faults in the order of the entries, those of the log as a whole last.
func (l *ledger) sorted() []fault {
	place := func(each fault) int64 {
		if each.index < 0 {
			return safeInteger
		}
		return each.index
	}
	sort.SliceStable(l.faults, func(i, j int) bool { return place(l.faults[i]) < place(l.faults[j]) })
	return l.faults
}

func (l *ledger) lines() []string {
	lines := []string{}
	for _, each := range l.sorted() {
		where := "log"
		if each.index >= 0 {
			where = fmt.Sprintf("entry %d", each.index)
		}
		lines = append(lines, fmt.Sprintf("%s %s %s", l.site, where, each.detail))
	}
	return lines
}

func (l *ledger) read(path string) ([]byte, error) {
	data, err := os.ReadFile(filepath.Join(l.directory, path))
	if err != nil {
		return nil, fmt.Errorf("[I1] the file %s cannot be read", path)
	}
	return data, nil
}

// entry is one leaf on its way: parsed by a worker, placed in order, its signature checked by a
// worker again.
type entry struct {
	leaf      tlog.Hash
	note      []byte
	statement *statement
	err       error
	known     note.Verifiers
}

type bundle struct {
	first   int64
	entries []entry
	err     error
	parsed  chan struct{}
}

func (l *ledger) verify() {
	message, err := l.read("checkpoint")
	if err != nil {
		l.fault(-1, err)
		return
	}
	head, err := readHead(message)
	if err != nil {
		l.fault(-1, err)
		return
	}
	l.site, l.size, l.book = head.site, head.size, newBook(head.site)

	jobs, ordered := make(chan func(), 4*runtime.NumCPU()), make(chan *bundle, 2*runtime.NumCPU())
	var workers, signatures sync.WaitGroup
	for i := 0; i < runtime.NumCPU(); i++ {
		workers.Add(1)
		go func() {
			defer workers.Done()
			for job := range jobs {
				job()
			}
		}()
	}
	stop := make(chan struct{})
	go l.readBundles(jobs, ordered, stop)

	derived, half := &tree{full: l.compareTile}, head.size/2
	var halfRoot tlog.Hash
	for each := range ordered {
		<-each.parsed
		if each.err != nil {
			l.fault(each.first, each.err)
			close(stop)
			break
		}
		for i := range each.entries {
			e := &each.entries[i]
			index := each.first + int64(i)
			derived.add(e.leaf)
			if index+1 == half {
				halfRoot = derived.root()
			}
			if e.err == nil {
				e.known, e.err = l.book.take(index, e.statement)
			}
			if e.err != nil {
				l.fault(index, e.err)
			}
		}
		done := each
		signatures.Add(1)
		jobs <- func() {
			defer signatures.Done()
			l.checkSignatures(done)
		}
	}
	signatures.Wait()
	close(jobs)
	workers.Wait()
	if derived.size != head.size {
		return
	}
	derived.tails()
	if derived.root() != head.root {
		l.fault(-1, errors.New("the root of the entries is not that of the checkpoint"))
	}
	l.checkHead(message, head)
	l.checkProofs(head, derived, half, halfRoot)
}

// readBundles hands bundles out in their order, and to the workers as they are read.
func (l *ledger) readBundles(jobs chan<- func(), ordered chan<- *bundle, stop <-chan struct{}) {
	defer close(ordered)
	for first := int64(0); first < l.size; first += tileWidth {
		each := &bundle{first: first, parsed: make(chan struct{})}
		select {
		case ordered <- each:
		case <-stop:
			return
		}
		job := func() {
			defer close(each.parsed)
			each.err = l.parseBundle(each)
		}
		select {
		case jobs <- job:
		case <-stop:
			return
		}
	}
}

func (l *ledger) parseBundle(b *bundle) error {
	width := l.size - b.first
	if width > tileWidth {
		width = tileWidth
	}
	path := tilePath("entries", b.first/tileWidth, int(width))
	data, err := l.read(path)
	if err != nil {
		return err
	}
	for len(data) > 0 {
		if len(data) < 2 || len(data) < 2+int(data[0])<<8+int(data[1]) {
			return fmt.Errorf("[I1] %s is cut short", path)
		}
		end := 2 + int(data[0])<<8 + int(data[1])
		message := data[2:end:end]
		found, err := parseStatement(message)
		leaf := tlog.RecordHash(message)
		b.entries = append(b.entries, entry{leaf: leaf, note: message, statement: found, err: err})
		data = data[end:]
	}
	if int64(len(b.entries)) != width {
		return fmt.Errorf("[I1] %d entries in %s", len(b.entries), path)
	}
	return nil
}

var errSignature = errors.New("[I1] the signature does not hold")

func (l *ledger) checkSignatures(b *bundle) {
	for i := range b.entries {
		e := &b.entries[i]
		if e.err != nil {
			continue
		}
		opened, err := openNote(e.note, e.known)
		if err != nil || len(opened.Sigs) != 1 || len(opened.UnverifiedSigs) != 0 {
			l.fault(b.first+int64(i), errSignature)
		}
	}
}

// The head, a C2SP tlog-checkpoint: tlog.ParseTree knows only the origin of Go's own log.

type head struct {
	origin, site string
	epoch        int64
	size         int64
	root         tlog.Hash
}

var originPattern = regexp.MustCompile(`^([^/]+)/gridnode/[0-9a-f]{16}/e([1-9][0-9]*)$`)

func readHead(message []byte) (head, error) {
	end := strings.LastIndex(string(message), "\n\n")
	if end < 0 {
		return head{}, errors.New("[I1] the checkpoint is no signed note")
	}
	origin, tree, err := parseCheckpoint(string(message[:end+1]))
	if err != nil {
		return head{}, err
	}
	match := originPattern.FindStringSubmatch(origin)
	if match == nil || !isSite(match[1]) || tree.N == 0 {
		return head{}, fmt.Errorf("[I1] %q with %d entries is no ledger", origin, tree.N)
	}
	epoch, err := strconv.ParseInt(match[2], 10, 64)
	if err != nil {
		return head{}, err
	}
	return head{origin: origin, site: match[1], epoch: epoch, size: tree.N, root: tree.Hash}, nil
}

func parseCheckpoint(text string) (string, tlog.Tree, error) {
	wrong := errors.New("[I1] no checkpoint: origin, size and root")
	lines := strings.Split(text, "\n")
	if len(lines) != 4 || lines[3] != "" || len(lines[0]) > 255 {
		return "", tlog.Tree{}, wrong
	}
	size, err := strconv.ParseInt(lines[1], 10, 64)
	if err != nil || size < 0 || size > safeInteger || strconv.FormatInt(size, 10) != lines[1] {
		return "", tlog.Tree{}, wrong
	}
	root, err := base64.StdEncoding.Strict().DecodeString(lines[2])
	if err != nil || len(root) != tlog.HashSize || strings.ContainsRune(lines[2], '\r') {
		return "", tlog.Tree{}, wrong
	}
	tree := tlog.Tree{N: size}
	copy(tree.Hash[:], root)
	return lines[0], tree, nil
}

// checkHead opens the checkpoint with the log key that the newest genesis in the log names.
func (l *ledger) checkHead(message []byte, h head) {
	epoch, key := l.book.logKey()
	if len(l.book.federation) < 16 || epoch == 0 {
		l.fault(-1, errors.New("the entries do not open a log"))
		return
	}
	name := fmt.Sprintf("%s/gridnode/%s/e%d", l.site, l.book.federation[:16], epoch)
	if name != h.origin {
		l.fault(-1, fmt.Errorf("the entries are those of %s, the checkpoint names %q", name, h.origin))
		return
	}
	known, err := verifiersFor(name, key)
	if err == nil {
		_, err = openNote(message, known)
	}
	if err != nil {
		l.fault(-1, fmt.Errorf("the checkpoint is not signed by the log key of the genesis: %v", err))
	}
}

// checkProofs has Go's own reader of tiles prove entries and an older head from the files.
func (l *ledger) checkProofs(h head, derived *tree, half int64, halfRoot tlog.Hash) {
	reader := tlog.TileHashReader(tlog.Tree{N: h.size, Hash: h.root}, tileFiles{l})
	for _, index := range []int64{0, half, h.size - 1} {
		leaf, err := l.leafAt(index)
		if err != nil {
			l.fault(-1, err)
			continue
		}
		proof, err := tlog.ProveRecord(h.size, index, reader)
		if err == nil {
			err = tlog.CheckRecord(proof, h.size, h.root, index, leaf)
		}
		if err != nil {
			l.fault(-1, fmt.Errorf("inclusion of entry %d: %v", index, err))
		}
	}
	if half == 0 {
		return
	}
	proof, err := tlog.ProveTree(h.size, half, reader)
	if err == nil {
		err = tlog.CheckTree(proof, h.size, h.root, half, halfRoot)
	}
	if err != nil {
		l.fault(-1, fmt.Errorf("consistency from %d: %v", half, err))
	}
}

func (l *ledger) leafAt(index int64) (tlog.Hash, error) {
	b := &bundle{first: index - index%tileWidth}
	if err := l.parseBundle(b); err != nil {
		return tlog.Hash{}, err
	}
	return b.entries[index%tileWidth].leaf, nil
}

// tileFiles is the directory as tlog.TileHashReader wants it.
type tileFiles struct{ log *ledger }

func (t tileFiles) Height() int                         { return tileHeight }
func (t tileFiles) SaveTiles(_ []tlog.Tile, _ [][]byte) {}
func (t tileFiles) ReadTiles(tiles []tlog.Tile) ([][]byte, error) {
	all := [][]byte{}
	for _, tile := range tiles {
		data, err := t.log.read(pathOf(tile))
		if err != nil {
			return nil, err
		}
		if len(data) != tile.W*tlog.HashSize {
			return nil, fmt.Errorf("[I1] %d bytes in %s", len(data), pathOf(tile))
		}
		all = append(all, data)
	}
	return all, nil
}

// pathOf is tile.Path without the height: C2SP's tiles are always 8 levels high.
func pathOf(tile tlog.Tile) string {
	return "tile" + strings.TrimPrefix(tile.Path(), fmt.Sprintf("tile/%d", tileHeight))
}

func tilePath(level string, index int64, width int) string {
	path := pathOf(tlog.Tile{H: tileHeight, L: 0, N: index, W: width})
	return "tile/" + level + strings.TrimPrefix(path, "tile/0")
}

// tree derives the tiles of a growing log: at most one unfinished tile of each level.
type tree struct {
	size   int64
	levels []tlog.Tile
	rows   [][]byte
	full   func(tlog.Tile, []byte)
}

func (t *tree) add(hash tlog.Hash) {
	t.size++
	for level := 0; ; level++ {
		if level == len(t.levels) {
			t.levels = append(t.levels, tlog.Tile{H: tileHeight, L: level})
			t.rows = append(t.rows, nil)
		}
		tile := &t.levels[level]
		tile.W++
		t.rows[level] = append(t.rows[level], hash[:]...)
		if tile.W < tileWidth {
			return
		}
		t.full(*tile, t.rows[level])
		hash = topOf(t.rows[level])
		*tile, t.rows[level] = tlog.Tile{H: tileHeight, L: level, N: tile.N + 1}, t.rows[level][:0]
	}
}

func topOf(row []byte) tlog.Hash {
	hashes := make([]tlog.Hash, len(row)/tlog.HashSize)
	for i := range hashes {
		copy(hashes[i][:], row[i*tlog.HashSize:])
	}
	for len(hashes) > 1 {
		for i := 0; i < len(hashes)/2; i++ {
			hashes[i] = tlog.NodeHash(hashes[2*i], hashes[2*i+1])
		}
		hashes = hashes[:len(hashes)/2]
	}
	return hashes[0]
}

// tails compares the tiles that stay partial.
func (t *tree) tails() {
	for level, tile := range t.levels {
		if tile.W > 0 {
			t.full(tile, t.rows[level])
		}
	}
}

// root is tlog's own, over the complete subtrees that the unfinished tiles hold.
func (t *tree) root() tlog.Hash {
	read := func(indexes []int64) ([]tlog.Hash, error) {
		hashes := []tlog.Hash{}
		for _, index := range indexes {
			level := tlog.TileForIndex(tileHeight, index).L
			hash, err := tlog.HashFromTile(t.levels[level], t.rows[level], index)
			if err != nil {
				return nil, err
			}
			hashes = append(hashes, hash)
		}
		return hashes, nil
	}
	root, err := tlog.TreeHash(t.size, tlog.HashReaderFunc(read))
	if err != nil {
		panic(err)
	}
	return root
}

func (l *ledger) compareTile(tile tlog.Tile, row []byte) {
	path := pathOf(tile)
	data, err := l.read(path)
	if err == nil && len(data) != len(row) {
		err = fmt.Errorf("[I1] %s has %d bytes", path, len(data))
	}
	if err != nil {
		l.fault(-1, err)
		return
	}
	for at := 0; at < tile.W; at++ {
		from, to := at*tlog.HashSize, (at+1)*tlog.HashSize
		if bytes.Equal(data[from:to], row[from:to]) {
			continue
		}
		index := int64(-1)
		if tile.L == 0 {
			index = tile.N*tileWidth + int64(at)
		}
		l.fault(index, fmt.Errorf("[I1] %s is not that of the entries", path))
		return
	}
}

func unhex(text string) []byte {
	data, err := hex.DecodeString(text)
	if err != nil {
		return nil
	}
	return data
}
