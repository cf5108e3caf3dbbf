// Verifies gridnode ledgers with Go's own packages for transparency logs, sumdb/note and sumdb/tlog
// of golang.org/x/mod (docs/LEDGER.md). It shares no code with gridnode, and it does not replay the
// accounts.
//
//	verifier log [-time] DIR...    exported ledgers: signed head, proofs, every tile, every entry
//	verifier vectors FILE...       the cases of test/vectors/ledger
//
// Each fault is a line that names site, entry and rule. Exit code 0: all holds; 1: something does
// not; 2: an input is no ledger.
package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

const faultsShown = 50

func main() {
	flags := flag.NewFlagSet("verifier", flag.ExitOnError)
	timed := flags.Bool("time", false, "print entries per second")
	if len(os.Args) < 3 {
		usage()
	}
	flags.Parse(os.Args[2:])
	code := 0
	switch os.Args[1] {
	case "log":
		for _, directory := range flags.Args() {
			code = worse(code, verifyDirectory(directory, *timed))
		}
	case "vectors":
		for _, path := range flags.Args() {
			code = worse(code, runVectors(path))
		}
	default:
		usage()
	}
	os.Exit(code)
}

func usage() {
	fmt.Fprintln(os.Stderr, "usage: verifier log [-time] DIR... | verifier vectors FILE...")
	os.Exit(2)
}

func worse(a, b int) int {
	if b > a {
		return b
	}
	return a
}

func verifyDirectory(directory string, timed bool) int {
	if _, err := os.Stat(filepath.Join(directory, "checkpoint")); err != nil {
		fmt.Printf("%s: there is no checkpoint, so this is no exported ledger\n", directory)
		return 2
	}
	start := time.Now()
	log := openLog(directory)
	log.verify()
	seconds := time.Since(start).Seconds()
	faults := log.lines()
	for i, each := range faults {
		if i < faultsShown {
			fmt.Println(each)
		}
	}
	fmt.Printf("%s: %d entries, %d faults\n", log.site, log.size, len(faults))
	if timed {
		fmt.Printf("%s: %.3f s, %.0f entries/s\n", log.site, seconds, float64(log.size)/seconds)
	}
	if len(faults) > 0 {
		return 1
	}
	return 0
}
