// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

// Command registry serves one image, under whatever name it is asked for, on a
// port of the loopback interface that it prints:
//
//	registry DIR
//
// DIR is an image in OCI's layout. That is all that containerd's own tests of
// its client want of a registry.
package main

import (
	"encoding/json"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// An index is the part of index.json that is of interest.
type index struct {
	Manifests []struct{ MediaType, Digest string }
}

func main() {
	if len(os.Args) != 2 {
		log.Fatal("usage: registry DIR")
	}
	dir := os.Args[1]
	text, err := os.ReadFile(filepath.Join(dir, "index.json"))
	if err != nil {
		log.Fatal(err)
	}
	var image index
	if err := json.Unmarshal(text, &image); err != nil {
		log.Fatal(err)
	}
	if len(image.Manifests) != 1 {
		log.Fatalf("%s holds %d images, not one", dir, len(image.Manifests))
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(l.Addr().(*net.TCPAddr).Port)
	server := &http.Server{Handler: handler(dir, image), ReadHeaderTimeout: time.Minute}
	log.Fatal(server.Serve(l))
}

// handler answers for /v2/, /v2/NAME/manifests/TAG-OR-DIGEST and
// /v2/NAME/blobs/DIGEST.
func handler(dir string, image index) http.Handler {
	mediaType, digest := image.Manifests[0].MediaType, image.Manifests[0].Digest
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		wanted, kind := filepath.Base(r.URL.Path), filepath.Base(filepath.Dir(r.URL.Path))
		w.Header().Set("Content-Type", "application/octet-stream")
		switch {
		case r.URL.Path == "/v2/":
			return
		case kind == "manifests" && (wanted == digest || !strings.Contains(wanted, ":")):
			wanted = digest
			w.Header().Set("Content-Type", mediaType)
		}
		w.Header().Set("Docker-Content-Digest", wanted)
		http.ServeFile(w, r, filepath.Join(dir, "blobs", "sha256", strings.TrimPrefix(wanted, "sha256:")))
	})
}
