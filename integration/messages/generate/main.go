// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

// Command generate writes the packages below gen. It runs in the directory of the
// package messages.
package main

import (
	"fmt"
	"io/fs"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
)

func main() {
	log.SetFlags(0)
	log.SetPrefix("generate: ")
	dir, err := os.MkdirTemp("", "generate")
	if err != nil {
		log.Fatal(err)
	}
	err = generate(dir)
	os.RemoveAll(dir)
	if err != nil {
		log.Fatal(err)
	}
}

// generate makes everything anew in dir, which is empty, before it replaces gen.
func generate(dir string) error {
	protoc, err := exec.LookPath("protoc")
	if err != nil {
		return fmt.Errorf("%w: install protobuf-compiler", err)
	}
	g := &generator{
		protoc: protoc,
		protos: filepath.Join(dir, "proto"),
		bin:    filepath.Join(dir, "bin"),
		out:    filepath.Join(dir, "gen"),
	}
	if err := g.buildPlugins(); err != nil {
		return err
	}
	for _, k := range kinds {
		if err := g.run(k); err != nil {
			return fmt.Errorf("%s: %w", k.name, err)
		}
	}
	if err := forgetProtoc(g.out); err != nil {
		return err
	}
	if err := os.RemoveAll("gen"); err != nil {
		return err
	}
	return os.CopyFS("gen", os.DirFS(g.out))
}

type generator struct {
	protoc string
	gogo   string // where gogo.proto is found
	protos string // holds a directory for each kind
	bin    string // holds the plugins
	out    string
}

// buildPlugins builds those that go.mod requires, and the old one.
func (g *generator) buildPlugins() error {
	modules := append([]string{"build", "-o", g.bin + "/"}, plugins...)
	if _, err := goCommand(modules...); err != nil {
		return err
	}
	_, err := goCommand("build", "-modfile=golang.mod", "-o", g.plugin("golang"), "github.com/golang/protobuf/protoc-gen-go")
	if err != nil {
		return err
	}
	g.gogo, err = goCommand("list", "-m", "-f", "{{.Dir}}", "github.com/gogo/protobuf")
	return err
}

// plugin returns the path of the plugin that protoc calls name.
func (g *generator) plugin(name string) string {
	return filepath.Join(g.bin, "protoc-gen-"+name)
}

// run generates the code of one kind.
func (g *generator) run(k kind) error {
	body, err := os.ReadFile(filepath.Join("proto", k.body))
	if err != nil {
		return err
	}
	source := fmt.Sprintf("%s\npackage messages.%s;\noption go_package = %q;\n%s",
		k.header, k.name, "github.com/containerd/ttrpc/integration/messages/gen/"+k.name, body)
	path := filepath.Join(k.name, strings.TrimSuffix(k.body, ".txt")+".proto")
	if err := writeFile(filepath.Join(g.protos, path), []byte(source)); err != nil {
		return err
	}
	if err := os.MkdirAll(g.out, 0o755); err != nil {
		return err
	}
	if k.edition {
		return g.runWithoutProtoc(path, k.plugins)
	}
	args := []string{"-I", g.protos, "-I", g.gogo}
	for _, p := range k.plugins {
		args = append(args, "--plugin="+g.plugin(p.name), fmt.Sprintf("--%s_out=%s:%s", p.name, p.parameter(), g.out))
	}
	if out, err := exec.Command(g.protoc, append(args, path)...).CombinedOutput(); err != nil {
		return fmt.Errorf("protoc: %w\n%s", err, out)
	}
	return nil
}

// goCommand returns what the go command prints, without the last newline.
func goCommand(args ...string) (string, error) {
	cmd := exec.Command("go", args...)
	cmd.Env = append(os.Environ(), "GOWORK=off")
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("go %s: %w", strings.Join(args, " "), err)
	}
	return strings.TrimSpace(string(out)), nil
}

func writeFile(path string, content []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return os.WriteFile(path, content, 0o644)
}

// protocVersion is what protoc-gen-go writes about who called it.
var protocVersion = regexp.MustCompile(`(?m)^(//\s+protoc\s+).*$`)

// forgetProtoc makes the files in dir independent of protoc's version.
func forgetProtoc(dir string) error {
	return filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(path, protocVersion.ReplaceAll(content, []byte("${1}(any)")), 0o644)
	})
}
