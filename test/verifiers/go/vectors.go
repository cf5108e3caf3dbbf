package main

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// vectorCase is any case of test/vectors/ledger; each check uses the fields that it needs.
type vectorCase struct {
	Name       string
	Expect     string
	Gives      map[string]interface{}
	Note       string
	NoteBase64 string `json:"note_base64"`
	Vkey       string
	Origin     string
	PublicKey  string `json:"public_key"`
	Message    string
	Signature  string
	LeafHash   string `json:"leaf_hash"`
	Index      int64
	Size       int64
	Root       string
	Proof      []string
	From       int64
	To         int64
	FromRoot   string `json:"from_root"`
	ToRoot     string `json:"to_root"`
	Receipt    string
	Leaf       string
	Files      map[string][]byte
	Rule       string
}

type gives map[string]interface{}

var checks = map[string]func(vectorCase) (gives, error){
	"signature":   checkSignature,
	"checkpoint":  checkCheckpoint,
	"statement":   checkStatement,
	"cosignature": checkCosignature,
	"receipt":     checkReceipt,
	"inclusion":   checkInclusion,
	"consistency": checkConsistency,
	"log":         checkLog,
}

func runVectors(path string) int {
	data, err := os.ReadFile(path)
	file := struct {
		Check string
		Cases []vectorCase
	}{}
	if err == nil {
		err = json.Unmarshal(data, &file)
	}
	check := checks[file.Check]
	if err != nil || check == nil {
		fmt.Printf("%s: no vectors: %v\n", path, err)
		return 2
	}
	code := 0
	for _, each := range file.Cases {
		verdict, why := "valid", ""
		found, err := check(each)
		switch {
		case errors.As(err, &errElsewhere{}):
			verdict, why = "differs", " "+err.Error()
		case err != nil:
			verdict, why = "invalid", " "+err.Error()
		case each.Expect == "valid" && !same(found, each.Gives):
			verdict, why = "differs", fmt.Sprintf(" %v", found)
		}
		if verdict != each.Expect {
			code = 1
		}
		fmt.Printf("%s %s: %s%s\n", file.Check, each.Name, verdict, why)
	}
	return code
}

// same compares what a check gives with what the case names, as JSON has them.
func same(found gives, expected map[string]interface{}) bool {
	encoded, err := json.Marshal(found)
	again := map[string]interface{}{}
	if err == nil {
		err = json.Unmarshal(encoded, &again)
	}
	return err == nil && (len(again) == 0 && len(expected) == 0 || reflect.DeepEqual(again, expected))
}

func (c vectorCase) note() []byte {
	if c.NoteBase64 == "" {
		return []byte(c.Note)
	}
	data, err := base64.StdEncoding.DecodeString(c.NoteBase64)
	if err != nil {
		return nil
	}
	return data
}

func checkSignature(c vectorCase) (gives, error) {
	if !signatureHolds(unhex(c.PublicKey), unhex(c.Message), unhex(c.Signature)) {
		return nil, errSignature
	}
	return nil, nil
}

func checkCheckpoint(c vectorCase) (gives, error) {
	verifier, err := openVkey(c.Vkey)
	if err != nil {
		return nil, err
	}
	opened, err := openNote(c.note(), note.VerifierList(verifier))
	if err != nil {
		return nil, err
	}
	origin, tree, err := parseCheckpoint(opened.Text)
	if err != nil {
		return nil, err
	}
	if origin != c.Origin || origin != verifier.Name() {
		return nil, errors.New("[I1] another log")
	}
	return gives{"size": tree.N, "root": fmt.Sprintf("%x", tree.Hash[:])}, nil
}

func checkStatement(c vectorCase) (gives, error) {
	found, err := parseStatement(c.note())
	if err != nil {
		return nil, err
	}
	verifier, err := openVkey(c.Vkey)
	if err != nil {
		return nil, err
	}
	if verifier.Name() != found.signerName() {
		return nil, errors.New("[I1] another signer")
	}
	opened, err := openNote(c.note(), note.VerifierList(verifier))
	if err != nil {
		return nil, err
	}
	if len(opened.Sigs)+len(opened.UnverifiedSigs) != 1 {
		return nil, errors.New("[I11] not exactly one signature")
	}
	return gives{"sid": found.sid, "kind": found.kind}, nil
}

func checkCosignature(c vectorCase) (gives, error) {
	verifier, err := openWitness(c.Vkey)
	if err != nil {
		return nil, err
	}
	opened, err := openNote(c.note(), note.VerifierList(verifier))
	if err != nil {
		return nil, err
	}
	if _, _, err := parseCheckpoint(opened.Text); err != nil {
		return nil, err
	}
	return gives{"time": verifier.time}, nil
}

// checkReceipt reads a C2SP tlog-proof: the leaf is in the log whose key is known.
func checkReceipt(c vectorCase) (gives, error) {
	head, message, ok := strings.Cut(c.Receipt, "\n\n")
	lines := strings.Split(head, "\n")
	if !ok || len(lines) < 2 || lines[0] != "c2sp.org/tlog-proof@v1" {
		return nil, errors.New("[I11] no receipt")
	}
	digits := strings.TrimPrefix(lines[1], "index ")
	index, err := strconv.ParseInt(digits, 10, 64)
	if err != nil || lines[1] != fmt.Sprintf("index %d", index) || index > safeInteger {
		return nil, errors.New("[I11] no index in the receipt")
	}
	proof := tlog.RecordProof{}
	for _, line := range lines[2:] {
		data, err := base64.StdEncoding.Strict().DecodeString(line)
		if err != nil || len(data) != tlog.HashSize || strings.Contains(line, "\r") {
			return nil, errors.New("[I11] a line of the proof is no hash")
		}
		var hash tlog.Hash
		copy(hash[:], data)
		proof = append(proof, hash)
	}
	verifier, err := openVkey(c.Vkey)
	if err != nil {
		return nil, err
	}
	opened, err := openNote([]byte(message), note.VerifierList(verifier))
	if err != nil {
		return nil, err
	}
	origin, tree, err := parseCheckpoint(opened.Text)
	if err != nil {
		return nil, err
	}
	if origin != verifier.Name() {
		return nil, errors.New("[I1] another log")
	}
	leaf := tlog.RecordHash([]byte(c.Leaf))
	if err := tlog.CheckRecord(proof, tree.N, tree.Hash, index, leaf); err != nil {
		return nil, err
	}
	return gives{"index": index, "size": tree.N}, nil
}

func checkInclusion(c vectorCase) (gives, error) {
	proof, err := hashes(append([]string{c.LeafHash, c.Root}, c.Proof...))
	if err != nil {
		return nil, err
	}
	return nil, tlog.CheckRecord(tlog.RecordProof(proof[2:]), c.Size, proof[1], c.Index, proof[0])
}

func checkConsistency(c vectorCase) (gives, error) {
	proof, err := hashes(append([]string{c.FromRoot, c.ToRoot}, c.Proof...))
	if err != nil {
		return nil, err
	}
	return nil, checkTree(tlog.TreeProof(proof[2:]), c.To, proof[1], c.From, proof[0])
}

// checkTree is tlog.CheckTree and its one missing case: every tree begins with the empty one.
func checkTree(
	proof tlog.TreeProof, to int64, toRoot tlog.Hash, from int64, fromRoot tlog.Hash,
) error {
	if from != 0 {
		return tlog.CheckTree(proof, to, toRoot, from, fromRoot)
	}
	empty := tlog.Hash(sha256.Sum256(nil))
	if len(proof) != 0 || to < 0 || fromRoot != empty || to == 0 && toRoot != empty {
		return errors.New("not the empty tree")
	}
	return nil
}

// errElsewhere is a fault, but not the one that the case names.
type errElsewhere struct{ detail string }

func (e errElsewhere) Error() string { return e.detail }

func checkLog(c vectorCase) (gives, error) {
	directory, err := os.MkdirTemp("", "verifier")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(directory)
	for path, data := range c.Files {
		full := filepath.Join(directory, path)
		if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
			panic(err)
		}
		if err := os.WriteFile(full, data, 0o644); err != nil {
			panic(err)
		}
	}
	log := openLog(directory)
	log.verify()
	if faults := log.sorted(); len(faults) > 0 {
		first := faults[0]
		there := first.index == c.Index && strings.HasPrefix(first.detail, "["+c.Rule+"]")
		if c.Expect == "invalid" && !there {
			return nil, errElsewhere{fmt.Sprintf("at %d %s", first.index, first.detail)}
		}
		return nil, errors.New(first.detail)
	}
	return gives{"site": log.site, "entries": log.size}, nil
}

func hashes(texts []string) ([]tlog.Hash, error) {
	found := make([]tlog.Hash, len(texts))
	for i, text := range texts {
		data := unhex(text)
		if len(data) != tlog.HashSize {
			return nil, errors.New("a hash has 32 bytes")
		}
		copy(found[i][:], data)
	}
	return found, nil
}
