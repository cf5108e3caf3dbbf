package main

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"regexp"
	"sort"
	"strconv"
	"strings"
	"unicode/utf8"
)

// value is canonical JSON: a string, an integer, a list, or an object with its keys in order.
type value struct {
	kind    byte // 's', 'i', 'l' or 'o'
	text    string
	number  int64
	names   []string
	members []value // of a list or an object
}

func (v value) get(name string) value {
	for i, each := range v.names {
		if each == name {
			return v.members[i]
		}
	}
	return value{}
}

const safeInteger = 1<<53 - 1

var errCanonical = errors.New("[I11] not canonical JSON")

// parser reads canonical JSON alone: what has two spellings is read in one of them.
type parser struct {
	text string
	at   int
}

func canonicalJSON(text string) (value, error) {
	p := parser{text: text}
	found, ok := p.value(0)
	if !ok || p.at != len(text) {
		return value{}, errCanonical
	}
	return found, nil
}

func (p *parser) next(char byte) bool {
	if p.at < len(p.text) && p.text[p.at] == char {
		p.at++
		return true
	}
	return false
}

func (p *parser) value(depth int) (value, bool) {
	if p.at == len(p.text) || depth > 12 {
		return value{}, false
	}
	switch p.text[p.at] {
	case '"':
		text, ok := p.string()
		return value{kind: 's', text: text}, ok
	case '[':
		return p.list(depth)
	case '{':
		return p.object(depth)
	}
	start := p.at
	for p.at < len(p.text) && (p.text[p.at] == '-' || p.text[p.at] >= '0' && p.text[p.at] <= '9') {
		p.at++
	}
	digits := p.text[start:p.at]
	number, err := strconv.ParseInt(digits, 10, 64)
	if err != nil || strconv.FormatInt(number, 10) != digits {
		return value{}, false
	}
	return value{kind: 'i', number: number}, number <= safeInteger && number >= -safeInteger
}

func (p *parser) list(depth int) (value, bool) {
	found := value{kind: 'l'}
	p.at++
	if depth == 12 || p.next(']') {
		return found, depth < 12
	}
	for {
		item, ok := p.value(depth + 1)
		if !ok {
			return found, false
		}
		found.members = append(found.members, item)
		if p.next(']') {
			return found, true
		}
		if !p.next(',') {
			return found, false
		}
	}
}

func (p *parser) object(depth int) (value, bool) {
	found := value{kind: 'o', names: make([]string, 0, 16), members: make([]value, 0, 16)}
	p.at++
	if depth == 12 || p.next('}') {
		return found, depth < 12
	}
	for last := ""; ; {
		if p.at == len(p.text) || p.text[p.at] != '"' {
			return found, false
		}
		name, ok := p.string()
		if !ok || name <= last || !isName(name) || !p.next(':') {
			return found, false
		}
		member, ok := p.value(depth + 1)
		if !ok {
			return found, false
		}
		found.names, found.members, last = append(found.names, name), append(found.members, member), name
		if p.next('}') {
			return found, true
		}
		if !p.next(',') {
			return found, false
		}
	}
}

func isName(name string) bool {
	for i := 0; i < len(name); i++ {
		if c := name[i]; !(c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '_') {
			return false
		}
	}
	return name != "" && len(name) <= 64 && name != "__proto__" && name != "constructor"
}

// escapes are the only ones: what has a letter is written with it, other controls as \u00xx.
var escapes = map[byte]byte{'"': '"', '\\': '\\', 'b': 8, 'f': 12, 'n': 10, 'r': 13, 't': 9}

func (p *parser) string() (string, bool) {
	p.at++
	start := p.at
	for p.at < len(p.text) && p.text[p.at] != '"' && p.text[p.at] != '\\' && p.text[p.at] >= ' ' {
		p.at++
	}
	plain := p.text[start:p.at]
	if p.next('"') {
		return plain, true
	}
	read := []byte(plain)
	for p.at < len(p.text) {
		char := p.text[p.at]
		p.at++
		switch {
		case char == '"':
			return string(read), true
		case char < ' ':
			return "", false
		case char != '\\':
			read = append(read, char)
			continue
		}
		if p.at == len(p.text) {
			return "", false
		}
		char = p.text[p.at]
		p.at++
		if plain, ok := escapes[char]; ok {
			read = append(read, plain)
			continue
		}
		if char != 'u' || p.at+4 > len(p.text) {
			return "", false
		}
		digits := p.text[p.at : p.at+4]
		p.at += 4
		code, err := strconv.ParseUint(digits, 16, 16)
		if err != nil || code >= ' ' || fmt.Sprintf("%04x", code) != digits ||
			code >= 8 && code <= 13 && code != 11 {
			return "", false
		}
		read = append(read, byte(code))
	}
	return "", false
}

// fields says what each kind has: kind (with `about` or `side`), addressee, then its fields beside
// the place; `@name` is a record below, `[type;most]` a list, `=a|b` one of these words, `a..b` an
// integer.
const fields = `
@place e:count fed:hash from:site n:count prev:hash? at:ms
@keys log:hash statement:hash witness:hash network:hash
@close site:site issued:tally received:tally
@last site:site n:count
@head origin:t255 size:count root:hash
federation - at:ms name:name founder:site root:hash nonce:nonce
genesis * root:hash keys:@keys previous:hash? closes:[@close;1000]
key * statement:hash witness:hash last:[@last;1000]
policy/admit * about:=admit admit:site root:hash genesis:hash
policy/federation * about:=federation version:count witnesses:[site;31] quorum:0..31 authorities:[site;31]
tariff * task:amount core_hour:amount gib_hour:amount speed_permille:permille factor_permille_max:permille rounding:=down
heads * heads:[@head;64]
digest * day:tally count:tally root:hash
snapshot * size:count state:hash
evidence * accused:site epoch:count proof:=fork_head|fork_leaf|double_number|malformed|overcharge|fell doc:hash
grant * grantee:site name:allocation amount:amount starts:ms until:ms
credit > limit:amount
contract/offer > side:=offer job:hash auction:auction bid:hash tariff:hash factor_permille:permille cores:count memory_mib:count walltime_s:count lease_s:count accept_s:count tasks_max:count interim_s:count exposure_permille:1..1000 auto_permille:0..1000 arbiter:site?
contract/agree > side:=agree contract:hash
hold > contract:hash amount:amount tasks:count valid_until:ms doc:hash grant:hash?
held > hold:hash
declined > hold:hash reason:t256
usage > hold:hash amount:amount final:0..1 tasks:tally core_s:tally gib_s:tally meter:hash
accept > hold:hash usage:hash amount:amount final:0..1
void > hold:hash reason:t256
dispute > hold:hash usage:hash contested:amount reason:t256 doc:hash?
resolve/offer > side:=offer hold:hash amount:amount
resolve/agree > side:=agree resolve:hash
resolve/forgive > side:=forgive hold:hash amount:amount
resolve/ruling > side:=ruling hold:hash amount:amount note:t2048
resolve/clause > side:=clause hold:hash usage:hash amount:amount proof:hash?
settle/offer > side:=offer amount:amount payer:=author|addressee reference:t256
settle/agree > side:=agree settle:hash
settle/forgive > side:=forgive amount:amount reference:t256
reconcile/offer > side:=offer issued:tally received:tally state:hash
reconcile/agree > side:=agree reconcile:hash
reconcile/close > side:=close epoch:2..1000000000 ends:tally received:tally last:hash? issued:tally own:hash?
`

type field struct {
	name string
	is   shape
}

type shape func(value) bool

var (
	records = map[string][]field{}
	kinds   = map[string][]field{}
)

func init() {
	for _, line := range strings.Split(strings.TrimSpace(fields), "\n") {
		words := strings.Split(line, " ")
		if words[0][0] == '@' {
			records[words[0]] = readFields(words[1:])
			continue
		}
		found := readFields(words[2:])
		if words[1] != "-" {
			to := "site"
			if words[1] == "*" {
				to = "=*"
			}
			found = append(append(found, field{"to", readShape(to)}), records["@place"]...)
		}
		kinds[words[0]] = inOrder(found)
	}
}

func readFields(words []string) []field {
	found := []field{}
	for _, word := range words {
		name, kind, _ := strings.Cut(word, ":")
		found = append(found, field{name, readShape(kind)})
	}
	return inOrder(found)
}

func inOrder(found []field) []field {
	sort.Slice(found, func(i, j int) bool { return found[i].name < found[j].name })
	return found
}

func has(v value, expected []field) bool {
	if v.kind != 'o' || len(v.names) != len(expected) {
		return false
	}
	for i, each := range expected {
		if v.names[i] != each.name || !each.is(v.members[i]) {
			return false
		}
	}
	return true
}

var ranges = map[string][2]int64{
	"count": {1, 1e9}, "tally": {0, safeInteger}, "permille": {1, 1e6}, "ms": {0, 8.64e15},
}

var (
	namePattern       = regexp.MustCompile(`^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$`)
	allocationPattern = regexp.MustCompile(`^[a-z0-9]([a-z0-9._-]*[a-z0-9])?$`)
	auctionPattern    = regexp.MustCompile(`^[0-9a-z][0-9a-z.:-]{0,63}$`)
)

func readShape(kind string) shape {
	switch kind[0] {
	case '@':
		expected := records[kind]
		return func(v value) bool { return has(v, expected) }
	case '[':
		inner, most, _ := strings.Cut(kind[1:len(kind)-1], ";")
		is, max := readShape(inner), number(most)
		return func(v value) bool {
			if v.kind != 'l' || int64(len(v.members)) > max {
				return false
			}
			for _, each := range v.members {
				if !is(each) {
					return false
				}
			}
			return true
		}
	case '=':
		words := strings.Split(kind[1:], "|")
		return text(func(s string) bool {
			for _, word := range words {
				if s == word {
					return true
				}
			}
			return false
		})
	}
	if low, high, ok := strings.Cut(kind, ".."); ok {
		ranges[kind] = [2]int64{number(low), number(high)}
	}
	if bounds, ok := ranges[kind]; ok {
		return func(v value) bool {
			return v.kind == 'i' && v.number >= bounds[0] && v.number <= bounds[1]
		}
	}
	if kind[len(kind)-1] == '?' {
		is := readShape(kind[:len(kind)-1])
		return func(v value) bool { return v.kind == 's' && v.text == "" || is(v) }
	}
	switch kind {
	case "hash":
		return text(func(s string) bool { return isHex(s, 64) })
	case "nonce":
		return text(func(s string) bool { return isHex(s, 32) })
	case "site":
		return text(isSite)
	case "name":
		return text(func(s string) bool { return len(s) <= 63 && namePattern.MatchString(s) })
	case "allocation":
		return text(func(s string) bool { return len(s) <= 63 && allocationPattern.MatchString(s) })
	case "auction":
		return text(auctionPattern.MatchString)
	case "amount":
		return text(func(s string) bool {
			amount, err := strconv.ParseInt(s, 10, 64)
			return err == nil && amount >= 0 && strconv.FormatInt(amount, 10) == s
		})
	}
	most := number(kind[1:])
	return text(func(s string) bool { return int64(len(s)) <= most })
}

// number reads a number of the table above; a table that is wrong is a bug.
func number(digits string) int64 {
	found, err := strconv.ParseInt(digits, 10, 64)
	if err != nil {
		panic(err)
	}
	return found
}

func text(is func(string) bool) shape {
	return func(v value) bool { return v.kind == 's' && is(v.text) }
}

func isHex(s string, digits int) bool {
	if len(s) != digits {
		return false
	}
	for i := 0; i < len(s); i++ {
		if c := s[i]; !(c >= '0' && c <= '9' || c >= 'a' && c <= 'f') {
			return false
		}
	}
	return true
}

func isSite(s string) bool {
	if len(s) > 63 {
		return false
	}
	for _, label := range strings.Split(s, ".") {
		if label == "" || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
		for i := 0; i < len(label); i++ {
			if c := label[i]; !(c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '-') {
				return false
			}
		}
	}
	return true
}

// statement is what a note says, its syntax checked [LEDGER-1], its signature not yet.
type statement struct {
	note                []byte
	kind, sid           string
	fed, from, to, prev string
	epoch, number, at   int64
	body                value
}

var kindPattern = regexp.MustCompile(`^[a-z][a-z0-9_-]{0,63}$`)

var tags = map[string]string{
	"policy": "about", "contract": "side", "resolve": "side", "settle": "side", "reconcile": "side",
}

func parseStatement(message []byte) (*statement, error) {
	if len(message) > 16*1024 {
		return nil, errors.New("[I11] more than 16 KiB")
	}
	whole := string(message)
	end := strings.LastIndex(whole, "\n\n")
	if end < 0 || !utf8.ValidString(whole) {
		return nil, errors.New("[I11] no signed note")
	}
	if strings.Count(whole[end+2:], "\n") != 1 || !strings.HasSuffix(whole, "\n") {
		return nil, errors.New("[I11] not exactly one signature")
	}
	lines := strings.Split(whole[:end], "\n")
	if len(lines) != 2 || !strings.HasPrefix(lines[0], "gridnode/v1/") {
		return nil, errors.New("[I11] the text is not gridnode/v1/<kind> and one line")
	}
	kind := lines[0][len("gridnode/v1/"):]
	if !kindPattern.MatchString(kind) {
		return nil, errors.New("[I11] the first line is not gridnode/v1/<kind>")
	}
	body, err := canonicalJSON(lines[1])
	if err != nil {
		return nil, err
	}
	name := kind
	if tag, ok := tags[kind]; ok {
		name += "/" + body.get(tag).text
	}
	expected, ok := kinds[name]
	if !ok {
		return nil, fmt.Errorf("[I11] an unknown kind, %q", name)
	}
	if !has(body, expected) {
		return nil, fmt.Errorf("[I11] the fields are not those of %s", name)
	}
	sid := sha256.Sum256([]byte(whole[:end+1]))
	return &statement{
		note: message, kind: kind, sid: hex.EncodeToString(sid[:]), body: body,
		fed: body.get("fed").text, from: body.get("from").text, to: body.get("to").text,
		prev: body.get("prev").text, epoch: body.get("e").number, number: body.get("n").number,
		at: body.get("at").number,
	}, nil
}

// signerName is the one name that may have signed it [LEDGER-2].
func (s *statement) signerName() string {
	switch s.kind {
	case "federation":
		return s.body.get("founder").text + "/gridnode/root"
	case "genesis", "key":
		return s.from + "/gridnode/root"
	}
	return fmt.Sprintf("%s/gridnode/s%d", s.from, s.epoch)
}
