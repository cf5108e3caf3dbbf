package main

import (
	"errors"
	"fmt"

	"golang.org/x/mod/sumdb/note"
)

// book is what a log has said so far about members, keys and sequences.
type book struct {
	self       string
	federation string
	admitted   map[string]admission
	members    map[string]*member
	sequences  map[sequence]position
	publics    map[publics]map[int64]public
}

type admission struct{ root, genesis string }

type member struct {
	root, genesis string
	epoch         int64
	current       map[string]string // by use
	used          map[string]bool   // keys for statements and logs: never again
	keys          map[int64][]statementKey
	logKeys       map[int64][]byte
}

// statementKey counts from its `key` statement on, but for what the key before may still have
// signed: numbers up to last in the sequences between sites, below number in the public one.
type statementKey struct {
	number int64
	last   map[string]int64
	known  note.Verifiers
}

type sequence struct{ from, to string }

type position struct {
	epoch, number, at int64
	sid               string
}

type publics struct {
	from  string
	epoch int64
}

type public struct{ sid, prev string }

func newBook(self string) *book {
	return &book{
		self: self, admitted: map[string]admission{}, members: map[string]*member{},
		sequences: map[sequence]position{}, publics: map[publics]map[int64]public{},
	}
}

func (b *book) logKey() (int64, []byte) {
	own := b.members[b.self]
	if own == nil {
		return 0, nil
	}
	return own.epoch, own.logKeys[own.epoch]
}

// take checks the place of a statement and remembers what it says; its signature must hold under
// the key returned.
func (b *book) take(index int64, s *statement) (note.Verifiers, error) {
	if (index == 0) != (s.kind == "federation") {
		return nil, errors.New("[I1] entry 0, and no other, is the federation statement")
	}
	if index == 0 {
		root := s.body.get("root").text
		b.federation = s.sid
		b.admitted[s.body.get("founder").text] = admission{root: root}
		return verifiersFor(s.signerName(), unhex(root))
	}
	own := s.from == b.self
	if index == 1 && !(own && s.kind == "genesis" && s.epoch == 1) {
		return nil, errors.New("[I1] entry 1 is not the genesis of the log")
	}
	if !own && s.to != b.self && s.to != "*" {
		return nil, fmt.Errorf("[I1] from %s to %s", s.from, s.to)
	}
	if s.fed != b.federation {
		return nil, errors.New("[I1] of another federation")
	}
	known, err := b.keyFor(s)
	if err != nil {
		return nil, err
	}
	if err := b.place(s); err != nil {
		return nil, err
	}
	return known, b.remember(s)
}

func (b *book) isMember(site string) bool {
	_, admitted := b.admitted[site]
	return admitted && b.members[site] != nil
}

func (b *book) keyFor(s *statement) (note.Verifiers, error) {
	if s.kind == "genesis" {
		return b.keyForGenesis(s)
	}
	if !b.isMember(s.from) {
		return nil, fmt.Errorf("[I1] %s is no member", s.from)
	}
	if s.to != "*" && !b.isMember(s.to) {
		return nil, fmt.Errorf("[I1] %s is no member", s.to)
	}
	author := b.members[s.from]
	if s.kind == "key" {
		if s.epoch != author.epoch {
			return nil, errors.New("[I1] new keys in an epoch that is over")
		}
		keys := map[string]string{}
		for use, key := range author.current {
			keys[use] = key
		}
		keys["statement"], keys["witness"] = s.body.get("statement").text, s.body.get("witness").text
		if again := author.used[keys["statement"]]; again || !mayServe(keys) {
			return nil, errKeys
		}
		return verifiersFor(s.signerName(), unhex(author.root))
	}
	keys := author.keys[s.epoch]
	if len(keys) == 0 {
		return nil, fmt.Errorf("[I1] of epoch %d, which this log does not know", s.epoch)
	}
	for i, following := range keys[1:] {
		if s.to == "*" && s.number < following.number ||
			s.to != "*" && s.number <= following.last[s.to] {
			return keys[i].known, nil
		}
	}
	return keys[len(keys)-1].known, nil
}

func (b *book) keyForGenesis(s *statement) (note.Verifiers, error) {
	root, previous := s.body.get("root").text, s.body.get("previous").text
	admitted, ok := b.admitted[s.from]
	if !ok && s.from != b.self {
		return nil, fmt.Errorf("[I1] %s is no member", s.from)
	}
	before := member{}
	if known := b.members[s.from]; known != nil {
		before = *known
	}
	if s.epoch != before.epoch+1 {
		return nil, fmt.Errorf("[I1] epoch %d follows epoch %d", s.epoch, before.epoch)
	}
	if previous != before.genesis || s.number != 1 || s.prev != "" ||
		(s.epoch == 1 && len(s.body.get("closes").members) > 0) {
		return nil, errors.New("[I5] the genesis does not follow the one before")
	}
	if s.epoch == 1 {
		before.root = root
	}
	if before.root != root || (s.epoch == 1 && ok && (admitted.root != root ||
		(admitted.genesis != "" && admitted.genesis != s.sid))) {
		return nil, fmt.Errorf("[I5] %s was admitted with another genesis", s.from)
	}
	keys := keysOf(s)
	if before.used[keys["statement"]] || before.used[keys["log"]] || !mayServe(keys) {
		return nil, errKeys
	}
	return verifiersFor(s.signerName(), unhex(root))
}

var errKeys = errors.New("[I1] keys that must not sign")

// keysOf has the five keys of a genesis by their use.
func keysOf(genesis *statement) map[string]string {
	keys := map[string]string{"root": genesis.body.get("root").text}
	named := genesis.body.get("keys")
	for i, use := range named.names {
		keys[use] = named.members[i].text
	}
	return keys
}

// mayServe wants keys that may sign, no two the same.
func mayServe(keys map[string]string) bool {
	seen := map[string]bool{}
	for _, key := range keys {
		if seen[key] || !isSound(unhex(key)) {
			return false
		}
		seen[key] = true
	}
	return true
}

func (b *book) remember(s *statement) error {
	switch s.kind {
	case "genesis":
		keys := s.body.get("keys")
		name := fmt.Sprintf("%s/gridnode/s%d", s.from, s.epoch)
		known, err := verifiersFor(name, unhex(keys.get("statement").text))
		if err != nil {
			return err
		}
		of := b.members[s.from]
		if of == nil {
			of = &member{
				used: map[string]bool{}, keys: map[int64][]statementKey{}, logKeys: map[int64][]byte{},
			}
			b.members[s.from] = of
		}
		of.root, of.genesis, of.epoch = s.body.get("root").text, s.sid, s.epoch
		of.keys[s.epoch] = []statementKey{{number: 1, known: known}}
		of.logKeys[s.epoch] = unhex(keys.get("log").text)
		of.current = keysOf(s)
		of.used[keys.get("log").text], of.used[keys.get("statement").text] = true, true
	case "key":
		name := fmt.Sprintf("%s/gridnode/s%d", s.from, s.epoch)
		known, err := verifiersFor(name, unhex(s.body.get("statement").text))
		if err != nil {
			return err
		}
		last := map[string]int64{}
		for _, each := range s.body.get("last").members {
			last[each.get("site").text] = each.get("n").number
		}
		of := b.members[s.from]
		of.current["statement"], of.current["witness"] =
			s.body.get("statement").text, s.body.get("witness").text
		of.used[of.current["statement"]] = true
		of.keys[s.epoch] = append(of.keys[s.epoch], statementKey{s.number, last, known})
	case "policy":
		if s.body.get("about").text != "admit" {
			return nil
		}
		site := s.body.get("admit").text
		root, genesis := s.body.get("root").text, s.body.get("genesis").text
		known, ok := b.admitted[site]
		if ok && (known.root != root || (known.genesis != "" && known.genesis != genesis)) {
			return fmt.Errorf("[I5] %s was admitted with other keys", site)
		}
		if !ok {
			b.admitted[site] = admission{root, genesis}
		}
	case "reconcile":
		if s.body.get("side").text == "close" {
			return b.close(s)
		}
	}
	return nil
}

// close: from here on the addressee speaks in its new epoch, from number 1.
func (b *book) close(s *statement) error {
	at, epoch := sequence{s.to, s.from}, s.body.get("epoch").number
	last := b.last(at)
	if epoch <= last.epoch {
		return nil
	}
	if b.members[s.to].epoch < epoch || s.body.get("ends").number != last.epoch ||
		s.body.get("received").number != last.number || s.body.get("last").text != last.sid {
		return errors.New("[I5] the close is not of what this log holds")
	}
	b.sequences[at] = position{epoch: epoch, at: last.at}
	return nil
}

// last is where a sequence stands: before number 1 of epoch 1 when nothing was said.
func (b *book) last(at sequence) position {
	if last, ok := b.sequences[at]; ok {
		return last
	}
	return position{epoch: 1}
}

// place checks the number: own sequences and those of a counterparty have no gaps, other public
// ones may.
func (b *book) place(s *statement) error {
	if s.to == "*" {
		loose := s.from != b.self || b.members[b.self] != nil && s.epoch < b.members[b.self].epoch
		if err := b.placePublic(publics{s.from, s.epoch}, s); err != nil || loose {
			return err
		}
	}
	at := sequence{s.from, s.to}
	last := b.last(at)
	if s.epoch > last.epoch && s.number == 1 && b.opensEpoch(s, last) {
		last = position{epoch: s.epoch, at: last.at}
	}
	if s.epoch != last.epoch {
		return fmt.Errorf("[I1] of epoch %d, expected epoch %d", s.epoch, last.epoch)
	}
	if s.number <= last.number {
		return twice(s.number, s.number < last.number || s.sid == last.sid)
	}
	b.sequences[at] = position{s.epoch, s.number, s.at, s.sid}
	switch {
	case s.number > last.number+1:
		return fmt.Errorf("[I2] number %d, expected number %d", s.number, last.number+1)
	case s.prev != last.sid:
		return fmt.Errorf("[I2] number %d does not follow the one before", s.number)
	case s.at < last.at:
		return errors.New("[I8] its time is before that of the one before")
	}
	return nil
}

// opensEpoch says whether a sequence begins anew: with a genesis, and with the close of a site that
// has begun anew itself and says truly how far its old sequence went.
func (b *book) opensEpoch(s *statement, last position) bool {
	if s.kind == "genesis" {
		return true
	}
	return s.kind == "reconcile" && s.body.get("side").text == "close" &&
		s.body.get("issued").number == last.number && s.body.get("own").text == last.sid &&
		b.members[s.from].epoch >= s.epoch
}

func (b *book) placePublic(at publics, s *statement) error {
	numbers := b.publics[at]
	if numbers == nil {
		numbers = map[int64]public{}
		b.publics[at] = numbers
	}
	if known, ok := numbers[s.number]; ok {
		return twice(s.number, known.sid == s.sid)
	}
	numbers[s.number] = public{s.sid, s.prev}
	before, ok := numbers[s.number-1]
	if (ok || s.number == 1) && before.sid != s.prev {
		return fmt.Errorf("[I2] number %d does not follow the one before", s.number)
	}
	if after, ok := numbers[s.number+1]; ok && after.prev != s.sid {
		return fmt.Errorf("[I2] number %d does not precede the next", s.number)
	}
	return nil
}

func twice(number int64, same bool) error {
	if same {
		return errors.New("[I5] the statement is in the log already")
	}
	return fmt.Errorf("[I2] a second statement with number %d", number)
}
