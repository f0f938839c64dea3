// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

// release is the version that this library is compared with.
const release = "v1.2.10"

// build builds the subjects into dir.
func build(dir string) (theirs, ours version, err error) {
	theirs = version{release, filepath.Join(dir, release), 5 * time.Second}
	ours = version{"ours", filepath.Join(dir, "ours"), time.Minute}
	err = buildSubject(theirs.path, "-modfile="+filepath.Join("released", release+".mod"), "-tags=released")
	if err == nil {
		err = buildSubject(ours.path, raceFlags...)
	}
	return theirs, ours, err
}

func buildSubject(path string, flags ...string) error {
	args := append([]string{"build", "-o", path}, flags...)
	cmd := exec.Command("go", append(args, "./subject")...)
	cmd.Env = append(os.Environ(), "GOWORK=off")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("building %s: %v\n%s", path, err, out)
	}
	return nil
}
