package main

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"math/big"
	"strings"
	"sync"

	"golang.org/x/mod/sumdb/note"
)

// The rules for Ed25519 (docs/LEDGER.md) that Go's own check leaves open: a key is canonical and of
// prime order, R is not the identity. S < L and the equation without cofactor are Go's.

var (
	prime     = fromHex("7fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffed")
	order     = fromHex("1000000000000000000000000000000014def9dea2f79cd65812631a5cf5d3ed")
	one       = big.NewInt(1)
	edwardsD  = product(big.NewInt(-121665), new(big.Int).ModInverse(big.NewInt(121666), prime))
	rootOfOne = new(big.Int).Exp(big.NewInt(2), new(big.Int).Rsh(prime, 2), prime)
)

func fromHex(digits string) *big.Int {
	number, ok := new(big.Int).SetString(digits, 16)
	if !ok {
		panic(digits)
	}
	return number
}

func product(a, b *big.Int) *big.Int {
	result := new(big.Int).Mul(a, b)
	return result.Mod(result, prime)
}

func difference(a, b *big.Int) *big.Int {
	result := new(big.Int).Sub(a, b)
	return result.Mod(result, prime)
}

// point is (x, y, z, t) with x/z, y/z on the curve and t = xy/z (RFC 8032, section 5.1.4).
type point [4]*big.Int

func add(p, q point) point {
	a := product(difference(p[1], p[0]), difference(q[1], q[0]))
	b := product(new(big.Int).Add(p[1], p[0]), new(big.Int).Add(q[1], q[0]))
	c := product(product(p[3], q[3]), new(big.Int).Lsh(edwardsD, 1))
	d := product(p[2], new(big.Int).Lsh(q[2], 1))
	e, f, g, h := difference(b, a), difference(d, c), new(big.Int).Add(d, c), new(big.Int).Add(b, a)
	return point{product(e, f), product(g, h), product(f, g), product(e, h)}
}

// soundKey says whether key is the canonical encoding of a point of prime order.
func soundKey(key []byte) bool {
	if len(key) != 32 {
		return false
	}
	bytes := make([]byte, 32)
	for i, b := range key {
		bytes[31-i] = b
	}
	odd := uint(bytes[0] >> 7)
	bytes[0] &= 0x7f
	y := new(big.Int).SetBytes(bytes)
	yy := product(y, y)
	denominator := new(big.Int).ModInverse(new(big.Int).Add(product(edwardsD, yy), one), prime)
	if y.Cmp(prime) >= 0 || denominator == nil {
		return false
	}
	square := product(difference(yy, one), denominator)
	exponent := new(big.Int).Rsh(new(big.Int).Add(prime, big.NewInt(3)), 3)
	x := new(big.Int).Exp(square, exponent, prime)
	if product(x, x).Cmp(square) != 0 {
		x = product(x, rootOfOne)
	}
	if product(x, x).Cmp(square) != 0 || x.Sign() == 0 {
		// With x = 0 it is the identity, or of order 2, or not canonical.
		return false
	}
	if x.Bit(0) != odd {
		x = difference(prime, x)
	}
	doubled := point{x, y, one, product(x, y)}
	total := point{new(big.Int), one, one, new(big.Int)}
	for i := 0; i < order.BitLen(); i++ {
		if order.Bit(i) == 1 {
			total = add(total, doubled)
		}
		doubled = add(doubled, doubled)
	}
	return total[0].Sign() == 0 && total[1].Cmp(total[2]) == 0
}

var soundKeys sync.Map

func isSound(key []byte) bool {
	if known, ok := soundKeys.Load(string(key)); ok {
		return known.(bool)
	}
	sound := soundKey(key)
	soundKeys.Store(string(key), sound)
	return sound
}

func isIdentity(r []byte) bool {
	for i, b := range r {
		if (i == 0 && b != 1) || (i > 0 && b != 0) {
			return false
		}
	}
	return true
}

// signatureHolds applies every rule; for keys that note.NewVerifier does not know.
func signatureHolds(key, message, signature []byte) bool {
	return isSound(key) && len(signature) == 64 && !isIdentity(signature[:32]) &&
		ed25519.Verify(key, message, signature)
}

// openVkey is note.NewVerifier with the rule for keys.
func openVkey(vkey string) (note.Verifier, error) {
	verifier, err := note.NewVerifier(vkey)
	if err != nil {
		return nil, err
	}
	key, err := keyOfVkey(vkey)
	if err != nil || len(key) != 33 || !isSound(key[1:]) {
		return nil, errors.New("a key that must not sign")
	}
	return verifier, nil
}

func keyOfVkey(vkey string) ([]byte, error) {
	parts := strings.SplitN(vkey, "+", 3)
	if len(parts) != 3 {
		return nil, errors.New("no verifier key")
	}
	return base64.StdEncoding.Strict().DecodeString(parts[2])
}

// keyHash is the key id of C2SP signed-note; key begins with its type.
func keyHash(name string, key []byte) uint32 {
	sum := sha256.Sum256(append([]byte(name+"\n"), key...))
	return binary.BigEndian.Uint32(sum[:])
}

// openNote is note.Open for one verifier, with the rules that Go leaves open: strict base64, at
// most 16 signatures, R not the identity.
func openNote(message []byte, known note.Verifiers) (*note.Note, error) {
	opened, err := note.Open(message, known)
	if err != nil {
		return nil, err
	}
	lines := strings.Split(string(message[len(opened.Text)+1:len(message)-1]), "\n")
	if len(lines) > 16 {
		return nil, fmt.Errorf("%d signatures", len(lines))
	}
	for _, line := range lines {
		bytes, err := base64.StdEncoding.Strict().DecodeString(line[strings.LastIndex(line, " ")+1:])
		if err != nil {
			return nil, errors.New("the base64 of a signature is not strict")
		}
		if len(bytes) == 68 && isIdentity(bytes[4:36]) {
			return nil, errors.New("R is the identity")
		}
	}
	return opened, nil
}

// verifiersFor gives note.Open the one key of this name.
func verifiersFor(name string, key []byte) (note.Verifiers, error) {
	vkey, err := note.NewEd25519VerifierKey(name, key)
	if err != nil {
		return nil, err
	}
	verifier, err := openVkey(vkey)
	if err != nil {
		return nil, err
	}
	return note.VerifierList(verifier), nil
}

// witness verifies cosignature/v1 (C2SP tlog-cosignature); it keeps the time of what it accepted.
type witness struct {
	name string
	hash uint32
	key  []byte
	time uint64
}

func (w *witness) Name() string    { return w.name }
func (w *witness) KeyHash() uint32 { return w.hash }
func (w *witness) Verify(message, signature []byte) bool {
	if len(signature) != 72 {
		return false
	}
	w.time = binary.BigEndian.Uint64(signature)
	signed := fmt.Sprintf("cosignature/v1\ntime %d\n%s", w.time, message)
	return w.time >= 1 && w.time <= 8_640_000_000_000 &&
		signatureHolds(w.key, []byte(signed), signature[8:])
}

// openWitness reads a witness's verifier key: type 4 instead of Ed25519's 1.
func openWitness(vkey string) (*witness, error) {
	parts := strings.SplitN(vkey, "+", 3)
	key, err := keyOfVkey(vkey)
	if err != nil || len(key) != 33 || key[0] != 4 {
		return nil, errors.New("no verifier key of a witness")
	}
	hash := keyHash(parts[0], key)
	if fmt.Sprintf("%08x", hash) != parts[1] {
		return nil, errors.New("the verifier key has another id")
	}
	return &witness{name: parts[0], hash: hash, key: key[1:]}, nil
}
