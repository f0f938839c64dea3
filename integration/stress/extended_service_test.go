// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux && go1.25

package stress

import (
	"context"
	"errors"
	"os"
	"time"

	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/containerd/ttrpc"
	"github.com/containerd/ttrpc/integration/kit"
)

// service is what callers of an extendedStress call, at either end.
func (w *extendedStress) service() *ttrpc.ServiceDesc {
	return &ttrpc.ServiceDesc{
		Methods: map[string]ttrpc.Method{"Echo": stressMethod(w.echo), "Sleep": stressMethod(stressSleep), "Back": stressMethod(stressBack)},
		Streams: map[string]ttrpc.Stream{
			"Echoes": {Handler: stressEchoes, StreamingClient: true, StreamingServer: true},
			"Take":   {Handler: stressTake, StreamingClient: true},
			"Give":   {Handler: w.stressGive, StreamingServer: true},
		},
	}
}

func stressMethod(f func(context.Context, *wrapperspb.BytesValue) error) ttrpc.Method {
	return func(ctx context.Context, unmarshal func(any) error) (any, error) {
		m := new(wrapperspb.BytesValue)
		if err := unmarshal(m); err != nil {
			return nil, err
		}
		return m, f(ctx, m)
	}
}

// echo claims the files that came, sometimes, and has one go with the answer.
func (w *extendedStress) echo(ctx context.Context, m *wrapperspb.BytesValue) error {
	if !w.passes || len(m.Value)%3 != 0 {
		return nil
	}
	files, err := ttrpc.FilesFromContext(ctx)
	if err != nil {
		return err
	}
	closeFiles(files.Claim())
	return files.Attach(w.null)
}

func stressSleep(ctx context.Context, m *wrapperspb.BytesValue) error {
	select {
	case <-ctx.Done():
	case <-time.After(time.Duration(len(m.Value)%5) * time.Millisecond):
	}
	return nil
}

// stressBack calls back.
func stressBack(ctx context.Context, m *wrapperspb.BytesValue) error {
	peer, err := ttrpc.PeerClient(ctx)
	if err != nil {
		return err
	}
	return peer.Call(ctx, "stress", "Echo", m, m)
}

// stressEchoes ends some streams while their callers send.
func stressEchoes(_ context.Context, ss ttrpc.StreamServer) (any, error) {
	for {
		m := new(wrapperspb.BytesValue)
		if err := ss.RecvMsg(m); err != nil {
			return nil, kit.EndOf(err)
		}
		if len(m.Value)%17 == 16 {
			return nil, errors.New("enough")
		}
		if err := ss.SendMsg(m); err != nil {
			return nil, err
		}
	}
}

func stressTake(_ context.Context, ss ttrpc.StreamServer) (any, error) {
	for {
		m := &ttrpc.FileMessage{Message: new(wrapperspb.BytesValue)}
		if err := ss.RecvMsg(m); err != nil {
			return new(wrapperspb.BytesValue), kit.EndOf(err)
		}
		closeFiles(m.Files)
	}
}

func (w *extendedStress) stressGive(_ context.Context, ss ttrpc.StreamServer) (any, error) {
	m := new(wrapperspb.BytesValue)
	if err := ss.RecvMsg(m); err != nil {
		return nil, err
	}
	for range 20 {
		if err := ss.SendMsg(w.withFiles(m)); err != nil {
			return nil, err
		}
	}
	return nil, nil
}

func closeFiles(files []*os.File) {
	for _, f := range files {
		f.Close()
	}
}
