// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package budget

import (
	"bytes"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// rulesFile explains the rules, from the top of the repository.
const rulesFile = "docs/rules.md"

var (
	ruleLine = regexp.MustCompile(`^- ([BL]\d+) `)
	ruleCite = regexp.MustCompile(`\b[BL]\d+\b`)
)

// A repoFile is a file of the repository that may cite rules.
type repoFile struct {
	path string
	text []byte
}

// checkRules reports rules that are cited and not explained, or explained and held by
// no test.
func checkRules(report report, rules repoFile, files []repoFile) {
	where := make(map[string]string)
	for line, text := range lines(rules.text) {
		m := ruleLine.FindSubmatch(text)
		if m == nil {
			continue
		}
		rule, pos := string(m[1]), fmt.Sprintf("%s:%d", rules.path, line)
		if first := where[rule]; first != "" {
			report("%s: %s is explained already at %s", pos, rule, first)
			continue
		}
		where[rule] = pos
	}
	tested := make(map[string]bool)
	for _, file := range append(files, rules) {
		for line, text := range lines(file.text) {
			for _, rule := range ruleCite.FindAllString(string(text), -1) {
				if where[rule] == "" {
					report("%s:%d: %s is not explained in %s", file.path, line, rule, rules.path)
				}
				tested[rule] = tested[rule] || strings.HasSuffix(file.path, "_test.go")
			}
		}
	}
	for _, rule := range slices.Sorted(maps.Keys(where)) {
		if !tested[rule] {
			report("%s: no test cites %s", where[rule], rule)
		}
	}
}

// lines yields the lines of a text with their numbers.
func lines(text []byte) func(yield func(int, []byte) bool) {
	return func(yield func(int, []byte) bool) {
		for i, line := range bytes.Split(text, []byte("\n")) {
			if !yield(i+1, line) {
				return
			}
		}
	}
}

// TestRules holds the numbers of rules that the repository cites to the document that
// explains them.
func TestRules(t *testing.T) {
	rules, err := os.ReadFile(filepath.Join(root, rulesFile))
	if err != nil {
		t.Fatal(err)
	}
	var files []repoFile
	err = filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && (entry.Name() == ".git" || entry.Name() == "testdata"):
			return fs.SkipDir
		case entry.IsDir() || !slices.Contains([]string{".go", ".md", ".rs", ".sh"}, filepath.Ext(path)):
			return nil
		}
		name, err := filepath.Rel(root, path)
		if err != nil || name == filepath.FromSlash(rulesFile) {
			return err
		}
		text, err := os.ReadFile(path)
		files = append(files, repoFile{name, text})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	checkRules(t.Errorf, repoFile{rulesFile, rules}, files)
}

// TestRulesFinds shows what is found. The numbers are put together here, so that
// TestRules does not take them for the repository's.
func TestRulesFinds(t *testing.T) {
	cite := func(numbers ...int) []byte {
		text := "\n"
		for _, n := range numbers {
			text += fmt.Sprintf("- B%d says, see B%d\n", n, n)
		}
		return []byte(text)
	}
	for _, tt := range []struct {
		name  string
		rules []byte
		files []repoFile
		want  []string
	}{
		{"all is well", cite(901), []repoFile{{"x_test.go", cite(901)}, {"x.md", cite(901)}}, nil},
		{"not explained", cite(), []repoFile{{"x.rs", cite(902)}}, []string{"x.rs:2: 902", "x.rs:2: 902"}},
		{"part of a number", cite(901), []repoFile{{"x_test.go", cite(901, 90)}}, []string{"x_test.go:3: 90", "x_test.go:3: 90"}},
		{"no test", cite(901, 903), []repoFile{{"x_test.go", cite(901)}, {"x.go", cite(903)}}, []string{"r.md:3: 903"}},
		{"twice", cite(901, 901), []repoFile{{"x_test.go", cite(901)}}, []string{"r.md:3: 901"}},
	} {
		var got []string
		checkRules(func(format string, args ...any) {
			text := fmt.Sprintf(format, args...)
			pos, _, _ := strings.Cut(text, ": ")
			got = append(got, pos+": "+strings.TrimPrefix(ruleCite.FindString(text), "B"))
		}, repoFile{"r.md", tt.rules}, tt.files)
		if !slices.Equal(got, tt.want) {
			t.Errorf("%s: reported %q, want %q", tt.name, got, tt.want)
		}
	}
}
